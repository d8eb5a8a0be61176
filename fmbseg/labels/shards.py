"""Shards: records as rows of a table, in files that are written whole and sealed against damage."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmbseg.files import DamagedFileError
from fmbseg.labels.parquet_seal import PLACEHOLDERS, SealingFile, check_pages, read_footer
from fmbseg.labels.place import opened, written
from fmbseg.labels.record import LabeledImage
from fmbseg.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fmbseg.labels.place import Place

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
        ("certainty", pa.float32()),  # null where it is not known
    ]
)
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("detected", pa.list_(pa.int32())),
        ("presences", pa.list_(pa.float32())),  # of the classes detected; null where it is not known
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
        nulls(image.certainties),
        strict=True,
    )
    names = [field.name for field in _MASK]
    return {
        "path": image.path,
        "sha256": image.sha256,
        "height": image.size[0],
        "width": image.size[1],
        "detected": list(image.detected),
        "presences": nulls(image.presences),
        "masks": [dict(zip(names, values, strict=True)) for values in columns],
    }


def nulls(values: NDArray[np.float32]) -> list[float | None]:
    """Values as plain numbers, with None for NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


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
        certainties=column("certainty", np.float32),  # NaN for None
        presences=np.array(row["presences"], np.float32),
    )


ROW_GROUP = 64
"""Photographs that a writer holds in memory at once."""
_BATCH = 16
_PREFIX = "fmbseg."


class ShardFacts(NamedTuple):
    """What a shard records about itself.

    Attributes:
        manifest: hash of the label set's manifest.
        shard: its place in the label set, from 0.
        content: SHA-256 of its rows, however they were written and packed.
        rows: how many.
        failed: its photographs that could not be labelled.
    """

    manifest: str
    shard: int
    content: str
    rows: int
    failed: int


def shard_name(index: int) -> str:
    """File name of a shard, for example ``shard-00003.parquet``."""
    return f"shard-{index:05d}.parquet"


def write_shard(place: Place, rows: Iterable[dict[str, Any]], *, manifest: str, shard: int) -> None:
    """Write a shard whole or not at all, a few rows in memory at a time.

    Args:
        place: of the shard.
        rows: in order. One with ``path`` and ``error`` is of a photograph that could not be labelled: the
            shard lists it in its footer, so that a shard is all that is known of its photographs.
        manifest: hash of the manifest of the label set that it belongs to.
        shard: its place there.

    Raises:
        FileExistsError: object storage has a shard of that name.
        OSError: it cannot be written.
    """
    content, failed = sha256(), list[list[str]]()
    with written(place) as file:
        sealing = SealingFile(file)
        with pq.ParquetWriter(sealing, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            source = _labelled(rows, failed)
            while group := list(islice(source, ROW_GROUP)):
                for row in group:
                    content.update(encode_row(row))
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            sealing.hold_back()
            facts = {
                "manifest": manifest,
                "shard": str(shard),
                "content": content.hexdigest(),
                "failed": json.dumps(failed),
            }
            writer.add_key_value_metadata(
                {f"{_PREFIX}{name}": value for name, value in (facts | PLACEHOLDERS).items()}
            )
        sealing.finish()


def _labelled(rows: Iterable[dict[str, Any]], failed: list[list[str]]) -> Iterator[dict[str, Any]]:
    """The rows of records; the others are added to ``failed``."""
    for row in rows:
        if "error" in row:
            failed.append([row["path"], row["error"]])
        else:
            yield row


def encode_row(row: dict[str, Any]) -> bytes:
    """A row as the bytes that the content hash of a shard covers."""
    return json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_facts(place: Place) -> ShardFacts:
    """Read and check what a shard records about itself, without reading its rows; see :func:`read_about`."""
    return read_about(place)[0]


def read_about(place: Place) -> tuple[ShardFacts, list[dict[str, Any]]]:
    """Read and check a shard's footer: what it records about itself, and the photographs that failed.

    Returns:
        The facts, and of each photograph that could not be labelled ``path`` and ``error``.

    Raises:
        DamagedFileError: it was changed since it was written, or is not a shard.
        OSError: it cannot be read.
    """
    try:
        facts, failed = _facts(_open(BytesIO(read_footer(place).content)))
    except DamagedFileError as error:
        raise damaged(place, str(error)) from error
    return facts, [{"path": path, "error": error} for path, error in failed]


def read_shard(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a shard's rows, a few of them in memory at a time; the whole file is checked before the first.

    Raises:
        DamagedFileError: it was changed since it was written, or is not a shard.
        OSError: it cannot be read.
    """
    try:
        footer = read_footer(place)
        with opened(place) as file:
            check_pages(file, footer)
            batches = _open(file).iter_batches(batch_size=_BATCH)
            while (batch := next(batches, None)) is not None:
                yield from batch.to_pylist()
    except (DamagedFileError, pa.ArrowException) as error:
        raise damaged(place, str(error)) from error


def damaged(place: Place, why: str) -> DamagedFileError:
    """The error for a shard that cannot be trusted."""
    return DamagedFileError(
        f"{place} is damaged ({why}). Delete it and run the same labelling again: only this shard is redone"
    )


def _open(source: BinaryIO) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(source)
    except pa.ArrowException as error:
        raise DamagedFileError(str(error)) from error
    if not file.schema_arrow.equals(SCHEMA):
        raise DamagedFileError(f"its columns are not those of a shard: {', '.join(file.schema_arrow.names)}")
    return file


def _facts(file: pq.ParquetFile) -> tuple[ShardFacts, list[list[str]]]:
    found = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    try:
        failed = json.loads(found[f"{_PREFIX}failed"])
        if not isinstance(failed, list) or any(list(map(type, one)) != [str, str] for one in failed):
            raise ValueError
        facts = ShardFacts(
            manifest=found[f"{_PREFIX}manifest"],
            shard=int(found[f"{_PREFIX}shard"]),
            content=found[f"{_PREFIX}content"],
            rows=file.metadata.num_rows,
            failed=len(failed),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError("it does not say which label set it belongs to") from error
    return facts, failed
