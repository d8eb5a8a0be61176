"""A folder of pseudo labels, opened for reading."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from fmbseg.labels.shards import SCHEMA, from_row, read_jsonl, shard_name
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.labels.record import LabeledImage

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ERRORS = "errors.jsonl"


class LabelSet:
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
        self.vocabulary = Vocabulary.from_dict(self.manifest["vocabulary"])
        self._shards = [self.folder / shard_name(index) for index in range(shard_count(self.manifest))]
        missing = [shard.name for shard in self._shards if not shard.exists()]
        if missing:
            raise FileNotFoundError(
                f"{self.folder} is not finished: {len(missing)} of {len(self._shards)} shards are missing "
                f"({missing[0]} first). Run the same labelling again; it continues where it stopped"
            )

    @classmethod
    def open(cls, folder: str | Path) -> LabelSet:
        """Open a folder of labels; the same as ``LabelSet(folder)``."""
        return cls(folder)

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
        return read_jsonl(self.folder / ERRORS)

    def __len__(self) -> int:
        return sum(_opened(shard).metadata.num_rows for shard in self._shards)

    def __iter__(self) -> Iterator[LabeledImage]:
        for shard in self._shards:
            yield from map(from_row, _rows(shard))

    def image_path(self, image: LabeledImage) -> Path:
        """Where the photograph of a record lies."""
        return self.root / image.path


def manifest_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 over all that decides a label set's bytes: everything but where the photographs lie."""
    content = {key: value for key, value in manifest.items() if key not in ("root", "hash")}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def shard_count(manifest: dict[str, Any]) -> int:
    """Shards of a finished label set."""
    return -(-int(manifest["images"]["count"]) // int(manifest["shard_size"]))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check a label set's manifest.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of another version, or not what was written.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no label set: {MANIFEST} is missing. Make one with `fmbseg label` or "
            "PseudoLabeler().label(photographs, vocabulary, out)"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a label set's manifest: {error!r}") from error
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version}; this fmbseg reads {SCHEMA_VERSION}. "
            "Use the version of fmbseg that its field `fmbseg` names, or label again"
        )
    if manifest_hash(manifest) != manifest.get("hash"):
        raise ValueError(f"{path} was changed after it was written: its hash does not fit. Restore it")
    return manifest


def _rows(shard: Path) -> Iterator[dict[str, Any]]:
    batches = _opened(shard).iter_batches(batch_size=16)
    while True:
        try:
            batch = next(batches, None)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(shard, str(error)) from error
        if batch is None:
            return
        yield from batch.to_pylist()


def _opened(shard: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(shard, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(shard, str(error)) from error
    if not file.schema_arrow.equals(SCHEMA):
        raise _damaged(shard, f"its columns are not those of a shard: {', '.join(file.schema_arrow.names)}")
    return file


def _damaged(shard: Path, why: str) -> ValueError:
    return ValueError(
        f"{shard} is damaged ({why}). Delete it and run the same labelling again: only this shard is redone"
    )
