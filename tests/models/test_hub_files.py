"""Files of Hub models: what is said where there is no network and no cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmbseg.models.assets import AssetUnavailableError
from fmbseg.models.hub_files import HubOptions, hub_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_without_network_and_cache_the_message_names_repository_files_and_ways(tmp_path: Path) -> None:
    options = HubOptions(cache_dir=tmp_path, local_files_only=True, revision="v1")
    with pytest.raises(AssetUnavailableError) as caught:
        hub_folder("someone/some-model", ["config.json", "model.safetensors"], options)
    for part in ("someone/some-model", "v1", "config.json", "model.safetensors", "cache_dir", "local-dir:"):
        assert part in str(caught.value)
