"""What can be done with pseudo labels from any source."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fmbseg.certainty import check_certainty
from fmbseg.labels.record import EVERYTHING_STAGE, checked_photograph, photograph_at
from fmbseg.labels.selection import MaskFilter, keep_classes, redraw
from fmbseg.labels.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from fmbseg.labels.record import HasPhotograph, LabeledImage, PhotographFile
    from fmbseg.vocabulary import Vocabulary


class LabelCollection(ABC):
    """Labelled photographs that can be iterated any number of times, one record at a time.

    The methods that change labels (:meth:`stage`, :meth:`filter`, :meth:`resample`, and
    :func:`~fmbseg.labels.merged.merge`) return a collection that makes the change while it is iterated:
    nothing is copied, and the labels on disk stay as they are. :func:`~fmbseg.labels.label_set.save` writes a
    collection to a new folder. ``Aligner.fit`` accepts any of them. A collection shows what is certain
    (:meth:`certain`); what is trained on and saved is :attr:`whole`.
    """

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """The classes that the labels' indices point to."""

    @property
    @abstractmethod
    def root(self) -> Path | str:
        """Folder, or URI, that the photographs' paths start from."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash; equal only for equal labels."""

    @property
    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """How the labels were made, for the manifest: ``models``, ``settings`` and later changes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[LabeledImage]: ...

    def image_path(self, record: HasPhotograph) -> PhotographFile:
        """Where a record's photograph should be, whether or not it exists.

        Raises:
            ValueError: the record's path leads out of :attr:`root`.
        """
        return photograph_at(self.root, record.path)

    def photograph_of(self, record: HasPhotograph) -> PhotographFile:
        """Find the photograph of a record and make sure that it is the one that was labelled.

        Every reader of a record's photograph calls this, so masks are never laid on another photograph.

        Raises:
            PhotographError: it is missing, cannot be read or was changed since it was labelled.
        """
        return checked_photograph(self.root, record)

    @property
    def whole(self) -> LabelCollection:
        """The same labels with what is less certain than they show, unless :meth:`certain` chose.

        A head learns from the many labels that are roughly right, too: this is what it is trained on.
        """
        return self

    def certain(self, certainty: float) -> LabelCollection:
        """The same labels with the classes and masks that are as certain as this, for every use.

        Args:
            certainty: from 0, for all of them, to 1; what the models do not tell it of always stays.

        Raises:
            ValueError: it is outside 0 to 1.
        """
        least = check_certainty("certainty", certainty)
        return ChangedLabels(self, lambda image: image.certain(least), {"certainty": least})

    def stage(self, *stages: int) -> LabelCollection:
        """Keep only the masks of some stages.

        Args:
            stages: of :data:`~fmbseg.labels.record.STAGES`, for example ``POINT_STAGE``.

        Raises:
            ValueError: an unknown stage, or none.
        """
        return self.filter(stages=stages)

    def filter(
        self,
        *,
        stages: Collection[int] | None = None,
        classes: Collection[str] | None = None,
        min_predicted_iou: float = 0.0,
        min_stability: float = 0.0,
        min_similarity: float = -1.0,
        min_area: float = 0.0,
        max_area: float = 1.0,
        kept_only: bool = False,
    ) -> LabelCollection:
        """Leave out masks; the photographs stay.

        Args:
            stages: masks of these stages only.
            classes: masks of these classes only; the others count as not detected.
            min_predicted_iou: the mask model's own estimate, 0 to 1.
            min_stability: 0 to 1.
            min_similarity: of the mask's mean dense feature to its class, -1 to 1.
            min_area: as a fraction of the photograph.
            max_area: as a fraction of the photograph.
            kept_only: masks that were drawn for training only.

        Raises:
            ValueError: a score outside its range, or an unknown stage.
            UnknownNameError: a class that the vocabulary does not have.
        """
        indices = None if classes is None else tuple(sorted(self.vocabulary.index(name) for name in classes))
        wanted = MaskFilter(
            stages=None if stages is None else tuple(sorted(stages)),
            class_ids=indices,
            min_predicted_iou=min_predicted_iou,
            min_stability=min_stability,
            min_similarity=min_similarity,
            min_area=min_area,
            max_area=max_area,
            kept_only=kept_only,
        )
        step = {"filter": wanted.to_dict(), **({} if classes is None else {"classes": sorted(classes)})}

        def change(image: LabeledImage) -> LabeledImage:
            return keep_classes(image.select(wanted(image)), indices)

        return ChangedLabels(self, change, step)

    def resample(self, fraction: float = 0.75, *, seed: int = 0) -> LabelCollection:
        """Draw the masks of Stage 1.2 that are trained on anew (paper §4.1).

        Each photograph's draw depends on the seed and its path alone, as that of Stage 1 does.

        Args:
            fraction: share of each photograph's masks that is kept, 0 to 1.
            seed: of the draw.

        Raises:
            ValueError: a fraction outside its range.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction is {fraction}: it must be from 0 to 1")
        step = {"resample": {"fraction": fraction, "seed": seed, "stage": EVERYTHING_STAGE}}
        return ChangedLabels(self, lambda image: redraw(image, fraction, seed), step)

    def statistics(self) -> Statistics:
        """Count photographs, classes and masks by stage; reads everything once."""
        return Statistics.of(self, self.vocabulary)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        branch: str | None = None,
        token: str | None = None,
        license: str | None = None,  # noqa: A002 - the Hub's word
        commit_message: str = "Push labels with fmbseg",
    ) -> str:
        """Push photographs and labels as a data set that ``datasets.load_dataset(repo_id)`` loads.

        The photographs are uploaded with the labels: mind who owns them. Files are written to a temporary
        folder first, which needs as much space as the photographs.

        Args:
            repo_id: ``owner/name``; created if it does not exist.
            private: whether a new repository is private; by default the owner's setting.
            branch: created if it does not exist; by default the main one.
            token: with write permission; by default that of ``hf auth login``.
            license: of the photographs and labels, as the Hub names licences.
            commit_message: first line of the commit.

        Returns:
            The URL of the commit.

        Raises:
            ImportError: the package `datasets` is not installed.
            PushError: the Hub cannot be reached, or refuses.
            OSError: a photograph cannot be read, or a file not be written.
        """
        # Formats are written from collections; of all of them a collection knows this one, to push itself.
        from fmbseg.labels.formats.hf_datasets import push_datasets

        return push_datasets(
            self,
            repo_id,
            private=private,
            branch=branch,
            token=token,
            license=license,
            commit_message=commit_message,
        )


class ChangedLabels(LabelCollection):
    """A collection that changes each record as it is read.

    Args:
        labels: the labels to change.
        change: what to do with one record; the photograph must stay the same.
        step: description of the change, in plain values, for the manifest and the fingerprint.
    """

    def __init__(
        self,
        labels: LabelCollection,
        change: Callable[[LabeledImage], LabeledImage],
        step: dict[str, Any],
    ) -> None:
        self._labels, self._change, self._step = labels, change, step

    @property
    def vocabulary(self) -> Vocabulary:
        """That of the underlying labels."""
        return self._labels.vocabulary

    @property
    def root(self) -> Path | str:
        """That of the underlying labels."""
        return self._labels.root

    @property
    def fingerprint(self) -> str:
        """Hash of the underlying labels' fingerprint and the change."""
        content = json.dumps([self._labels.fingerprint, self._step], sort_keys=True)
        return sha256(content.encode()).hexdigest()

    @property
    def origin(self) -> dict[str, Any]:
        """That of the underlying labels, with the change appended to ``steps``."""
        origin = self._labels.origin
        return {**origin, "steps": [*origin.get("steps", ()), self._step]}

    @property
    def whole(self) -> ChangedLabels:
        """The same change of the underlying labels' :attr:`~LabelCollection.whole`."""
        return ChangedLabels(self._labels.whole, self._change, self._step)

    def certain(self, certainty: float) -> ChangedLabels:
        """The same change of the underlying labels with what is this certain."""
        return ChangedLabels(self._labels.certain(certainty), self._change, self._step)

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[LabeledImage]:
        return map(self._change, self._labels)
