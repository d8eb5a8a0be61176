"""The figures of a demo, as plain values for ``metrics.json``."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import fmbseg
from fmbseg.demo.meter import peak_memory_mb
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE
from fmbseg.models.catalog import find_card

if TYPE_CHECKING:
    from fmbseg.alignment.aligner import Aligner
    from fmbseg.demo.meter import Meter
    from fmbseg.labeling.labeler import PseudoLabeler
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.catalog import Role
    from fmbseg.recipes import Recipe
    from fmbseg.vocabulary import Vocabulary

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
