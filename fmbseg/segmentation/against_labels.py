"""A head measured against labels: how much of what its teacher says a student has learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.images import load_image
from fmbseg.labels.comparison import MOST_DIFFERENT, LabelComparison, compare
from fmbseg.labels.record import UNLABELLED
from fmbseg.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import Vocabulary


def compare_with_labels(
    labels: LabelCollection,
    segmenter: OpenVocabSegmenter,
    *,
    everywhere: bool = False,
    count: int = MOST_DIFFERENT,
    progress: bool = True,
) -> LabelComparison:
    """Segment the photographs of a label set with its own words, and compare the class maps with its labels.

    Measures a student against its teacher, on photographs that the student has not learned from, labelled by
    the teacher. It says how alike the two are, not which of them is right.

    Args:
        labels: the first set of the comparison.
        segmenter: makes the second one.
        everywhere: also count pixels that the labels leave open, against each class that the segmenter gives
            them; background that it finds there agrees. Otherwise they do not count.
        count: how many of the most different photographs to keep, at most.
        progress: show a bar.

    Returns:
        The comparison; :func:`~fmbseg.labels.sheets.comparison_sheet` draws it.

    Raises:
        PhotographError: a photograph is not there, or was changed since it was labelled.
        ImageError: a photograph cannot be read.
        ValueError: there is no photograph, or a vocabulary that leaves nothing but background.
    """
    student = _Segmented(labels, segmenter, everywhere=everywhere, progress=progress)
    return compare(labels, student, count=count)


@dataclass(frozen=True, eq=False)
class _SegmentedPhotograph:
    path: str
    sha256: str
    classes: NDArray[np.int32]

    def label_map(self) -> NDArray[np.int32]:
        return self.classes


class _Segmented:
    """The photographs of a label set, with the classes that a segmenter gives them."""

    def __init__(
        self, labels: LabelCollection, segmenter: OpenVocabSegmenter, *, everywhere: bool, progress: bool
    ) -> None:
        self._labels, self._segmenter = labels, segmenter
        self._everywhere, self._progress = everywhere, progress

    @property
    def vocabulary(self) -> Vocabulary:
        return self._labels.vocabulary

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[_SegmentedPhotograph]:
        with Progress(self._progress) as bars:
            for record in bars.track(self._labels, "segmenting", len(self)):
                yield _SegmentedPhotograph(record.path, record.sha256, self._classes(record))

    def _classes(self, record: LabeledImage) -> NDArray[np.int32]:
        """Indices in the label set's vocabulary, -1 for none, (H, W)."""
        image = load_image(self._labels.photograph_of(record))
        found = self._segmenter.segment(image, self.vocabulary)
        names = self.vocabulary.names
        place = [names.index(name) if name in names else UNLABELLED for name in found.names]
        classes = np.array([*place, UNLABELLED], np.int32)[found.labels]
        is_open = record.label_map() == UNLABELLED
        not_counted = np.isin(classes, list(self.vocabulary.background)) if self._everywhere else True
        return np.where(is_open & not_counted, np.int32(UNLABELLED), classes)
