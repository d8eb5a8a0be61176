"""``fmbseg label``: Stage 1, from photographs and words to pseudo labels on disk."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.options import (
    Classes,
    DeviceName,
    OutFolder,
    RecipeName,
    Strict,
    VocabularyName,
    name_and_value,
    tell_device,
    with_hub_options,
    words,
)
from fmbseg.cli.words import warn_of_words
from fmbseg.recipes import AUTO

if TYPE_CHECKING:
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.loading.hub_files import HubOptions


class OfTeacher(TypedDict):
    """Arguments that are a teacher's, of ``PseudoLabeler`` and of what looks ahead of it."""

    teacher: str | None
    teacher_options: dict[str, Any]
    prefilter: tuple[str, int] | None


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
    recipe: RecipeName = AUTO,
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
    teacher_option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the teacher as NAME=VALUE, for example words_at_once=4; repeatable."),
    ] = None,
    prefilter: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE_TEXT:KEEP",
            help="Ask the teacher, of each photograph, only for the KEEP classes that an image-text model "
            "finds likeliest, for example conse:40. For long vocabularies.",
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
    certainty: Annotated[
        float | None,
        typer.Option(
            help="No label where its class is less likely right than this, 0 to 1; 0: a label everywhere. "
            "By default the recipe's."
        ),
    ] = None,
    min_presence: Annotated[
        float | None,
        typer.Option(
            help="Classes are present if as likely as this, 0 to 1; 0: crops vote for them. By default the "
            "recipe's."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of photographs labelled in parallel.")] = 1,
    strict: Strict = False,
    device: DeviceName = None,
    precision: Annotated[
        str | None,
        typer.Option(help="On accelerators: fp32 (exact), fp16, bf16, or auto (fp16). A CPU uses fp32."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile both models: the first photograph waits for it.")
    ] = False,
    *,
    hub: "HubOptions",
) -> None:
    """Label photographs without human annotation (Stage 1); a stopped run continues where it stopped."""
    wanted = words(classes, vocabulary)
    of_teacher = _of_teacher(teacher, teacher_option or [], prefilter)
    from fmbseg.image_files import passed_over
    from fmbseg.labeling.look_ahead import look_ahead

    source = photographs[0] if len(photographs) == 1 else photographs
    settings = None
    if certainty is not None or min_presence is not None:
        settings = _settings(recipe, image_text, aligned, teacher, certainty, min_presence)
    labels = look_ahead(
        source,
        wanted,
        out,
        recipe=recipe,
        image_text=image_text,
        mask_generator=mask_generator,
        aligned=aligned,
        **of_teacher,
        image_labels=image_labels,
        workers=workers,
        settings=settings,
    )
    if labels is None:
        from fmbseg.devices import find_device
        from fmbseg.labeling.labeler import PseudoLabeler
        from fmbseg.labeling.two_models import TwoModels
        from fmbseg.models.loading.precision import check_precision

        on = find_device(device)
        with warnings.catch_warnings():
            # Every failure and what was passed over is told below.
            warnings.filterwarnings("ignore", message=".*(photographs could not be labelled|passed over)")
            labeler = PseudoLabeler(
                recipe,
                image_text=image_text,
                mask_generator=mask_generator,
                **of_teacher,
                aligned=aligned,
                settings=settings,
                device=on,
                hub=hub,
                precision=None if precision is None else check_precision(precision),
                compiled=compiled,
            )
            if isinstance(labeler.way, TwoModels):
                warn_of_words(labeler.encoder, wanted)
            tell_device(on)
            labels = labeler.label(source, wanted, out, image_labels=image_labels, workers=workers)
    typer.echo(summary(labels))
    for failure in labels.errors:
        complain(f"{failure['path']}: {failure['error']}", "not labelled")
    if left := passed_over(source):
        complain(left, "warning")
    if strict and (labels.errors or left):
        raise typer.Exit(1)


def _of_teacher(teacher: str | None, options: list[str], prefilter: str | None) -> OfTeacher:
    """What is given of a teacher, for :class:`fmbseg.PseudoLabeler`."""
    chosen: tuple[str, int] | None = None
    if prefilter is not None:
        spec, _, keep = prefilter.rpartition(":")
        if not spec or not keep.isdecimal() or int(keep) < 1:
            raise typer.BadParameter(
                f"--prefilter {prefilter}: write a model and a number of classes, 1 or more, as in "
                "--prefilter conse:40"
            )
        chosen = (spec, int(keep))
    given = dict(name_and_value("--teacher-option", text, "words_at_once=4") for text in options)
    return {"teacher": teacher, "teacher_options": given, "prefilter": chosen}


def _settings(
    recipe: str,
    image_text: str | None,
    aligned: str | None,
    teacher: str | None,
    certainty: float | None,
    min_presence: float | None,
) -> "LabelingSettings":
    """The recipe's settings of Stage 1 with what is to stay blank."""
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.recipes import AUTO, get_recipe

    if teacher is not None:
        raise typer.BadParameter("--certainty and --min-presence are for the recipe's models, not a teacher")
    if recipe == AUTO:
        raise typer.BadParameter(
            "--certainty and --min-presence need a recipe by its name, such as --recipe offline"
        )
    chosen = get_recipe(recipe)
    if aligned is not None or image_text not in (None, chosen.image_text):
        raise typer.BadParameter(
            "--certainty and --min-presence are known for the recipe's own image-text model alone"
        )
    asked = {"certainty": certainty, "min_presence": min_presence}
    given = {name: value for name, value in asked.items() if value is not None}
    return LabelingSettings.from_dict({**chosen.labeling, **given})


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
        f"{masks or 'no mask'}; {found.unknown:.0%} of their pixels unknown\n"
        f"classes (photographs): {classes or 'none was found'}"
    )
