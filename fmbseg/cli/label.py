"""``fmbseg label``: Stage 1, from photographs and words to pseudo labels on disk."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from fmbseg.cli.engine_options import EngineOptions
from fmbseg.cli.friendly import complain
from fmbseg.cli.options import (
    PHOTOGRAPHS,
    Classes,
    DeviceName,
    OutPlace,
    RecipeName,
    Strict,
    VocabularyName,
    name_and_value,
    tell_device,
    with_hub_options,
    with_options,
    words,
)
from fmbseg.cli.words import warn_of_words
from fmbseg.recipes import AUTO

if TYPE_CHECKING:
    from fmbseg.labeling.labeler import PseudoLabeler
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.part import Part
    from fmbseg.sources.contract import Source
    from fmbseg.vocabulary import Vocabulary


class LabelRun(TypedDict):
    """Arguments of ``PseudoLabeler.label``, and of what looks ahead of it."""

    image_labels: Path | None
    shard_size: int
    part: "Part | None"
    workers: int


class Chosen(TypedDict):
    """Arguments of ``PseudoLabeler``, and of what looks ahead of it."""

    recipe: str
    image_text: str | None
    mask_generator: str | None
    aligned: str | None
    teacher: str | None
    teacher_options: dict[str, Any]
    prefilter: tuple[str, int] | None


_MASKS = {
    11: "masks from points",
    12: "masks from everything",
    15: "masks from a teacher",
    20: "masks by hand",
}


@dataclass(frozen=True, kw_only=True)
class LabelOptions(EngineOptions):
    """What ``fmbseg label`` takes."""

    photographs: Annotated[list[str], typer.Argument(help=PHOTOGRAPHS)]
    out: OutPlace
    classes: Classes = None
    vocabulary: VocabularyName = None
    recipe: RecipeName = AUTO
    image_text: Annotated[
        str | None, typer.Option(help="Spec of the image-text model, instead of the recipe's.")
    ] = None
    mask_generator: Annotated[
        str | None, typer.Option(help="Spec of the mask generator, instead of the recipe's.")
    ] = None
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Spec of a model that names and cuts in one step, in place of the recipe's models."
        ),
    ] = None
    teacher_option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the teacher as NAME=VALUE, for example words_at_once=4; repeatable."),
    ] = None
    prefilter: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE_TEXT:KEEP",
            help="Ask the teacher, of each photograph, only for the KEEP classes that an image-text model "
            "finds likeliest, for example conse:40. For long vocabularies.",
        ),
    ] = None
    image_labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV of known classes, one row per photograph: path,class,class. They replace detection."
        ),
    ] = None
    aligned: Annotated[
        str | None,
        typer.Option(help="A head from an earlier round (folder or name) that makes the dense map."),
    ] = None
    workers: Annotated[
        str | None,
        typer.Option(
            help="Number of photographs that a process labels in parallel; with --engine ray MIN:MAX workers "
            "of its own."
        ),
    ] = None
    shard_size: Annotated[int, typer.Option(help="Photographs in a file of labels.")] = 1000
    part: Annotated[
        str | None,
        typer.Option(
            help="Label one part: 3/40 is the third of forty, every fortieth file of labels. Each part has "
            "a folder of its own; `fmbseg labels merge` joins them."
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Label --sample photographs into nothing, and tell time, size and cost of all."
        ),
    ] = False
    sample: Annotated[int, typer.Option(help="With --dry-run: number of photographs to measure on.")] = 20
    price: Annotated[
        float | None, typer.Option(help="With --dry-run: price of an hour of a machine that runs one worker.")
    ] = None
    strict: Strict = False
    device: DeviceName = None
    precision: Annotated[
        str | None,
        typer.Option(help="On accelerators: fp32 (exact), fp16, bf16, or auto (bf16, else fp16). CPU: fp32."),
    ] = None
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile both models: the first photograph waits for it.")
    ] = False

    def chosen(self) -> Chosen:
        """The models and their settings.

        Raises:
            typer.BadParameter: an option cannot be read, or does not go with another.
        """
        given = (
            name_and_value("--teacher-option", text, "words_at_once=4") for text in self.teacher_option or ()
        )
        return {
            "recipe": self.recipe,
            "image_text": self.image_text,
            "mask_generator": self.mask_generator,
            "aligned": self.aligned,
            "teacher": self.teacher,
            "teacher_options": dict(given),
            "prefilter": self._prefilter(),
        }

    def given(self, hub: "HubOptions") -> dict[str, Any]:
        """The arguments of ``PseudoLabeler``.

        Raises:
            ValueError: no such precision.
        """
        from fmbseg.models.loading.precision import check_precision

        return {
            **self.chosen(),
            "device": self.device,
            "hub": hub,
            "precision": None if self.precision is None else check_precision(self.precision),
            "compiled": self.compiled,
        }

    def run(self) -> LabelRun:
        """How to go through the photographs.

        Raises:
            ValueError: the part is none.
        """
        from fmbseg.part import Part

        return {
            "image_labels": self.image_labels,
            "shard_size": self.shard_size,
            "part": None if self.part is None else Part.of(self.part),
            "workers": self.threads(),
        }

    def _prefilter(self) -> tuple[str, int] | None:
        if self.prefilter is None:
            return None
        spec, _, keep = self.prefilter.rpartition(":")
        if not spec or not keep.isdecimal() or int(keep) < 1:
            raise typer.BadParameter(
                f"--prefilter {self.prefilter}: write a model and a number of classes, 1 or more, as in "
                "--prefilter conse:40"
            )
        return spec, int(keep)


@with_hub_options
@with_options(LabelOptions)
def label(asked: LabelOptions, *, hub: "HubOptions") -> None:
    """Label photographs without human annotation (Stage 1); a stopped run continues where it stopped."""
    wanted, chosen, run = words(asked.classes, asked.vocabulary), asked.chosen(), asked.run()
    from fmbseg.labeling.look_ahead import look_ahead

    engine = asked.chosen_engine()
    source, labels = look_ahead(asked.photographs, wanted, asked.out, **chosen, **run)
    if asked.dry_run:
        typer.echo(_estimated(asked, source, wanted, hub))
        return
    if labels is None:
        with warnings.catch_warnings():
            # Every failure and what was passed over is told below.
            warnings.filterwarnings(
                "ignore", message=".*(photographs could not be labelled|passed over|cut short)"
            )
            if engine is None:
                labels = _labeler(asked, wanted, hub).label(source, wanted, asked.out, **run)
            else:
                from fmbseg.labeling.labeler import label_elsewhere

                labels = label_elsewhere(engine, asked.given(hub), source, wanted, asked.out, **run)
    typer.echo(summary(labels))
    for failure in labels.errors:
        complain(f"{failure['path']}: {failure['error']}", "not labelled")
    if left := source.told():
        complain(left, "warning")
    if asked.strict and (labels.errors or left):
        raise typer.Exit(1)


def _labeler(asked: LabelOptions, wanted: "Vocabulary", hub: "HubOptions") -> "PseudoLabeler":
    """Load the models, and tell what they are and do not know."""
    from fmbseg.devices import find_device
    from fmbseg.labeling.labeler import PseudoLabeler
    from fmbseg.labeling.two_models import TwoModels

    labeler = PseudoLabeler(**asked.given(hub))
    if isinstance(labeler.way, TwoModels):
        warn_of_words(labeler.encoder, wanted)
    tell_device(find_device(asked.device))
    return labeler


def _estimated(asked: LabelOptions, source: "Source", wanted: "Vocabulary", hub: "HubOptions") -> str:
    """Time, size and cost of the whole run, measured on a sample."""
    from fmbseg.labeling.estimate import estimate

    measured = estimate(
        _labeler(asked, wanted, hub),
        source,
        wanted,
        image_labels=asked.image_labels,
        sample=asked.sample,
        workers=asked.threads(),
    )
    return measured.told(asked.numbers_of_workers(), asked.price)


def summary(labels: "LabelSet") -> str:
    """Count a label set's photographs, masks by stage, and classes, on two lines."""
    from fmbseg.escaping import terminal
    from fmbseg.labels.record import STAGES

    found = labels.statistics()
    by_stage = {stage: found.count(stage) for stage in STAGES}
    masks = ", ".join(f"{count} {_MASKS[stage]}" for stage, count in by_stage.items() if count)
    classes = ", ".join(f"{terminal(name)} ({count})" for name, count in found.detected.items())
    return (
        f"{labels.place}: {found.photographs} photographs labelled, {len(labels.errors)} not; "
        f"{masks or 'no mask'}; {found.unknown:.0%} of their pixels unknown\n"
        f"classes (photographs): {classes or 'none was found'}"
    )
