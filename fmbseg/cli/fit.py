"""``fmbseg fit``: Stage 2, from pseudo labels to a head that maps into the text encoder's space."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbseg.cli.engine_options import EngineOptions
from fmbseg.cli.options import (
    DeviceName,
    OutFolder,
    RecipeName,
    name_and_value,
    tell_device,
    with_hub_options,
    with_options,
)
from fmbseg.cli.words import warn_of_words
from fmbseg.recipes import AUTO, RECIPES

if TYPE_CHECKING:
    import torch

    from fmbseg.alignment.aligner import Aligner
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes import Recipe

FEWEST_FROM_NOTHING = 500
"""Photographs with which a head from nothing comes near the packaged one (benchmarks/learning_curve.py)."""

_SETTINGS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "loss",
    "head_kind",
    "mlp_ratio",
    "temperature",
    "image_size",
    "seed",
)
_CAREFULLY: dict[str, Any] = {"distillation": 1.0, "cross_validation": 5}


@dataclass(frozen=True, kw_only=True)
class FitOptions(EngineOptions):
    """What ``fmbseg fit`` takes."""

    labels: Annotated[str, typer.Argument(help="Folder or URI written by `fmbseg label`.")]
    out: OutFolder
    backbone: Annotated[str | None, typer.Option(help="Spec of the backbone (frozen encoder).")] = None
    recipe: RecipeName = AUTO
    certainty: Annotated[
        float | None,
        typer.Option(
            help="Learn only from masks that are at least this certain, 0 to 1; from all by default."
        ),
    ] = None
    start: Annotated[
        str | None,
        typer.Option(
            help="Head to start from, with its models and settings; with fewer than 500 photographs the "
            "packaged one, if it is of these models."
        ),
    ] = None
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Start from nothing, however few photographs there are.")
    ] = False
    epochs: Annotated[int | None, typer.Option(help="Passes over the photographs.")] = None
    batch_size: Annotated[
        int | None, typer.Option(help="Photographs per batch, contrasted with one another.")
    ] = None
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate at the start; it falls to 0.")
    ] = None
    loss: Annotated[str | None, typer.Option(help="Loss, for example tsupcon or cross_entropy.")] = None
    head_kind: Annotated[str | None, typer.Option(help="Kind of the new head, for example block or mlp.")] = (
        None
    )
    mlp_ratio: Annotated[
        float | None,
        typer.Option(help="Hidden width of the head's MLP, as a multiple of the encoder's channels."),
    ] = None
    temperature: Annotated[
        float | None, typer.Option(help="Temperature: divides every dot product in the loss.")
    ] = None
    image_size: Annotated[int | None, typer.Option(help="Short side of the training images in pixels.")] = (
        None
    )
    seed: Annotated[int | None, typer.Option(help="Seed of the initial weights and of the order.")] = None
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting as NAME=VALUE, for example validation=0.1."),
    ] = None
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints; the same command continues from it.")
    ] = None
    logs: Annotated[Path | None, typer.Option(help="Folder for CSV logs; OUT/logs if not given.")] = None
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log for TensorBoard.")] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how large the features would be, and stop.")
    ] = False
    device: DeviceName = None

    def changed(self) -> dict[str, Any]:
        """The settings of the training that were given."""
        given = {name: getattr(self, name) for name in _SETTINGS}
        stated = {name: value for name, value in given.items() if value is not None}
        return stated | dict(name_and_value("--set", text, "validation=0.1") for text in self.setting or ())

    def starting_from(self, source: "LabelSet") -> str | None:
        """The packaged head to continue from, if that is better than to start from nothing.

        Raises:
            typer.BadParameter: options that exclude one another were given.
        """
        if self.start is not None and self.backbone is not None:
            raise typer.BadParameter("--start uses the backbone of its head: leave out --backbone")
        if self.start is not None and self.from_scratch:
            raise typer.BadParameter("give either --start or --from-scratch")
        if self.start is not None or self.from_scratch or {"head_kind", "mlp_ratio"} & set(self.changed()):
            return None
        packaged = _suited(source, self.backbone, self.recipe)
        if packaged is not None:
            typer.echo(
                f"{len(source)} photographs are fewer than {FEWEST_FROM_NOTHING}: continuing from the "
                f"packaged head {packaged!r} if that makes it better (--from-scratch: start from nothing)",
                err=True,
            )
        return packaged


@with_hub_options
@with_options(FitOptions)
def fit(asked: FitOptions, *, hub: "HubOptions") -> None:
    """Train a head on pseudo labels (Stage 2); unset options come from the recipe, or from --start.

    Few photographs teach less than the packaged head knows, so training then continues from that head, if it
    has the same models: what it says of its own words is kept (distillation), and cross-validation tells
    after how many epochs to stop. Where none is surely better than that head, it is kept as it is.
    """
    from fmbseg.aligned.files import check_place
    from fmbseg.alignment.checkpoint import Checkpoint
    from fmbseg.alignment.distributed import join_processes
    from fmbseg.alignment.early_checks import check_early, training_identity
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.recipes.auto import ByRecipe

    check_place(asked.out)
    source, changed = LabelSet(asked.labels, certainty=asked.certainty).whole, asked.changed()
    packaged = asked.starting_from(source)
    if packaged is not None:
        asked, changed = replace(asked, start=packaged, backbone=None), _CAREFULLY | changed
    processes, device = join_processes(asked.device)
    kept = None if asked.checkpoint is None or asked.dry_run else Checkpoint(asked.checkpoint)
    logs = asked.logs or asked.out / "logs"

    def make(recipe: "Recipe | None") -> "Aligner":
        settings = _settings(recipe, asked.start, changed, hub)
        if not asked.dry_run:
            identity = training_identity(source.fingerprint, settings, processes)
            check_early(source, identity, kept, logs, tensorboard=asked.tensorboard)
        return _aligner(source, asked, recipe, settings, device, hub)

    models = source.origin["models"]
    recorded = models.get("recipe") if models.get("recipe") in RECIPES else None
    needed = asked.start is None and (
        recorded is not None or asked.backbone is None or "image_text" not in models
    )
    with kept if kept is not None and processes.main else nullcontext():
        aligner = ByRecipe(asked.recipe, make, hub, device, needed=needed).made(recorded, asked.labels)
        if asked.dry_run:
            typer.echo(_plan(aligner, source))
            return
        if processes.main:  # once, however many train
            tell_device(device)
            warn_of_words(aligner.loaded_text_encoder(), source.vocabulary)
        aligner.fit(
            source,
            checkpoint=kept,
            logs=logs,
            tensorboard=asked.tensorboard,
            engine=asked.chosen_engine(),
        )
        if processes.main:
            aligner.save_pretrained(asked.out)
            typer.echo(f"{asked.out}: {_outcome(aligner, len(source), asked.start)}")


def _outcome(aligner: "Aligner", photographs: int, start: str | None) -> str:
    """What came out, in a line."""
    chosen = aligner.selection
    if chosen is not None and not chosen.epochs:
        return (
            f"the head {start!r} is kept, for training did not surely make it better: {chosen}; label more "
            "photographs, or take --from-scratch"
        )
    first, last = aligner.history[0].loss, aligner.history[-1].loss
    told = "" if chosen is None else f"; {chosen}"
    return (
        f"head trained on {photographs} photographs in {len(aligner.history)} epochs, "
        f"loss {first:.3f} to {last:.3f}{told}"
    )


def _suited(source: "LabelSet", backbone: str | None, recipe: str) -> str | None:
    """The packaged head, if it is of the models that are asked for and photographs are few."""
    from fmbseg.aligned.saved import SavedHead
    from fmbseg.heads import DEFAULT_HEAD

    config, models = SavedHead.find(DEFAULT_HEAD).config, source.origin["models"]
    chosen = models.get("recipe") if recipe == AUTO else recipe
    encoder = backbone or (config.backbone if chosen == DEFAULT_HEAD else None)  # else another recipe's
    same = (encoder, models.get("image_text")) == (config.backbone, config.text_encoder)
    return DEFAULT_HEAD if same and len(source) < FEWEST_FROM_NOTHING else None


def _settings(
    recipe: "Recipe | None", start: str | None, changed: dict[str, Any], hub: "HubOptions"
) -> "TrainingSettings":
    """The settings of the recipe, or of the head to start from, with the requested changes."""
    from fmbseg.aligned.saved import SavedHead
    from fmbseg.alignment.settings import TrainingSettings

    base = {} if recipe is None else recipe.training
    if start is not None:
        base = SavedHead.find(start, hub).config.training.get("settings", {})
    return TrainingSettings.from_dict({**base, **changed})


def _aligner(
    source: "LabelSet",
    asked: FitOptions,
    recipe: "Recipe | None",
    settings: "TrainingSettings",
    device: "torch.device",
    hub: "HubOptions",
) -> "Aligner":
    from fmbseg.alignment.aligner import Aligner

    if asked.start is not None:
        return Aligner.from_pretrained(asked.start, settings=settings, device=device, hub=hub)
    # The texts to learn are those of the model that named the masks; labels by hand come from none.
    text_encoder = source.origin["models"].get("image_text")
    name = AUTO if recipe is None else recipe.name
    return Aligner(asked.backbone, text_encoder, recipe=name, settings=settings, device=device, hub=hub)


def _plan(aligner: "Aligner", source: "LabelSet") -> str:
    needed, budget = aligner.feature_gigabytes(source), aligner.settings.cache_gb
    what = "they are kept" if needed <= budget else "they are computed again in every epoch"
    return (
        f"features of {len(source)} photographs take {needed:.3g} GB (float16) at "
        f"{aligner.settings.image_size} px; the budget is {budget:g} GB (cache_gb): {what}"
    )
