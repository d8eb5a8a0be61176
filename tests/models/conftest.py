"""Models that several test files share, each loaded once."""

from pathlib import Path

import pytest

from fmbseg.models.backbones.efficientnet_lite import EfficientNetLite2, efficientnet_lite2
from fmbseg.models.image_text.conse import Conse, conse
from fmbseg.models.loading.assets import fetch_mobilesam
from fmbseg.models.loading.errors import AssetUnavailableError


@pytest.fixture(scope="session")
def mobilesam_files() -> tuple[Path, Path]:
    try:
        return fetch_mobilesam()
    except AssetUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def conse_encoder() -> Conse:
    return conse()


@pytest.fixture(scope="session")
def efficientnet() -> EfficientNetLite2:
    return efficientnet_lite2()
