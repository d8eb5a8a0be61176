"""Models that several test files share, each loaded once."""

from collections.abc import Iterator

import pytest

from fmbseg.models.image_text.conse import Conse, conse
from tests.labeling.runs import Server


@pytest.fixture(scope="session")
def conse_encoder() -> Conse:
    return conse()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Forks runs of the stand-ins, each a process of its own."""
    with Server() as started:
        yield started
