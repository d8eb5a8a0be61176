"""``fmbseg label``: Stage 1, from photographs and words to pseudo labels on disk."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.options import (
    Classes,
    OutFolder,
    RecipeName,
    Strict,
    VocabularyName,
    with_hub_options,
    words,
)

if TYPE_CHECKING:
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.loading.hub_files import HubOptions

_MASKS = {
    11: "masks from points",
    12: "masks from everything",
    15: "masks from a teacher",
    20: "masks by hand",
}


@with_hub_options
def label(
    photographs: Annotated[list[Path], typer.Argument(help="A folder of photographs, or files.")],
    out: OutFolder,
    classes: Classes = None,
    vocabulary: VocabularyName = None,
    recipe: RecipeName = "offline",
    image_text: Annotated[
        str | None, typer.Option(help="Spec of the image-text model, instead of the recipe's.")
    ] = None,
    mask_generator: Annotated[
        str | None, typer.Option(help="Spec of the mask generator, instead of the recipe's.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Spec of a model that names and cuts in one step, in place of the recipe's models."
        ),
    ] = None,
    image_labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV of known classes, one row per photograph: path,class,class. They replace detection."
        ),
    ] = None,
    aligned: Annotated[
        str | None,
        typer.Option(help="A head from an earlier round (folder or name) that makes the dense map."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of photographs labelled in parallel.")] = 1,
    strict: Strict = False,
    *,
    hub: "HubOptions",
) -> None:
    """Label photographs without human annotation (Stage 1); a stopped run continues where it stopped."""
    wanted = words(classes, vocabulary)
    from fmbseg.image_files import passed_over
    from fmbseg.labeling.look_ahead import look_ahead

    source = photographs[0] if len(photographs) == 1 else photographs
    labels = look_ahead(
        source,
        wanted,
        out,
        recipe=recipe,
        image_text=image_text,
        mask_generator=mask_generator,
        aligned=aligned,
        teacher=teacher,
        image_labels=image_labels,
        workers=workers,
    )
    if labels is None:
        from fmbseg.labeling.labeler import PseudoLabeler

        with warnings.catch_warnings():
            # Every failure and what was passed over is told below.
            warnings.filterwarnings("ignore", message=".*(photographs could not be labelled|passed over)")
            labeler = PseudoLabeler(
                recipe,
                image_text=image_text,
                mask_generator=mask_generator,
                teacher=teacher,
                aligned=aligned,
                hub=hub,
            )
            labels = labeler.label(source, wanted, out, image_labels=image_labels, workers=workers)
    typer.echo(summary(labels))
    for failure in labels.errors:
        complain(f"{failure['path']}: {failure['error']}", "not labelled")
    if left := passed_over(source):
        complain(left, "warning")
    if strict and (labels.errors or left):
        raise typer.Exit(1)


def summary(labels: "LabelSet") -> str:
    """Count a label set's photographs, masks by stage, and classes, on two lines."""
    from fmbseg.escaping import terminal
    from fmbseg.labels.record import STAGES

    found = labels.statistics()
    by_stage = {stage: found.count(stage) for stage in STAGES}
    masks = ", ".join(f"{count} {_MASKS[stage]}" for stage, count in by_stage.items() if count)
    classes = ", ".join(f"{terminal(name)} ({count})" for name, count in found.detected.items())
    return (
        f"{labels.folder}: {found.photographs} photographs labelled, {len(labels.errors)} not; "
        f"{masks or 'no mask'}\nclasses (photographs): {classes or 'none was found'}"
    )
