"""A detector and a mask generator from the Hub, each by its repository and revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmbseg.models.concepts.grounded import grounded
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.loading.hub_files import HubOptions
from tests.models.concepts.tiny_detectors import detector_folder
from tests.models.mask_generators.tiny import sam_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hub.server import Hub

PAIR = "google/owlv2-base-patch16-ensemble?revision=main+hf-sam:facebook/sam-vit-base"


def test_both_come_from_the_hub_and_then_from_the_cache(hub: Hub, tmp_path: Path) -> None:
    for name, folder in (
        ("google/owlv2-base-patch16-ensemble", detector_folder(tmp_path / "owl", "owlv2")),
        ("facebook/sam-vit-base", sam_folder(tmp_path / "sam")),
    ):
        hub.put(name, {file.name: file.read_bytes() for file in folder.iterdir()})
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    first = grounded(PAIR, device="cpu")
    assert first.spec == f"grounded:{PAIR}"
    again = grounded(PAIR, device="cpu", hub=HubOptions(local_files_only=True))
    one, two = (next(iter(model.begin(image).find(["cat"]))) for model in (first, again))
    assert len(one.masks)
    assert one.masks.rles == two.masks.rles


def test_what_is_not_on_the_hub_is_named_in_one_line(hub: Hub, tmp_path: Path) -> None:
    folder = sam_folder(tmp_path / "sam")
    with pytest.raises(AssetUnavailableError, match="no/such") as caught:
        grounded(f"no/such+hf-sam:local-dir:{folder}", device="cpu")
    assert "\n" not in str(caught.value)
