"""A label set's files: the table that a shard holds, and writing that survives a kill at any moment."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmbseg.labels.record import LabeledImage
from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

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


def shard_name(index: int) -> str:
    """File name of a shard, for example ``shard-00003.parquet``."""
    return f"shard-{index:05d}.parquet"


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
    )


def write_shard(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a shard whole or not at all."""
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_atomically(path, sink.getvalue().to_pybytes())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_atomically(path, _encode(json.dumps(content, indent=2, ensure_ascii=False) + "\n"))


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a file of one JSON object a line, whole or not at all."""
    write_atomically(path, _encode("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)))


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name beside ``path``, flush to the disk, then rename over ``path``."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line; a last line that was cut short by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line feed was not finished
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}). Restore it, or delete it and run the same labelling again"
        ) from error


def _encode(text: str) -> bytes:
    """UTF-8; bytes of a file name that are not, which Python keeps as lone surrogates, as JSON escapes."""
    return text.encode("utf-8", "backslashreplace")
