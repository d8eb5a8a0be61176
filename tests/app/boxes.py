"""Label sets of the page's photographs that no model made, so that every mask is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmbseg.files import sha256_of
from fmbseg.images import load_image
from fmbseg.labels.record import EVERYTHING_STAGE, LabeledImage
from fmbseg.labels.writer import LabelWriter
from fmbseg.masks import MaskSet
from tests.labels.examples import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fmbseg.app.place import Place


def boxes(size: tuple[int, int]) -> MaskSet:
    """Two halves of the middle, and a strip along the bottom."""
    height, width = size
    masks = np.zeros((3, *size), np.bool_)
    masks[0, height // 8 : height // 2, width // 4 : width // 2] = True
    masks[1, height // 8 : height // 2, width // 2 : 3 * width // 4] = True
    masks[2, -height // 8 :] = True
    return MaskSet.from_masks(masks)


def label_by_boxes(place: Place, name: str, names: Sequence[str], sure_of: Mapping[str, float]) -> Path:
    """Label photographs of the first folder, all of which are as sure as is said; the set's folder."""
    (root, *_) = place.photographs().values()
    folder: Path = place.work / "labels" / name
    words = {"names": list(names), "prompts": [[one] for one in names], "background": [], "templates": ["{}"]}
    with LabelWriter(folder, manifest(len(sure_of), vocabulary=words, root=str(root))) as writer:
        for path, sure in sure_of.items():
            masks = boxes(load_image(root / path).shape[:2])
            writer.append(
                LabeledImage(
                    path=path,
                    sha256=sha256_of(root / path),
                    detected=(0, 1),
                    masks=masks,
                    class_ids=np.array([0, 1, 1], np.int32),
                    stages=np.full(3, EVERYTHING_STAGE, np.int8),
                    similarities=np.full(3, 0.1, np.float32),
                    kept=np.ones(3, np.bool_),
                    points=(np.zeros((0, 2), np.float32),) * 3,
                    certainties=np.full(3, sure, np.float32),
                )
            )
    return folder
