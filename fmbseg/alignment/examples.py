"""From pseudo labels to what is trained on: photographs, unchanged since, and labels of their patches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fmbseg.alignment.mask_targets import MaskFeatures
from fmbseg.alignment.noise import EVERY_PATCH, LabelNoise
from fmbseg.alignment.patch_labels import patch_labels, patch_means
from fmbseg.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.alignment.label_source import LabelRecord, LabelSource
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.vocabulary import Vocabulary

T = TypeVar("T")
Track = Callable[[Iterable[T], str, int], Iterable[T]]

_LONGEST_OVER_SHORTEST = 4  # a panorama of another aspect is made smaller, or it would not fit in memory
_NAMED = 5


class TrainingDataError(ValueError):
    """Labels that nothing can be learned from; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class TrainingExample:
    """One photograph.

    Attributes:
        path: of its file.
        sha256: of its file.
        size: height and width in pixels that it is encoded at.
        labels: class of each patch among the training's K, -1 for none, int16 (h, w).
        weights: probability with which each patch takes part in an epoch, float32 (h, w); None for 1.
        masks: the photograph's masks with their features; None where they are not asked for.
    """

    path: Path
    sha256: str
    size: tuple[int, int]
    labels: NDArray[np.int16]
    weights: NDArray[np.float32] | None = None
    masks: MaskFeatures | None = None


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training takes.

    Attributes:
        vocabulary: the K classes that were detected anywhere, in the order of the labels' vocabulary.
        examples: the photographs that have a labelled patch.
        unlabelled: how many photographs were left out because they have none.
    """

    vocabulary: Vocabulary
    examples: tuple[TrainingExample, ...]
    unlabelled: int


def training_size(size: tuple[int, int], image_size: int, stride: int) -> tuple[int, int]:
    """Height and width to encode a photograph at: aspect kept, sides multiples of ``stride``.

    The short side becomes ``image_size``, unless the long side would pass four times that.

    Args:
        size: height and width of the photograph, in pixels.
        image_size: of the short side, in pixels.
        stride: of the backbone, in pixels.

    Example:
        >>> training_size((375, 500), 448, 16), training_size((100, 5000), 448, 16)
        ((448, 592), (32, 1792))
    """
    scale = min(image_size / min(size), _LONGEST_OVER_SHORTEST * image_size / max(size))
    height, width = (max(1, round(side * scale / stride)) * stride for side in size)
    return height, width


def prepare(
    source: LabelSource,
    *,
    image_size: int,
    stride: int,
    min_coverage: float,
    track: Track[Any],
    noise: LabelNoise = EVERY_PATCH,
    features: bool = False,
) -> TrainingData:
    """Check the labels and their photographs, and turn label maps into patch labels.

    Args:
        source: the labels.
        image_size: see :func:`training_size`.
        stride: of the backbone, in pixels.
        min_coverage: see :func:`~fmbseg.alignment.patch_labels.patch_labels`.
        track: wraps a loop for a progress bar: ``track(iterable, description, total)``.
        noise: how sure the masks have to be.
        features: whether the features of the masks are learned from; photographs whose labels have none are
            told in a warning, and learned from by their classes alone.

    Raises:
        TrainingDataError: no labels; fewer than two classes detected, or with labelled patches; photographs
            that are missing or were changed since they were labelled; or a label map of another size than
            its photograph.
    """
    detected = _check_records(source, track)
    names = source.vocabulary.names
    new_index = np.full(len(names) + 1, -1, np.int16)  # the last entry is where -1 points to
    new_index[detected] = np.arange(len(detected))
    try:
        weigh = noise.weigher(source)
    except ValueError as error:
        raise TrainingDataError(str(error)) from error
    examples = []
    for record in track(source, "patch labels", len(source)):
        size = training_size(record.size, image_size, stride)
        grid = (size[0] // stride, size[1] // stride)
        pixels = record.label_map()
        labels = _patch_labels(record, pixels, grid, names, min_coverage)
        present = np.unique(labels[labels >= 0])
        if (new_index[present] < 0).any():
            index = int(present[new_index[present] < 0][0])
            raise TrainingDataError(
                f"{record.path} has pixels of class {index} ({names[index]!r}), which no photograph lists as "
                "detected: add it to `detected`"
            )
        if len(present):
            weights = None if weigh is None else patch_means(weigh(record), pixels, labels)
            masks = _mask_features(record, grid) if features else None
            path = source.image_path(record)
            examples.append(TrainingExample(path, record.sha256, size, new_index[labels], weights, masks))
    if features:
        _warn_without_features(examples)
    vocabulary = _subset(source.vocabulary, detected)
    _check_contrast(examples, vocabulary, min_coverage)
    return TrainingData(vocabulary, tuple(examples), len(source) - len(examples))


def hold_out(
    data: TrainingData, settings: TrainingSettings
) -> tuple[TrainingData, tuple[TrainingExample, ...]]:
    """Draw the photographs that are not trained on; the seed decides which.

    Args:
        data: all photographs.
        settings: ``validation`` is the share of them, rounded to whole photographs; above 0, at least one is
            held out.

    Returns:
        What is left to train on, and those held out, each in their order.

    Raises:
        TrainingDataError: what is left has no photograph, or labelled patches of one class only.
    """
    fraction, total = settings.validation, len(data.examples)
    if not fraction:
        return data, ()
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
    return replace(data, examples=kept), held


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


def _mask_features(record: LabelRecord, grid: tuple[int, int]) -> MaskFeatures | None:
    """The masks that were drawn for training with their features, if these were kept."""
    features: NDArray[np.float16] | None = getattr(record, "features", None)
    if features is None:
        return None
    drawn = np.flatnonzero(record.kept)  # type: ignore[attr-defined] # what has features has the rest
    masks = record.masks.select(drawn)  # type: ignore[attr-defined]
    return MaskFeatures.of(masks, features[drawn], grid)


def _warn_without_features(examples: Sequence[TrainingExample]) -> None:
    without = [example.path for example in examples if example.masks is None]
    if without:
        warnings.warn(
            f"the labels of {len(without)} of {len(examples)} photographs, {without[0].name} first, have no "
            "features of their masks: mask_weight and mask_class_weight leave them out. Photographs labelled "
            "with keep_features=True have them",
            stacklevel=4,
        )


def _check_records(source: LabelSource, track: Track[Any]) -> list[int]:
    """Check what needs no label map, and return the classes detected anywhere, sorted."""
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
    # Hashing reads every file, so it comes after what can be refused at once.
    problems = []
    for record in track(source, "checking", len(source)):
        problem = _changed(source.image_path(record), record.sha256)
        if problem:
            problems.append(problem)
    if problems:
        shown = "; ".join(problems[:_NAMED]) + ("; ..." if len(problems) > _NAMED else "")
        raise TrainingDataError(
            f"{len(problems)} of {len(source)} photographs are not those that were labelled: {shown}. "
            "Put them back, or label the folder again"
        )
    return sorted(detected)


def _changed(path: Path, expected: str) -> str | None:
    if not path.is_file():
        return f"{path} is missing"
    digest = sha256_of(path)
    if digest == expected:
        return None
    return f"{path} was changed (SHA-256 {digest[:12]}..., labelled was {expected[:12]}...)"


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
