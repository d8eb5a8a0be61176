"""Tiny copies of the benchmarks' folders, one or two images each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (2, 3)


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIZE[1], SIZE[0]), "red").save(path)


def write_mask(path: Path, values: list[list[int]], *, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(np.array(values, dtype=np.uint8))
    if palette:
        mask.putpalette([value % 256 for value in range(0, 768 * 5, 5)])
    mask.save(path)


def write_listing(path: Path, *keys: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key}\n" for key in keys))


def voc(root: Path) -> None:
    base = root / "VOCdevkit" / "VOC2012"
    write_listing(base / "ImageSets/Segmentation/val.txt", "2007_000033", "2007_000042")
    for key in ("2007_000033", "2007_000042", "2007_009999"):  # the last is not in the listing
        write_image(base / f"JPEGImages/{key}.jpg")
    write_mask(base / "SegmentationClass/2007_000033.png", [[0, 1, 255], [20, 0, 0]], palette=True)
    write_mask(base / "SegmentationClass/2007_000042.png", [[0, 0, 0], [0, 0, 2]], palette=True)


def context(root: Path) -> None:
    base = root / "VOCdevkit" / "VOC2010"
    write_listing(base / "ImageSets/SegmentationContext/val.txt", "2008_000002")
    write_image(base / "JPEGImages/2008_000002.jpg")
    write_mask(base / "SegmentationClassContext/2008_000002.png", [[0, 1, 59], [2, 0, 0]])


def coco(root: Path, ending: str) -> None:
    """Masks with one of the endings "", "_labelTrainIds" and "_instanceTrainIds": all of one scene."""
    base = root / "coco_stuff164k"
    write_image(base / "images/val2017/000000000139.jpg")
    # person, stop sign, toothbrush; banner, wood, unlabelled
    values = {
        "": [[0, 12, 89], [91, 181, 255]],
        "_labelTrainIds": [[0, 11, 79], [80, 170, 255]],
        "_instanceTrainIds": [[1, 12, 80], [0, 0, 0]],
    }
    write_mask(base / f"annotations/val2017/000000000139{ending}.png", values[ending])


def cityscapes(root: Path, kind: str) -> None:
    base = root / "cityscapes"
    stem = "val/frankfurt/frankfurt_000000_000294"
    write_image(base / f"leftImg8bit/{stem}_leftImg8bit.png")
    values = {"labelIds": [[7, 33, 4], [0, 3, 26]], "labelTrainIds": [[0, 18, 255], [255, 255, 13]]}
    write_mask(base / f"gtFine/{stem}_gtFine_{kind}.png", values[kind])


def ade20k(root: Path) -> None:
    base = root / "ade" / "ADEChallengeData2016"
    write_image(base / "images/validation/ADE_val_00000001.jpg")
    write_mask(base / "annotations/validation/ADE_val_00000001.png", [[0, 1, 150], [8, 0, 0]])
