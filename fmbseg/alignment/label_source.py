"""What Stage 2 needs to know of pseudo labels, wherever they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from fmbseg.vocabulary import VocabularySource


class LabelRecord(Protocol):
    """What is read of a photograph's labels; :class:`~fmbseg.labels.record.LabeledImage` has more."""

    @property
    def path(self) -> str:
        """Of the photograph's file, from the root of the labels."""
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


class LabelSource(Protocol):
    """Pseudo labels that can be gone through twice, as a :class:`~fmbseg.labels.label_set.LabelSet` can."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes that the labels' indices point to."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal for equal labels only."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabelRecord]: ...

    def image_path(self, record: LabelRecord) -> Path:
        """Where the photograph of a record is."""
        ...


@dataclass(frozen=True)
class RecordedLabels:
    """Records at hand as a :class:`LabelSource`.

    Args:
        records: of the photographs.
        vocabulary: that their class indices point to.
        root: folder that their paths start from.
    """

    records: tuple[LabelRecord, ...]
    vocabulary: Vocabulary
    root: Path = Path()

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

    def image_path(self, record: LabelRecord) -> Path:
        """Where the photograph of a record is."""
        return self.root / record.path


def open_labels(
    labels: LabelSource | str | Path | Iterable[LabelRecord],
    vocabulary: VocabularySource | None,
    root: Path,
) -> LabelSource:
    """Labels as a :class:`LabelSource`, whatever they are given as.

    Args:
        labels: a source, the folder of a label set, or records.
        vocabulary: of records; a source brings its own.
        root: folder that the paths of records start from.

    Raises:
        ValueError: a vocabulary too many, or none.
    """
    if isinstance(labels, str | Path):
        from fmbseg.labels.label_set import LabelSet

        labels = LabelSet(Path(labels))
    if hasattr(labels, "image_path"):  # isinstance with a protocol would compute the fingerprint
        if vocabulary is not None:
            raise ValueError("a label set has its own vocabulary: leave out the argument `vocabulary`")
        return cast("LabelSource", labels)
    if vocabulary is None:
        raise ValueError("records do not say what their class indices mean: give their `vocabulary`")
    return RecordedLabels(tuple(labels), Vocabulary.of(vocabulary), root)


def models_without_paths(models: Mapping[str, object]) -> dict[str, str]:
    """The specs of the models that made labels, with the folders of this machine left out.

    A head is handed on with them, and nobody needs to know where its maker keeps files.

    Example:
        >>> models_without_paths({"mask_generator": "sam:vit_h@/home/me/sam.pth", "mask_options": {}})
        {'mask_generator': 'sam:vit_h@sam.pth'}
    """
    folders = re.compile(r"(?<=[:@,])(?:~|[A-Za-z]:)?[/\\][^?,]*[/\\]")
    return {role: folders.sub("", spec) for role, spec in models.items() if isinstance(spec, str)}
