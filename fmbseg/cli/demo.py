"""``fmbseg demo``: the whole chain on real photographs, and a report of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.models import chosen_recipe
from fmbseg.cli.options import DeviceName, RecipeName, Strict, tell_device, with_hub_options

if TYPE_CHECKING:
    from fmbseg.models.loading.hub_files import HubOptions


@with_hub_options
def demo(
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of photographs; by default some that come with installed packages."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Words to label and train with, such as cat,dog,sofa.")
    ] = None,
    new_words: Annotated[
        str | None, typer.Option(help="Words to segment with that are not trained on, such as kitten,puppy.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two photographs in place of eight; not with --images.")
    ] = False,
    recipe: RecipeName = "offline",
    out: Annotated[
        Path, typer.Option(help="Folder for the report: a new one, or that of an earlier demo.")
    ] = Path("demo"),
    strict: Strict = False,
    device: DeviceName = None,
    *,
    hub: "HubOptions",
) -> None:
    """Label, fit and segment real photographs, then write OUT/report.html and OUT/metrics.json."""
    if quick and images is not None:
        raise typer.BadParameter("--quick chooses among the demo's own photographs: leave --images out")
    from fmbseg.devices import find_device

    on = find_device(device)
    chosen = chosen_recipe(recipe, hub, on)
    if chosen.head is not None:  # the small models, which are there for those without a model hub
        typer.echo(
            f"recipe {chosen.name}: {chosen.title}; for the best within reach: fmbseg demo --recipe auto"
        )
    from fmbseg.demo.photographs import PHOTOGRAPHS, QUICK
    from fmbseg.demo.run import DemoSettings, run_demo
    from fmbseg.vocabulary_files import split_words

    settings = DemoSettings(
        out=out,
        images=images,
        photographs=QUICK if quick else PHOTOGRAPHS,
        classes=tuple(split_words(classes)) if classes is not None else None,
        new_words=tuple(split_words(new_words)) if new_words is not None else None,
        recipe=chosen.name,
        device=on,
        hub=hub,
    )
    tell_device(on)
    report = run_demo(settings)
    for failure in report.failures:
        complain(f"{failure['path']}: {failure['error']}", "not labelled")
    typer.echo(f"{report.page}: the report\n{report.metrics}: its figures")
    if strict and report.failures:
        raise typer.Exit(1)
