"""From pseudo labels to training data: photographs, unchanged since, and labels of their patches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fmbseg.alignment.label_source import MaskedRecord
from fmbseg.alignment.mask_targets import MaskFeatures
from fmbseg.alignment.noise import LabelNoise
from fmbseg.alignment.patch_labels import patch_labels, patch_means
from fmbseg.alignment.training_example import TrainingExample, training_size
from fmbseg.labels.record import PhotographError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.alignment.label_source import LabelRecord, LabelSource
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.labels.record import PhotographFile
    from fmbseg.vocabulary import Vocabulary

T = TypeVar("T")
Track = Callable[[Iterable[T], str, int], Iterable[T]]

_NAMED = 5


class TrainingDataError(ValueError):
    """Labels that nothing can be learned from; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data of a training.

    Attributes:
        vocabulary: the K classes that were detected anywhere, in the order of the labels' vocabulary.
        examples: the photographs to train on, each with at least one labelled patch.
        unlabelled: how many photographs were left out because they have none.
        held_out: the photographs to measure the head on.
    """

    vocabulary: Vocabulary
    examples: tuple[TrainingExample, ...]
    unlabelled: int
    held_out: tuple[TrainingExample, ...] = ()


def training_data(
    source: LabelSource, settings: TrainingSettings, stride: int, track: Track[Any]
) -> TrainingData:
    """Check the labels and their photographs, and turn them into the data that the settings ask for.

    Label maps become patch labels, weighed by how sure their masks are; some photographs are held out; in
    the rest, frequent classes are made rarer.

    Args:
        source: the labels. If the features of masks are learned, a warning reports photographs whose labels
            have none, and only their classes are learned.
        settings: of the training.
        stride: of the backbone, in pixels.
        track: wraps a loop for a progress bar: ``track(iterable, description, total)``.

    Raises:
        TrainingDataError: no labels; fewer than two classes detected, or with labelled patches; photographs
            that are missing or were changed since they were labelled; a label map of another size than its
            photograph; or too few photographs to hold some out.
    """
    detected = check_labels(source)
    noise = LabelNoise.of(settings)
    try:
        weigh = noise.weigher(source)
    except ValueError as error:
        raise TrainingDataError(str(error)) from error
    paths = _photographs(source, track)
    names = source.vocabulary.names
    new_index = np.full(len(names) + 1, -1, np.int16)  # the last entry is where -1 points to
    new_index[detected] = np.arange(len(detected))
    features = max(settings.mask_weight, settings.mask_class_weight) > 0
    examples = []
    for record, path in zip(track(source, "patch labels", len(source)), paths, strict=True):
        size = training_size(record.size, settings.image_size, stride)
        grid = (size[0] // stride, size[1] // stride)
        pixels = record.label_map()
        labels = _patch_labels(record, pixels, grid, names, settings.min_coverage)
        _check_detected(record, labels, new_index, names)
        if (labels >= 0).any():
            weights = None if weigh is None else patch_means(weigh(record), pixels, labels)
            masks = _mask_features(record, grid) if features else None
            examples.append(TrainingExample(path, record.sha256, size, new_index[labels], weights, masks))
    if features:
        _warn_without_features(examples)
    vocabulary = _subset(source.vocabulary, detected)
    _check_contrast(examples, vocabulary, settings.min_coverage)
    data = hold_out(TrainingData(vocabulary, tuple(examples), len(source) - len(examples)), settings)
    return replace(data, examples=noise.capped(data.examples, len(vocabulary)))


def check_labels(source: LabelSource) -> list[int]:
    """Check what needs neither photographs nor label maps; return the classes detected anywhere, sorted.

    Raises:
        TrainingDataError: no labels, a class outside the vocabulary, or fewer than two classes detected.
    """
    if len(source) == 0:
        raise TrainingDataError("there are no labels: label at least one photograph first")
    detected: set[int] = set()
    for record in source:
        detected.update(record.detected)
    classes = len(source.vocabulary)
    outside = sorted(index for index in detected if not 0 <= index < classes)
    if outside:
        raise TrainingDataError(
            f"the labels name class {outside[0]}, but their vocabulary has classes 0 to {classes - 1}"
        )
    if len(detected) < 2:
        found = ", ".join(repr(source.vocabulary.names[index]) for index in detected) or "none"
        raise TrainingDataError(
            f"it takes two classes to tell apart, but {len(detected)} were detected in {len(source)} "
            f"photographs ({found}): label more photographs or with more words"
        )
    return sorted(detected)


def hold_out(data: TrainingData, settings: TrainingSettings) -> TrainingData:
    """Draw the photographs that are not trained on; the seed decides which.

    Args:
        data: all photographs.
        settings: ``validation`` is the share to hold out, rounded to whole photographs; above 0, at least
            one is held out.

    Raises:
        TrainingDataError: no photograph is left, or labelled patches of one class only.
    """
    fraction, total = settings.validation, len(data.examples)
    if not fraction:
        return data
    count = max(1, round(fraction * total))
    if count >= total:
        raise TrainingDataError(
            f"validation {fraction:g} holds out {count} of {total} photographs, which leaves none to train "
            "on: label more photographs, or lower it"
        )
    order = np.random.default_rng(settings.seed).permutation(total)
    held = tuple(data.examples[index] for index in np.sort(order[:count]))
    kept = tuple(data.examples[index] for index in np.sort(order[count:]))
    _check_contrast(kept, data.vocabulary, settings.min_coverage)
    return replace(data, examples=kept, held_out=held)


def _photographs(source: LabelSource, track: Track[Any]) -> list[PhotographFile]:
    """Where the photographs are, in the order of their records; every file is read and compared."""
    paths, problems = [], []
    for record in track(source, "checking", len(source)):
        path, problem = _photograph(source, record)
        paths.append(path)
        problems.append(problem)
    wrong = [problem for problem in problems if problem]
    if wrong:
        shown = "; ".join(wrong[:_NAMED]) + ("; ..." if len(wrong) > _NAMED else "")
        raise TrainingDataError(f"{len(wrong)} of {len(source)} photographs cannot be trained on: {shown}")
    return [path for path in paths if path is not None]


def _photograph(source: LabelSource, record: LabelRecord) -> tuple[PhotographFile | None, str]:
    try:
        return source.photograph_of(record), ""
    except PhotographError as error:
        return None, str(error)


def _patch_labels(
    record: LabelRecord,
    pixels: NDArray[np.int32],
    grid: tuple[int, int],
    names: tuple[str, ...],
    min_coverage: float,
) -> NDArray[np.int64]:
    try:
        if pixels.shape != tuple(record.size):
            raise ValueError(f"the label map is {pixels.shape}, but the photograph is {tuple(record.size)}")
        return patch_labels(pixels, grid, len(names), min_coverage=min_coverage)
    except ValueError as error:
        raise TrainingDataError(f"the labels of {record.path} cannot be used: {error}") from error


def _check_detected(
    record: LabelRecord, labels: NDArray[np.int64], new_index: NDArray[np.int16], names: tuple[str, ...]
) -> None:
    unlisted = labels[(labels >= 0) & (new_index[labels] < 0)]
    if len(unlisted):
        index = int(unlisted.min())
        raise TrainingDataError(
            f"{record.path} has pixels of class {index} ({names[index]!r}), which no photograph lists as "
            "detected: add it to `detected`"
        )


def _mask_features(record: LabelRecord, grid: tuple[int, int]) -> MaskFeatures | None:
    """The masks that were drawn for training, with their features if these were kept."""
    if not isinstance(record, MaskedRecord) or record.features is None:
        return None
    drawn = np.flatnonzero(record.kept)
    return MaskFeatures.of(record.masks.select(drawn), record.features[drawn], grid)


def _warn_without_features(examples: Sequence[TrainingExample]) -> None:
    without = [example.path for example in examples if example.masks is None]
    if without:
        warnings.warn(
            f"the labels of {len(without)} of {len(examples)} photographs, {without[0].name} first, have no "
            "features of their masks: mask_weight and mask_class_weight leave them out. Photographs labelled "
            "with keep_features=True have them",
            stacklevel=4,
        )


def _check_contrast(examples: Sequence[TrainingExample], vocabulary: Vocabulary, min_coverage: float) -> None:
    counts = np.zeros(len(vocabulary), np.int64)
    for example in examples:
        counts += np.bincount(example.labels[example.labels >= 0], minlength=len(vocabulary))
    having = [name for name, count in zip(vocabulary.names, counts, strict=True) if count]
    if len(having) < 2:
        raise TrainingDataError(
            f"it takes labelled patches of two classes, but there are {int(counts.sum())} of "
            f"{', '.join(map(repr, having)) or 'no class'} in all: label more photographs, "
            f"or lower min_coverage ({min_coverage})"
        )


def _subset(vocabulary: Vocabulary, kept: list[int]) -> Vocabulary:
    return replace(
        vocabulary,
        names=tuple(vocabulary.names[index] for index in kept),
        prompts=tuple(vocabulary.prompts[index] for index in kept),
        background=frozenset(new for new, index in enumerate(kept) if index in vocabulary.background),
    )
