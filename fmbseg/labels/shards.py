"""The table that a shard holds, and records as its rows."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fmbseg.labels.record import LabeledImage
from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_MASK = pa.struct(
    [
        ("counts", pa.string()),  # COCO's compressed run lengths are ASCII
        ("class_id", pa.int32()),
        ("stage", pa.int8()),
        ("predicted_iou", pa.float32()),
        ("stability", pa.float32()),
        ("similarity", pa.float32()),
        ("kept", pa.bool_()),
        ("points", pa.list_(pa.float32())),  # x0, y0, x1, y1, ...
        ("feature", pa.string()),  # base64 of float16, little-endian; null where it was not kept
    ]
)
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("detected", pa.list_(pa.int32())),
        ("masks", pa.list_(_MASK)),
    ]
)


def to_row(image: LabeledImage) -> dict[str, Any]:
    """Turn a record into a row of plain values, equal through JSON and through Parquet."""
    masks = image.masks
    columns = zip(
        (rle.decode("ascii") for rle in masks.rles),
        image.class_ids.tolist(),
        image.stages.tolist(),
        masks.predicted_iou.tolist(),
        masks.stability.tolist(),
        image.similarities.tolist(),
        image.kept.tolist(),
        ([float(value) for value in points.ravel()] for points in image.points),
        _encoded(image),
        strict=True,
    )
    names = [field.name for field in _MASK]
    return {
        "path": image.path,
        "sha256": image.sha256,
        "height": image.size[0],
        "width": image.size[1],
        "detected": list(image.detected),
        "masks": [dict(zip(names, values, strict=True)) for values in columns],
    }


def _encoded(image: LabeledImage) -> Iterable[str | None]:
    if image.features is None:
        return [None] * len(image.masks)
    return (b64encode(one.astype("<f2").tobytes()).decode("ascii") for one in image.features)


def _decoded(masks: Sequence[dict[str, Any]]) -> NDArray[np.float16] | None:
    found = [mask["feature"] for mask in masks if mask["feature"] is not None]
    if not found:
        return None
    return np.stack([np.frombuffer(b64decode(one), "<f2") for one in found]).astype(np.float16)


def from_row(row: dict[str, Any]) -> LabeledImage:
    """Turn a row back into a record."""
    masks = row["masks"]

    def column(name: str, dtype: Any) -> Any:
        return np.array([mask[name] for mask in masks], dtype=dtype)

    return LabeledImage(
        path=row["path"],
        sha256=row["sha256"],
        detected=tuple(row["detected"]),
        masks=MaskSet(
            size=(row["height"], row["width"]),
            rles=tuple(mask["counts"].encode("ascii") for mask in masks),
            predicted_iou=column("predicted_iou", np.float32),
            stability=column("stability", np.float32),
        ),
        class_ids=column("class_id", np.int32),
        stages=column("stage", np.int8),
        similarities=column("similarity", np.float32),
        kept=column("kept", np.bool_),
        points=tuple(np.array(mask["points"], dtype=np.float32).reshape(-1, 2) for mask in masks),
        features=_decoded(masks),
    )
