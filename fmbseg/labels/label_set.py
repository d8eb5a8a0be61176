"""A folder of pseudo labels: opened for reading, or written from any collection."""

from __future__ import annotations

import json
from contextlib import closing
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.ahead import ordered_map
from fmbseg.certainty import check_certainty
from fmbseg.labels.checks import check_shards, row_problems
from fmbseg.labels.claimed import present
from fmbseg.labels.collection import LabelCollection
from fmbseg.labels.manifest import new_manifest, read_manifest, shard_count, shown_from
from fmbseg.labels.place import at_once, place_of
from fmbseg.labels.shards import damaged, from_row, read_about, read_shard, shard_name
from fmbseg.labels.writer import LabelWriter
from fmbseg.part import Part
from fmbseg.review.layer import Corrections
from fmbseg.storage import path_or_uri
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.labels.place import Remote
    from fmbseg.labels.record import LabeledImage


class LabelSet(LabelCollection):
    """What :meth:`fmbseg.PseudoLabeler.label` writes: a manifest and shards of labelled photographs.

    Iterating reads one shard after another, a few records at a time, and checks the whole shard before
    its first record. Every mask is kept with its certainty, and what is less certain than asked is left out
    as it is read: nothing need be labelled again to see more, or less.

    Args:
        folder: with ``manifest.json``, ``shard-00000.parquet`` and so on; a path, or a URI such as
            ``s3://bucket/labels``, of which one shard at a time is fetched to memory.
        part: read the shards of this part alone; the others need not be there.
        certainty: read masks and classes that are as certain as this, 0 to 1, and those of which it is not
            known; by default what the settings of the labels say, of which ``Aligner.fit`` and :func:`save`
            take everything all the same (:attr:`whole`).
        corrected: with what people decided about masks (``fmbseg app``, page Review), if anybody did; else as
            the models made them.

    Raises:
        FileNotFoundError: no manifest, or a shard that the manifest counts is missing.
        DamagedFileError: a manifest that was changed since it was written, or a shard that is damaged, of
            another label set, or of another place in this one; or people's corrections that are damaged or of
            other labels.
        ValueError: a manifest that is not of this version, or a certainty outside 0 to 1.

    Example:
        >>> LabelSet("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: no/such/folder holds no label set: manifest.json is missing...
    """

    def __init__(
        self,
        folder: str | Path | Remote,
        part: Part | None = None,
        *,
        certainty: float | None = None,
        corrected: bool = True,
    ) -> None:
        self.place = place_of(folder)
        self.manifest = read_manifest(self.place)
        self._asked = None if certainty is None else check_certainty("certainty", certainty)
        self._least = shown_from(self.manifest) if self._asked is None else self._asked
        self._vocabulary = Vocabulary.from_dict(self.manifest["vocabulary"])
        wanted = (part or Part()).take(range(shard_count(self.manifest)))
        there = present(self.place, self.manifest)
        missing = [shard_name(index) for index in wanted if index not in there]
        if missing:
            raise FileNotFoundError(
                f"{self.place} is not finished: {len(missing)} of {len(wanted)} shards are missing "
                f"({missing[0]} first). Run the same labelling again; it continues where it stopped"
            )
        self._shards = {index: there[index] for index in wanted}
        self._facts = check_shards(self._shards, self.manifest)
        # People correct labels in a folder; there is no journal in object storage.
        here = self.place if corrected and isinstance(self.place, Path) else None
        names = self._vocabulary.names
        self.layer = (
            Corrections(names) if here is None else Corrections.read(here, self.manifest["hash"], names)
        )

    @property
    def folder(self) -> Path:
        """The local folder that it lies in; a ValueError for one in object storage (see ``place``)."""
        if not isinstance(self.place, Path):
            raise ValueError(f"{self.place} is no local folder: copy it to one, or use LabelSet.place")
        return self.place

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes that the labels' indices point to."""
        return self._vocabulary

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings that made the labels, who corrected them, and the certainty asked for."""
        origin = {key: self.manifest.get(key, {}) for key in ("models", "settings")}
        return {**origin, "steps": self._steps} if self._steps else origin

    @property
    def _steps(self) -> list[dict[str, Any]]:
        review = [{"review": self.layer.fingerprint}] if self.layer else []
        return [*review, *([] if self._asked is None else [{"certainty": self._asked}])]

    @property
    def root(self) -> Path | str:
        """Folder, or URI, that the photographs' paths start from."""
        return path_or_uri(self.manifest["root"])

    @property
    def fingerprint(self) -> str:
        """Hash over the manifest (except the photographs' folder) and the content of every shard.

        It does not depend on how shards are packed into files; it is read from their footers. Corrections,
        and a certainty that was asked for, are hashed, too.
        """
        content = [self.manifest["hash"], *(one.content for one in self._facts)]
        content += map(json.dumps, self._steps)
        return sha256(json.dumps(content).encode()).hexdigest()

    def certain(self, certainty: float) -> LabelSet:
        """The same labels with what is this certain; see :meth:`LabelCollection.certain`."""
        chosen = copy(self)
        chosen._asked = chosen._least = check_certainty("certainty", certainty)
        return chosen

    @property
    def whole(self) -> LabelSet:
        """The same labels with what is less certain, unless a certainty was asked for."""
        if self._asked is not None or not self._least:
            return self
        everything = copy(self)
        everything._least = 0.0
        return everything

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Photographs that could not be labelled, each with ``shard``, ``path`` and ``error``.

        Raises:
            DamagedFileError: a shard was changed since the label set was opened.
        """
        shards = [self._shards[facts.shard] for facts in self._facts if facts.failed]
        with closing(ordered_map(read_about, shards, workers=at_once(shards))) as read:
            return [{"shard": facts.shard, **row} for _, (facts, failed) in read for row in failed]

    def __len__(self) -> int:
        return sum(one.rows for one in self._facts)

    def __iter__(self) -> Iterator[LabeledImage]:
        for shard in self._shards:
            for row in self.rows(shard):
                yield self.shown(from_row(self.layer.corrected(row)))

    @property
    def least(self) -> float:
        """Masks and classes that are less certain are not read, 0 to 1."""
        return self._least

    def shown(self, image: LabeledImage) -> LabeledImage:
        """A record with what is certain enough alone."""
        return image.certain(self._least)

    @property
    def shards(self) -> list[int]:
        """Places of the shards that are read."""
        return list(self._shards)

    def rows(self, shard: int) -> Iterator[dict[str, Any]]:
        """A shard's rows, each checked, as the models made them."""
        for row in read_shard(self._shards[shard]):
            for problem in row_problems(row, len(self._vocabulary), self.root):
                raise damaged(self._shards[shard], problem)
            yield row


def save(labels: LabelCollection, out: str | Path, *, shard_size: int = 1000) -> LabelSet:
    """Write labels to a new folder; a run that was stopped continues where it stopped.

    Args:
        labels: a label set, or a collection derived from one; the manifest records how. What is less certain
            than is shown is written, too, unless a certainty was asked for.
        out: folder to write to, or a URI.
        shard_size: photographs a shard.

    Returns:
        The label set that was written.

    Raises:
        ValueError: ``out`` holds other labels, or ``shard_size`` is below 1.
    """
    labels = labels.whole
    manifest = new_manifest(
        labels.vocabulary,
        count=len(labels),
        shard_size=shard_size,
        root=labels.root,
        **labels.origin,
        source=labels.fingerprint,
    )
    with LabelWriter(out, manifest) as writer:
        todo = set(writer.positions())
        for position, image in enumerate(labels):
            if position in todo:
                writer.append(image)
    return LabelSet(out)
