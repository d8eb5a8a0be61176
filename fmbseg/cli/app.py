"""``fmbseg app``: the page in the browser."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import DeviceName, RecipeName, tell_device, with_hub_options, with_options

if TYPE_CHECKING:
    from fmbseg.models.loading.hub_files import HubOptions


@dataclass(frozen=True)
class AppOptions:
    """What ``fmbseg app`` takes."""

    folder: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder of photographs, a label set or a head that the page may read, and no other; "
            "repeatable."
        ),
    ] = None
    work: Annotated[Path, typer.Option(help="Folder for the label sets and heads that the page makes.")] = (
        Path("fmbseg-app")
    )
    recipe: RecipeName = "offline"
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others reach needs --page-token.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 7860
    page_token: Annotated[
        str | None,
        typer.Option(
            envvar="FMBSEG_APP_TOKEN",
            help="What a browser must know to see the page: 8 or more letters and digits.",
        ),
    ] = None
    most_upload: Annotated[int, typer.Option(help="Megabytes of an upload at most.", min=1)] = 64
    device: DeviceName = None


@with_hub_options
@with_options(AppOptions)
def app(asked: AppOptions, *, hub: "HubOptions") -> None:
    """Open a page in the browser that segments, labels, corrects and trains; on this machine alone."""
    from fmbseg.app.freed import give_back_freed_memory
    from fmbseg.app.guard import Limits
    from fmbseg.app.server import check_open, serve

    give_back_freed_memory()
    check_open(asked.host, asked.page_token)
    from fmbseg.app.place import Folders, Place
    from fmbseg.cli.models import chosen_recipe
    from fmbseg.devices import find_device
    from fmbseg.methods import ModelPool

    folders = Folders(asked.folder or [])
    device = find_device(asked.device)
    recipe = chosen_recipe(asked.recipe, hub, device).name
    tell_device(device)
    place = Place(folders, asked.work, ModelPool(device=device, hub=hub), recipe)
    limits = Limits(upload=asked.most_upload * 2**20)
    with serve(place, host=asked.host, port=asked.port, token=asked.page_token, limits=limits) as server:
        typer.echo(f"{server.url}: open it in a browser; Ctrl-C ends it")
        _until_interrupted()


def _until_interrupted() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: nothing stays behind
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        typer.echo("ended", err=True)
