"""``fmbseg label``: Stage 1, from photographs and words to pseudo labels on disk."""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.options import Classes, OutFolder, RecipeName, Strict, VocabularyName, words

if TYPE_CHECKING:
    from fmbseg.labels.label_set import LabelSet


def label(
    photographs: Annotated[list[Path], typer.Argument(help="A folder of photographs, or files.")],
    out: OutFolder,
    classes: Classes = None,
    vocabulary: VocabularyName = None,
    recipe: RecipeName = "offline",
    workers: Annotated[int, typer.Option(help="Photographs labelled at once.")] = 1,
    strict: Strict = False,
) -> None:
    """Label photographs without annotation (Stage 1); a run that was stopped continues where it stopped."""
    wanted = words(classes, vocabulary)
    from fmbseg.labeling.labeler import PseudoLabeler

    with warnings.catch_warnings():
        # Every failure is told below, not the first alone.
        warnings.filterwarnings("ignore", message=".*photographs could not be labelled")
        labels = PseudoLabeler(recipe).label(
            photographs[0] if len(photographs) == 1 else photographs, wanted, out, workers=workers
        )
    typer.echo(summary(labels))
    for failure in labels.errors:
        complain(f"{failure['path']}: {failure['error']}", "not labelled")
    if strict and labels.errors:
        raise typer.Exit(1)


def summary(labels: "LabelSet") -> str:
    """Count a label set's photographs, masks by stage, and classes, on two lines."""
    from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE

    stages: Counter[int] = Counter()
    detected: Counter[int] = Counter()
    for image in labels:
        stages.update(image.stages.tolist())
        detected.update(image.detected)
    found = ", ".join(
        f"{labels.vocabulary.names[index]} ({count})" for index, count in detected.most_common()
    )
    return (
        f"{labels.folder}: {len(labels)} photographs labelled, {len(labels.errors)} not; "
        f"{stages[POINT_STAGE]} masks from points, {stages[EVERYTHING_STAGE]} from everything\n"
        f"classes (photographs): {found or 'none was found'}"
    )
