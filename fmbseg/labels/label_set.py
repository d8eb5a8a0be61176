"""A folder of pseudo labels, opened for reading."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.labels.collection import LabelCollection
from fmbseg.labels.manifest import read_manifest, shard_count
from fmbseg.labels.row_checks import row_problems
from fmbseg.labels.shard_checks import check_failures, check_shards
from fmbseg.labels.shard_files import damaged, read_shard, shard_name
from fmbseg.labels.shards import from_row
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.labels.record import LabeledImage


class LabelSet(LabelCollection):
    """What :meth:`fmbseg.PseudoLabeler.label` writes: a manifest and shards of labelled photographs.

    Iterating reads one shard after another, a few records at a time, and checks the whole shard before
    its first record.

    Args:
        folder: with ``manifest.json``, ``shard-00000.parquet`` and so on.

    Raises:
        FileNotFoundError: no manifest, or a shard that the manifest counts is missing.
        DamagedFileError: a manifest that was changed since it was written, or a shard that is damaged, of
            another label set, or of another place in this one.
        ValueError: a manifest that is not of this version.

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
        self._facts = check_shards(dict(enumerate(self._shards)), self.manifest)

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
        """Hash over the manifest (except the photographs' folder) and the content of every shard.

        It does not depend on how shards are packed into files; it is read from their footers.
        """
        content = [self.manifest["hash"], *(one.content for one in self._facts)]
        return sha256(json.dumps(content).encode()).hexdigest()

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Photographs that could not be labelled, each with ``shard``, ``path`` and ``error``.

        Raises:
            DamagedFileError: the list was changed since it was written, or is incomplete.
        """
        return check_failures(self.folder, range(len(self._facts)), self._facts, self.manifest)

    def __len__(self) -> int:
        return sum(one.rows for one in self._facts)

    def __iter__(self) -> Iterator[LabeledImage]:
        root, classes = self.root, len(self._vocabulary)
        for shard in self._shards:
            for row in read_shard(shard):
                for problem in row_problems(row, classes, root):
                    raise damaged(shard, problem)
                yield from_row(row)
