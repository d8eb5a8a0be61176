"""``fmbseg fit``: Stage 2, from pseudo labels to a head that speaks the text encoder's language."""

from pathlib import Path
from typing import Annotated

import typer

from fmbseg.cli.options import CacheDir, LocalFilesOnly, OutFolder


def fit(
    labels: Annotated[Path, typer.Argument(help="Folder that `fmbseg label` wrote.")],
    out: OutFolder,
    backbone: Annotated[str | None, typer.Option(help="Spec of the frozen encoder.")] = None,
    recipe: Annotated[str, typer.Option(help="Names the models and the settings.")] = "offline",
    epochs: Annotated[int | None, typer.Option(help="Passes over the photographs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photographs contrasted with one another.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At the start; it falls to 0.")] = None,
    loss: Annotated[str | None, typer.Option(help="By name, for example tsupcon or cross_entropy.")] = None,
    head_kind: Annotated[str | None, typer.Option(help="Of the new head, for example block or mlp.")] = None,
    mlp_ratio: Annotated[
        float | None, typer.Option(help="Hidden width of the head's MLP over the encoder's channels.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Divides every dot product of the loss.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Short side in pixels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first weights and the order.")] = None,
    cache_dir: CacheDir = None,
    local_files_only: LocalFilesOnly = False,
) -> None:
    """Train one block on pseudo labels (Stage 2); what is left out is the recipe's."""
    from fmbseg.alignment.aligner import Aligner
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.hub_files import HubOptions
    from fmbseg.recipes import get_recipe

    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "loss": loss,
        "head_kind": head_kind,
        "mlp_ratio": mlp_ratio,
        "temperature": temperature,
        "image_size": image_size,
        "seed": seed,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    settings = TrainingSettings.from_dict({**get_recipe(recipe).training, **changed})
    source = LabelSet.open(labels)
    # The texts to learn are those of the model that named the masks; labels by hand come from none.
    text = source.manifest["models"].get("image_text")
    hub = HubOptions(cache_dir=cache_dir, local_files_only=local_files_only)
    aligner = Aligner(backbone, text, recipe=recipe, settings=settings, hub=hub).fit(source)
    aligner.save_pretrained(out)
    first, last = aligner.history[0].loss, aligner.history[-1].loss
    typer.echo(
        f"{out}: head trained on {len(source)} photographs in {settings.epochs} epochs, "
        f"loss {first:.3f} to {last:.3f}"
    )
