"""The seven sets with photographs large enough to label, in the layouts of the data-set tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.evaluation import layouts
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg")


def seven_sets(root: Path) -> Path:
    """All seven, and photographs of COCO and ADE20K to label; every mask is that of its photograph's size."""
    layouts.voc(root)
    layouts.context(root)
    layouts.coco(root, "_labelTrainIds")
    layouts.cityscapes(root, "labelTrainIds")
    layouts.ade20k(root)
    random = np.random.default_rng(0)
    coco, ade = root / "coco_stuff164k", root / "ade" / "ADEChallengeData2016"
    for number in range(1, 4):
        layouts.write_image(coco / f"images/train2017/{number:012}.jpg")
        layouts.write_mask(coco / f"annotations/train2017/{number:012}_labelTrainIds.png", [[15, 60, 41]] * 2)
    for number in range(1, 6):
        layouts.write_image(ade / f"images/training/ADE_train_{number:08}.jpg")
    for path in sorted(_files(root)):
        if path.suffix == ".jpg" or "leftImg8bit" in path.name:
            which = sorted(path.parent.iterdir()).index(path)
            shown = Image.fromarray(photograph(_PHOTOGRAPHS[which % 3])).convert("RGB").resize((72, 56))
            if which > 2:  # random models find one thing in what looks alike
                noise = random.integers(0, 256, (56, 72, 3), dtype=np.uint8)
                shown = Image.fromarray(noise // (4 * which - 11))
            shown.save(path)
        elif path.suffix == ".png":
            with Image.open(path) as mask:
                values = np.array(mask)
            large = np.kron(values, np.ones((28, 24), np.uint8))
            Image.fromarray(large).save(path)
    return root


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file())
