"""A small label set with photographs that are there, and masks of every kind."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE, LabeledImage
from fmbseg.labels.writer import LabelWriter
from fmbseg.masks import MaskSet
from tests.labels.examples import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ["dog", "sofa/bed", "🐈 cat", "grass"]
SIZES = {"a.png": (24, 36), "deep/b.png": (17, 9), "none.png": (5, 7), "z.png": (40, 40)}


def blobs(size: tuple[int, int], count: int, seed: int) -> NDArray[np.bool_]:
    """Masks with holes, several parts and single pixels; (count, H, W), none empty."""
    random = np.random.default_rng(seed)
    masks = random.random((count, *size)) < random.choice([0.1, 0.5, 0.8], (count, 1, 1))
    masks[:, 0, 0] = True
    return masks


def labelled(path: str, photograph: bytes, size: tuple[int, int], seed: int) -> LabeledImage:
    random = np.random.default_rng(seed)
    count = 0 if path == "none.png" else 5
    stages = np.sort(random.choice([POINT_STAGE, EVERYTHING_STAGE], count)).astype(np.int8)
    classes = random.integers(0, 3, count).astype(np.int32)
    scores = random.random((3, count)).astype(np.float32)
    points = tuple(
        (random.random((3 if stage == POINT_STAGE else 0, 2)) * min(size)).astype(np.float32)
        for stage in stages
    )
    masks = MaskSet.from_masks(blobs(size, count, seed), scores[0], scores[1])
    detected = tuple(sorted({*classes.tolist(), 3})) if count else ()
    return LabeledImage(
        path=path,
        sha256=sha256(photograph).hexdigest(),
        detected=detected,
        masks=masks,
        class_ids=classes,
        stages=stages,
        similarities=scores[2] * 2 - 1,
        kept=random.random(count) < 0.75,
        points=points,
        features=random.random((count, 4)).astype(np.float16) if path == "a.png" else None,
        certainties=np.where(random.random(count) < 0.5, scores[1], np.nan).astype(np.float32),
        presences=np.linspace(0.5, 1, len(detected), dtype=np.float32),
    )


def write_labels(folder: Path, **changes: object) -> LabelSet:
    """Photographs in ``folder/photographs`` and their labels in ``folder/labels``."""
    root = folder / "photographs"
    records = []
    for seed, (path, size) in enumerate(SIZES.items()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / path)
        records.append(labelled(path, (root / path).read_bytes(), size, seed))
    words = {
        "names": NAMES,
        "prompts": [["dog", "puppy"], ["sofa/bed"], ["🐈 cat"], ["grass"]],
        "background": [3],
        "templates": ["a photo of a {}.", "{}"],
    }
    given = manifest(len(records), shard_size=3, vocabulary=words, root=str(root), **changes)
    with LabelWriter(folder / "labels", given) as writer:
        for position in writer.positions():
            writer.append(records[position])
    return LabelSet(folder / "labels")


def without_pixels(image: LabeledImage, path: str = "a.png") -> LabeledImage:
    """The record; that of one photograph with masks of no pixel."""
    if image.path != path:
        return image
    nothing = np.zeros((len(image.masks), *image.size), np.bool_)
    return replace(image, masks=MaskSet.from_masks(nothing))
