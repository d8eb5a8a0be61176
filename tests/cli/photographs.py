"""Small photographs and a small trained head for the commands' tests."""

from pathlib import Path

import numpy as np
from PIL import Image

from fmbseg.demo.photographs import packaged_path


def write_photographs(folder: Path) -> None:
    """A cat and a rocket, shrunk, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in (("cat.png", "data/chelsea.png"), ("rocket.jpg", "data/rocket.jpg")):
        with Image.open(packaged_path("skimage", file)) as photograph:
            photograph.convert("RGB").resize((240, 160)).save(folder / name)


def write_text_named_jpg(path: Path) -> None:
    path.write_text("this is not an image", encoding="utf-8")


def read_classes(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Values of an indexed PNG."""
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)
