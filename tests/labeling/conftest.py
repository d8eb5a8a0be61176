"""Models that several test files share, each loaded once."""

import pytest

from fmbseg.models.image_text.conse import Conse, conse


@pytest.fixture(scope="session")
def conse_encoder() -> Conse:
    return conse()
