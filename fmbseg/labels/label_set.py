"""A folder of pseudo labels, opened for reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from fmbseg.checksums import read_rows
from fmbseg.files import DamagedFileError
from fmbseg.labels.collection import LabelCollection
from fmbseg.labels.manifest import ERRORS, read_manifest, shard_count
from fmbseg.labels.row_checks import row_problems
from fmbseg.labels.shards import SCHEMA, from_row, shard_name
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.labels.record import LabeledImage


class LabelSet(LabelCollection):
    """What :meth:`fmbseg.PseudoLabeler.label` wrote: a manifest and shards of labelled photographs.

    Iterating reads one shard after the other, a few records at a time.

    Args:
        folder: of ``manifest.json`` and ``shard-00000.parquet`` and on.

    Raises:
        FileNotFoundError: no manifest, or a shard that the manifest counts is missing.
        ValueError: a manifest that is not of this version, or that was changed since it was written.

    Example:
        >>> LabelSet("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: no/such/folder holds no label set: manifest.json is missing...
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self._vocabulary = Vocabulary.from_dict(self.manifest["vocabulary"])
        self._shards = [self.folder / shard_name(index) for index in range(shard_count(self.manifest))]
        missing = [shard.name for shard in self._shards if not shard.exists()]
        if missing:
            raise FileNotFoundError(
                f"{self.folder} is not finished: {len(missing)} of {len(self._shards)} shards are missing "
                f"({missing[0]} first). Run the same labelling again; it continues where it stopped"
            )

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes that the labels' indices point to."""
        return self._vocabulary

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings that made the labels."""
        return {key: self.manifest.get(key, {}) for key in ("models", "settings")}

    @property
    def root(self) -> Path:
        """Folder that the photographs' paths start from."""
        return Path(self.manifest["root"])

    @property
    def fingerprint(self) -> str:
        """Hash over vocabulary, models, settings and the list of photographs."""
        return str(self.manifest["hash"])

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Photographs that could not be labelled, each with ``path`` and ``error``."""
        return read_rows(self.folder / ERRORS)

    def __len__(self) -> int:
        return sum(open_shard(shard).metadata.num_rows for shard in self._shards)

    def __iter__(self) -> Iterator[LabeledImage]:
        root, classes = self.root, len(self._vocabulary)
        for shard in self._shards:
            for row in read_shard(shard):
                for problem in row_problems(row, classes, root):
                    raise _damaged(shard, problem)
                yield from_row(row)


def read_shard(shard: Path) -> Iterator[dict[str, Any]]:
    """Yield a shard's rows, a few of them in memory at a time.

    Raises:
        DamagedFileError: the file is damaged.
    """
    batches = open_shard(shard).iter_batches(batch_size=16)
    while True:
        try:
            batch = next(batches, None)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(shard, str(error)) from error
        if batch is None:
            return
        yield from batch.to_pylist()


def open_shard(shard: Path) -> pq.ParquetFile:
    """Open a shard for reading with its checksums.

    Raises:
        DamagedFileError: the file is damaged, or its columns are not those of a shard.
    """
    try:
        file = pq.ParquetFile(shard, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(shard, str(error)) from error
    if not file.schema_arrow.equals(SCHEMA):
        raise _damaged(shard, f"its columns are not those of a shard: {', '.join(file.schema_arrow.names)}")
    return file


def _damaged(shard: Path, why: str) -> DamagedFileError:
    return DamagedFileError(
        f"{shard} is damaged ({why}). Delete it and run the same labelling again: only this shard is redone"
    )
