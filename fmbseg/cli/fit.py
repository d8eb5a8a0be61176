"""``fmbseg fit``: Stage 2, from pseudo labels to a head that speaks the text encoder's language."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import OutFolder, with_hub_options

if TYPE_CHECKING:
    from fmbseg.models.hub_files import HubOptions


@with_hub_options
def fit(
    labels: Annotated[Path, typer.Argument(help="Folder that `fmbseg label` wrote.")],
    out: OutFolder,
    backbone: Annotated[str | None, typer.Option(help="Spec of the frozen encoder.")] = None,
    recipe: Annotated[str, typer.Option(help="Names the models and the settings.")] = "offline",
    epochs: Annotated[int | None, typer.Option(help="Passes over the photographs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photographs contrasted with one another.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At the start; it falls to 0.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Divides every dot product of the loss.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Short side in pixels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first weights and the order.")] = None,
    *,
    hub: "HubOptions",
) -> None:
    """Train one block on pseudo labels (Stage 2); what is left out is the recipe's."""
    from fmbseg.alignment.aligner import Aligner
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.recipes import get_recipe

    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "temperature": temperature,
        "image_size": image_size,
        "seed": seed,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    settings = TrainingSettings.from_dict({**get_recipe(recipe).training, **changed})
    source = LabelSet.open(labels)
    # The texts to learn are those of the model that named the masks; labels by hand come from none.
    text = source.manifest["models"].get("image_text")
    aligner = Aligner(backbone, text, recipe=recipe, settings=settings, hub=hub).fit(source)
    aligner.save_pretrained(out)
    first, last = aligner.history[0].loss, aligner.history[-1].loss
    typer.echo(
        f"{out}: head trained on {len(source)} photographs in {settings.epochs} epochs, "
        f"loss {first:.3f} to {last:.3f}"
    )
