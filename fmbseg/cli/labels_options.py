"""Options shared by the commands of ``fmbseg labels``: a label set, and which of its masks to use."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection


class Stage(str, Enum):
    """Which masks to use."""

    POINTS = "1.1"
    EVERYTHING = "1.2"
    CONCEPT = "concept"
    HAND = "hand"


Folder = Annotated[Path, typer.Argument(help="Folder written by `fmbseg label` or `fmbseg labels import`.")]
Stages = Annotated[
    list[Stage] | None, typer.Option("--stage", help="Use only masks of this stage; repeatable.")
]
MinIou = Annotated[
    float, typer.Option("--min-predicted-iou", help="Use only masks with at least this predicted IoU.")
]
MinSimilarity = Annotated[
    float,
    typer.Option("--min-similarity", help="Use only masks with at least this similarity to their class."),
]


def chosen(
    folder: Path, stages: list[Stage] | None, min_predicted_iou: float, min_similarity: float
) -> LabelCollection:
    """The labels of a folder, with the masks that the options select.

    Raises:
        FileNotFoundError: the folder holds no label set.
        ValueError: it is damaged, or a score is outside its range.
    """
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.labels.record import STAGES

    labels = LabelSet(folder)
    if not stages and min_predicted_iou <= 0 and min_similarity <= -1:
        return labels
    wanted = None if not stages else [number for number, name in STAGES.items() if Stage(name) in stages]
    return labels.filter(stages=wanted, min_predicted_iou=min_predicted_iou, min_similarity=min_similarity)
