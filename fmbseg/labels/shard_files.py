"""The file of a shard: written whole, sealed against damage, and naming the label set it belongs to."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fmbseg.files import DamagedFileError, open_atomically
from fmbseg.labels.parquet_seal import PLACEHOLDERS, SealingFile, check_footer, check_pages
from fmbseg.labels.shards import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

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
    """

    manifest: str
    shard: int
    content: str
    rows: int


def shard_name(index: int) -> str:
    """File name of a shard, for example ``shard-00003.parquet``."""
    return f"shard-{index:05d}.parquet"


def write_shard(path: Path, rows: Iterable[dict[str, Any]], *, manifest: str, shard: int) -> None:
    """Write a shard whole or not at all, a few rows in memory at a time.

    Args:
        path: of the shard.
        rows: in order.
        manifest: hash of the manifest of the label set that it belongs to.
        shard: its place there.
    """
    content = sha256()
    with open_atomically(path) as file:
        sealing = SealingFile(file)
        with pq.ParquetWriter(sealing, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            source = iter(rows)
            while group := list(islice(source, ROW_GROUP)):
                for row in group:
                    content.update(encode_row(row))
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            sealing.hold_back()
            facts = {"manifest": manifest, "shard": str(shard), "content": content.hexdigest()}
            writer.add_key_value_metadata(
                {f"{_PREFIX}{name}": value for name, value in (facts | PLACEHOLDERS).items()}
            )
        sealing.finish()


def encode_row(row: dict[str, Any]) -> bytes:
    """A row as the bytes that the content hash of a shard covers."""
    return json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_facts(path: Path) -> ShardFacts:
    """Read and check what a shard records about itself, without reading its rows.

    Raises:
        DamagedFileError: it was changed since it was written, or is not a shard.
        OSError: it cannot be read.
    """
    try:
        check_footer(path)
        return _facts(_open(path))
    except DamagedFileError as error:
        raise damaged(path, str(error)) from error


def read_shard(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a shard's rows, a few of them in memory at a time; the whole file is checked before the first.

    Raises:
        DamagedFileError: it was changed since it was written, or is not a shard.
        OSError: it cannot be read.
    """
    try:
        check_pages(path, check_footer(path))
        batches = _open(path).iter_batches(batch_size=_BATCH)
        while (batch := next(batches, None)) is not None:
            yield from batch.to_pylist()
    except (DamagedFileError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, why: str) -> DamagedFileError:
    """The error for a shard that cannot be trusted."""
    return DamagedFileError(
        f"{path} is damaged ({why}). Delete it and run the same labelling again: only this shard is redone"
    )


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise DamagedFileError(str(error)) from error
    if not file.schema_arrow.equals(SCHEMA):
        raise DamagedFileError(f"its columns are not those of a shard: {', '.join(file.schema_arrow.names)}")
    return file


def _facts(file: pq.ParquetFile) -> ShardFacts:
    found = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    try:
        return ShardFacts(
            manifest=found[f"{_PREFIX}manifest"],
            shard=int(found[f"{_PREFIX}shard"]),
            content=found[f"{_PREFIX}content"],
            rows=file.metadata.num_rows,
        )
    except (KeyError, ValueError) as error:
        raise DamagedFileError("it does not say which label set it belongs to") from error
