"""Images that the tests of whole runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmbseg.evaluation.datasets import SegmentationData, open_data

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> SegmentationData:
    """Seven images whose targets agree with the red channel in a part that grows from image to image."""
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("0\tbackground\n1\tcat\n2\tcup\n255\tignore\n")
    random = np.random.default_rng(0)
    for index in range(7):
        target = random.integers(0, 3, (12, 16)).astype(np.uint8)
        given = np.where(random.random(target.shape) < index / 6, target, (target + 1) % 3)
        target[0, 0] = 255
        red = np.zeros((12, 16, 3), np.uint8)
        red[..., 0] = given * 100
        Image.fromarray(red).save(root / "images" / f"image {index}.png")
        Image.fromarray(target).save(root / "masks" / f"image {index}.png")
    return open_data("folder_background", root)
