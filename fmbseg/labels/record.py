"""The pseudo labels of one photograph, and whether the photograph is still the one that was labelled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from fmbseg.files import check_inside, sha256_of
from fmbseg.signatures import ImageError, MissingImageError
from fmbseg.sources.contract import StoredImage
from fmbseg.sources.stored import StoredPhotographs, is_held
from fmbseg.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet

PhotographFile: TypeAlias = Path | StoredImage
"""Where a photograph is: a file here, or one that is read from elsewhere."""

POINT_STAGE = 11
"""Stage 1.1: masks from point prompts."""
EVERYTHING_STAGE = 12
"""Stage 1.2: masks from "segment everything", named afterwards."""
CONCEPT_STAGE = 15
"""Found by a concept model, which names and cuts in one step."""
HAND_STAGE = 20
"""Drawn or corrected by a person; imported labels that do not say otherwise."""
STAGES = {POINT_STAGE: "1.1", EVERYTHING_STAGE: "1.2", CONCEPT_STAGE: "concept", HAND_STAGE: "hand"}
"""The name of each stage."""
UNLABELLED = -1


def _unknown() -> NDArray[np.float32]:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class LabeledImage:
    """One photograph's classes and named masks.

    Args:
        path: of the photograph, relative to the label set's ``root``, with forward slashes.
        sha256: of the photograph's file, in hexadecimal.
        detected: indices of the classes that were found, ascending.
        masks: N masks at the photograph's size.
        class_ids: (N,) index of each mask's class in the vocabulary.
        stages: (N,) one of :data:`STAGES`.
        similarities: (N,) of each mask's mean dense feature to its class, -1 to 1; a concept model's score.
        kept: (N,) whether the mask was drawn for training (paper §4.1: 75 % of those of Stage 1.2).
        points: for each mask its query points (P, 2), as (x, y) in pixels; (0, 2) where there were none.
        features: (N, D) mean dense feature under each mask, unit vectors; None where they were not kept.
        certainties: (N,) how likely each mask's class is right, 0 to 1; NaN where the models do not tell, as
            for all of them if left out.
        presences: how likely each of the detected classes is in the photograph, likewise.

    Raises:
        ValueError: arrays whose length is not the number of masks, or of classes.
    """

    path: str
    sha256: str
    detected: tuple[int, ...]
    masks: MaskSet
    class_ids: NDArray[np.int32]
    stages: NDArray[np.int8]
    similarities: NDArray[np.float32]
    kept: NDArray[np.bool_]
    points: tuple[NDArray[np.float32], ...]
    features: NDArray[np.float16] | None = None
    certainties: NDArray[np.float32] = field(default_factory=_unknown)
    presences: NDArray[np.float32] = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for name, count in (("certainties", len(self.masks)), ("presences", len(self.detected))):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(count, np.nan, np.float32))
        for name in ("class_ids", "stages", "similarities", "kept", "points", "features", "certainties"):
            if getattr(self, name) is not None and len(getattr(self, name)) != len(self.masks):
                raise ValueError(
                    f"{self.path}: {name} has {len(getattr(self, name))} entries for {len(self.masks)} masks"
                )
        if len(self.presences) != len(self.detected):
            raise ValueError(
                f"{self.path}: presences has {len(self.presences)} entries for {len(self.detected)} classes"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photograph in pixels, after its EXIF turn."""
        return self.masks.size

    def label_map(
        self,
        stages: Collection[int] = tuple(STAGES),
        *,
        kept_only: bool = True,
    ) -> NDArray[np.int32]:
        """Paint the masks into one map.

        Where masks overlap, those of Stage 1.2 lie on those of Stage 1.1: the feature under a mask names it
        more surely than five points find it. On both lie those of a concept model, and on all of them those
        drawn by hand. Within a stage the smaller mask (in pixels) lies on top: a part is smaller than its
        whole, and an object smaller than its surroundings; of equal areas the later one.

        Args:
            stages: which stages' masks to paint.
            kept_only: leave out the masks that the draw left out.

        Returns:
            (H, W), the class's index in the vocabulary, or :data:`UNLABELLED`.
        """
        classes = np.append(self.class_ids, np.int32(UNLABELLED))  # the last is where -1 points to
        return classes[self.top_masks(stages, kept_only=kept_only)]

    def top_masks(
        self,
        stages: Collection[int] = tuple(STAGES),
        *,
        kept_only: bool = True,
    ) -> NDArray[np.int32]:
        """Find the mask that lies on top at each pixel, in the order of :meth:`label_map`.

        Args:
            stages: as in :meth:`label_map`.
            kept_only: as in :meth:`label_map`.

        Returns:
            (H, W), the position of the mask, or -1.
        """
        top = np.full(self.size, -1, dtype=np.int32)
        chosen = np.isin(self.stages, list(stages)) & (self.kept if kept_only else True)
        for index in np.lexsort((-self.masks.areas, self.stages)):
            if chosen[index]:
                top[self.masks.decode(int(index))] = index
        return top

    def certain(self, least: float) -> LabeledImage:
        """The same photograph with only the classes and masks that are as certain as ``least``, 0 to 1.

        What the models do not tell the certainty of stays, and so does the class of every mask that stays.
        """
        if not least:
            return self
        sure = ~(self.certainties < least)  # true for NaN, too
        found = ~(self.presences < least) | np.isin(self.detected, self.class_ids[sure])
        return replace(
            self.select(sure),
            detected=tuple(index for index, stays in zip(self.detected, found, strict=True) if stays),
            presences=self.presences[found],
        )

    def select(self, which: NDArray[np.bool_]) -> LabeledImage:
        """The same photograph with only some of its masks.

        Args:
            which: (N,) bool.
        """
        positions = np.flatnonzero(which)
        return replace(
            self,
            masks=self.masks.select(positions),
            class_ids=self.class_ids[positions],
            stages=self.stages[positions],
            similarities=self.similarities[positions],
            kept=self.kept[positions],
            points=tuple(self.points[position] for position in positions),
            features=None if self.features is None else self.features[positions],
            certainties=self.certainties[positions],
        )


_REMEDY = "put it back, or label again"


class HasPhotograph(Protocol):
    """A record of a photograph, made by this package or another."""

    @property
    def path(self) -> str:
        """Path of the photograph relative to the labels' root, with forward slashes."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the photograph's file, in hexadecimal."""
        ...


class PhotographError(ValueError):
    """A photograph is missing, or is not the one that was labelled; the message names it."""


class MissingPhotographError(PhotographError):
    """A photograph is not where it was labelled."""


def photograph_at(root: Path | str, path: str) -> PhotographFile:
    """Where a photograph should be: a path, or what reads it from storage, a tar file or a table.

    Args:
        root: folder or URI that the path starts from.
        path: of the record.

    Raises:
        ValueError: the path leads out of the root.
    """
    check_inside(root, path)
    if isinstance(root, str) or is_held(path):
        return StoredImage(StoredPhotographs(str(root)), path)
    return root / path


def photograph_bytes(photograph: PhotographFile) -> bytes:
    """The bytes of a photograph's file."""
    return photograph.read() if isinstance(photograph, StoredImage) else photograph.read_bytes()


def checked_photograph(root: Path | str, record: HasPhotograph) -> PhotographFile:
    """Find the photograph of a record and make sure that it is the one that was labelled.

    The file is read and hashed at every call: its size and date do not show what is in it, and reading it
    costs far less than decoding it. It may be reached by a link that leads out of ``root``: its hash says
    that it is what the record is of.

    Args:
        root: folder or URI that the record's path starts from.
        record: with the photograph's path and hash.

    Returns:
        The path of the photograph, or what reads it from elsewhere.

    Raises:
        PhotographError: it is missing, cannot be read, is not a regular file or was changed; or the
            record's path leads out of ``root``.
        StorageError: object storage cannot be reached, or refuses.

    Example:
        >>> import tempfile
        >>> from hashlib import sha256
        >>> from types import SimpleNamespace
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.jpg").write_bytes(b"a photograph")
        ...     record = SimpleNamespace(path="a.jpg", sha256=sha256(b"a photograph").hexdigest())
        ...     checked_photograph(Path(folder), record).name
        'a.jpg'
    """
    try:
        photograph = photograph_at(root, record.path)
    except ValueError as error:
        raise PhotographError(str(error)) from error
    try:
        digest = _digest(photograph)
    except StorageError:
        raise
    except (OSError, ImageError) as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError | MissingImageError)
        kind = MissingPhotographError if is_missing else PhotographError
        why = f"{photograph} cannot be read ({error.strerror})" if isinstance(error, OSError) else error
        raise kind(f"{why}: {_REMEDY}") from error
    if digest != record.sha256:
        raise PhotographError(f"{photograph} was changed since it was labelled: {_REMEDY}")
    return photograph


def _digest(photograph: PhotographFile) -> str:
    if isinstance(photograph, StoredImage):
        return sha256(photograph.read()).hexdigest()
    return sha256_of(photograph)
