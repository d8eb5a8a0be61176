"""Label records that several test files share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmbseg.labels.manifest import SCHEMA_VERSION
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE, LabeledImage
from fmbseg.masks import MaskSet

SIZE = (4, 6)


def boxes(*corners: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> MaskSet:
    """Rectangular masks, each (top, left, bottom, right), the last two just outside."""
    masks = np.zeros((len(corners), *size), dtype=np.bool_)
    for mask, (top, left, bottom, right) in zip(masks, corners, strict=True):
        mask[top:bottom, left:right] = True
    scores = np.linspace(0.7, 0.95, len(corners), dtype=np.float32)
    return MaskSet.from_masks(masks, predicted_iou=scores, stability=scores / 3)


def record(path: str = "dog.jpg", masks: MaskSet | None = None, **changes: Any) -> LabeledImage:
    """A record of three masks: two of Stage 1.1, one of Stage 1.2 that the draw left out."""
    features, certainties = None, np.zeros(0, np.float32)
    if masks is None:
        certainties = np.array([0.75, np.nan, 0.25], np.float32)
        masks = boxes((0, 0, 4, 4), (1, 1, 3, 3), (2, 2, 4, 6))
        features = np.array([[0.6, 0.8], [1, 0], [1 / 3, -0.94]], dtype=np.float16)
    three = np.array([[1.5, 2.25], [0.1, 1 / 3]], dtype=np.float32)
    fields: dict[str, Any] = {
        "path": path,
        "sha256": "ab" * 32,
        "detected": (1, 4),
        "masks": masks,
        "class_ids": np.array([4, 1, 4], dtype=np.int32),
        "stages": np.array([POINT_STAGE, POINT_STAGE, EVERYTHING_STAGE], dtype=np.int8),
        "similarities": np.array([0.1, -0.2, 1 / 3], dtype=np.float32),
        "kept": np.array([True, True, False]),
        "points": (three, three[:1], np.zeros((0, 2), dtype=np.float32)),
        "features": features,
        "certainties": certainties,
    }
    if "detected" not in changes:
        fields["presences"] = np.array([np.nan, 0.75], np.float32)
    return LabeledImage(**{**fields, **changes})


def empty_record(path: str = "nothing.png") -> LabeledImage:
    """A record of a photograph in which no class was found."""
    return record(
        path,
        MaskSet.empty((3, 5)),
        detected=(),
        class_ids=np.zeros(0, np.int32),
        stages=np.zeros(0, np.int8),
        similarities=np.zeros(0, np.float32),
        kept=np.zeros(0, np.bool_),
        points=(),
    )


def manifest(count: int, shard_size: int = 2, **changes: Any) -> dict[str, Any]:
    """What a run over ``count`` photographs gives a writer."""
    return {
        "schema_version": SCHEMA_VERSION,
        "fmbseg": "0.1.0",
        "vocabulary": {
            "names": ["a", "b", "c", "d", "e"],
            "prompts": [["a"], ["b"], ["c"], ["d"], ["e"]],
            "background": [],
            "templates": ["a photo of a {}."],
        },
        "models": {"image_text": "conse", "mask_generator": "superpixels", "mask_options": {}},
        "settings": {"seed": 0, "min_crops": 2},
        "images": {"count": count, "sha256_of_paths_and_sizes": "cd" * 32},
        "shard_size": shard_size,
        "root": "/photographs",
        **changes,
    }


def assert_equal(one: LabeledImage, other: LabeledImage) -> None:
    """Every field of two records is the same, types included."""
    for name in ("path", "sha256", "size", "detected"):
        assert getattr(one, name) == getattr(other, name)
    assert one.masks.rles == other.masks.rles
    pairs = [(getattr(one, name), getattr(other, name)) for name in ARRAYS]
    pairs += [
        (getattr(one.masks, name), getattr(other.masks, name)) for name in ("predicted_iou", "stability")
    ]
    assert (one.features is None) == (other.features is None)
    if one.features is not None:
        pairs.append((one.features, other.features))
    pairs += list(zip(one.points, other.points, strict=True))
    for left, right in pairs:
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, strict=True)


ARRAYS = ("class_ids", "stages", "similarities", "kept", "certainties", "presences")
