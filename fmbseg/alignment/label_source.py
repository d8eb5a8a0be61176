"""What Stage 2 needs to know about pseudo labels, wherever they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from fmbseg.contract_check import missing_members
from fmbseg.labels.collection import LabelCollection
from fmbseg.labels.record import PhotographFile, checked_photograph
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.vocabulary import VocabularySource


class LabelRecord(Protocol):
    """What Stage 2 reads of a photograph's labels; :class:`~fmbseg.labels.record.LabeledImage` has more."""

    @property
    def path(self) -> str:
        """Path of the photograph's file, from the root of the labels."""
        ...

    @property
    def sha256(self) -> str:
        """Of the photograph's file."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photograph, in pixels."""
        ...

    @property
    def detected(self) -> tuple[int, ...]:
        """Indices of the classes that are in the photograph."""
        ...

    def label_map(self) -> NDArray[np.int32]:
        """Class of each pixel, -1 for none, (H, W)."""
        ...


@runtime_checkable
class MaskedRecord(LabelRecord, Protocol):
    """Labels that know which mask each pixel's label comes from, as those of Stage 1 do."""

    @property
    def masks(self) -> MaskSet:
        """The N masks, with the mask model's predicted IoU."""
        ...

    @property
    def similarities(self) -> NDArray[np.float32]:
        """Similarity of each mask's mean feature to its class, (N,)."""
        ...

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether each mask was drawn for training, (N,)."""
        ...

    @property
    def features(self) -> NDArray[np.float16] | None:
        """The mean dense feature under each mask, unit vectors (N, D); None if they were not kept."""
        ...

    def top_masks(self) -> NDArray[np.int32]:
        """The mask that each pixel's label comes from, -1 for none, (H, W)."""
        ...


class LabelSource(Protocol):
    """Pseudo labels that can be read more than once, as a :class:`~fmbseg.labels.label_set.LabelSet` can."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes that the labels' indices point to."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash, equal only for equal labels."""
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """What made the labels; ``models`` has their specs."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabelRecord]: ...

    def photograph_of(self, record: LabelRecord) -> PhotographFile:
        """Where the photograph of a record is.

        Raises:
            PhotographError: it is not there, or not the one that was labelled.
        """
        ...


@dataclass(frozen=True)
class RecordedLabels:
    """Records in memory as a :class:`LabelSource`.

    Args:
        records: of the photographs.
        vocabulary: the classes that their indices point to.
        root: folder or URI that their paths start from, and may not leave.
        origin: what made them, if known; ``models`` has specs by role.
    """

    records: tuple[LabelRecord, ...]
    vocabulary: Vocabulary
    root: Path | str = Path()
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the vocabulary and of every photograph with its label map."""
        digest = sha256(self.vocabulary.fingerprint.encode())
        for record in self.records:
            digest.update(record.sha256.encode())
            digest.update(np.ascontiguousarray(record.label_map(), dtype="<i4").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[LabelRecord]:
        return iter(self.records)

    def photograph_of(self, record: LabelRecord) -> PhotographFile:
        """Where the photograph of a record is.

        Raises:
            PhotographError: it is not there, or not the one that was labelled; or its path leads out of
                ``root``.
        """
        return checked_photograph(self.root, record)


def open_labels(
    labels: LabelSource | str | Path | Iterable[LabelRecord],
    vocabulary: VocabularySource | None,
    root: Path | str,
) -> LabelSource:
    """Labels in any accepted form, as a :class:`LabelSource`.

    Of a collection what is trained on is :attr:`~fmbseg.labels.collection.LabelCollection.whole`.

    Args:
        labels: a source, the folder of a label set, or records.
        vocabulary: the classes of records; a source has its own.
        root: folder or URI that the paths of records start from.

    Raises:
        ValueError: a vocabulary is given twice, or not at all.
    """
    if isinstance(labels, str | Path):
        from fmbseg.labels.label_set import LabelSet

        labels = LabelSet(labels)
    if isinstance(labels, LabelCollection):
        labels = labels.whole
    if missing_members(labels, LabelSource) == ([], []):  # isinstance would compute the fingerprint
        if vocabulary is not None:
            raise ValueError("a label set has its own vocabulary: leave out the argument `vocabulary`")
        return cast("LabelSource", labels)
    if vocabulary is None:
        raise ValueError("records do not say what their class indices mean: give their `vocabulary`")
    return RecordedLabels(tuple(labels), Vocabulary.of(vocabulary), root)


def models_without_paths(models: Mapping[str, object]) -> dict[str, str]:
    """The specs of the models that made labels and a teacher's licence, without folders of this machine.

    They are published with a head, and nobody needs to know where its maker keeps files.

    Example:
        >>> models_without_paths({"mask_generator": "sam:vit_h@/home/me/sam.pth", "mask_options": {}})
        {'mask_generator': 'sam:vit_h@sam.pth'}
        >>> models_without_paths({"teacher": "grounded:/d/dino+sam@/m/s.pth", "license": "https://x.org/l"})
        {'teacher': 'grounded:dino+sam@s.pth', 'license': 'https://x.org/l'}
    """
    folders = re.compile(r"(?<=[:@,+])(?:~|[A-Za-z]:)?[/\\][^?,+]*[/\\]")
    specs = {role: spec for role, spec in models.items() if isinstance(spec, str)}
    # A licence may be an address, and names no folder.
    return {role: spec if role == "license" else folders.sub("", spec) for role, spec in specs.items()}
