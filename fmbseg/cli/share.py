"""``fmbseg push`` and ``fmbseg pull``: heads to the Hub and back."""

from pathlib import Path
from typing import Annotated

import typer

from fmbseg.cli.options import Branch, CacheDir, LocalFilesOnly, Private, Token

Repository = Annotated[str, typer.Argument(help="owner/name on the Hub.")]


def push(
    head: Annotated[Path, typer.Argument(help="Folder that `fmbseg fit` wrote.")],
    repo: Repository,
    private: Private = None,
    branch: Branch = None,
    token: Token = None,
    message: Annotated[str, typer.Option(help="First line of the commit.")] = "Push a head with fmbseg",
    license: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="Licence of the head, as the Hub names it: apache-2.0, cc-by-4.0, ...")
    ] = None,
    photographs: Annotated[
        str, typer.Option(help="Which photographs it was trained on, and their licence, in a sentence.")
    ] = "",
    report: Annotated[
        list[Path] | None, typer.Option("--eval", help="Folder of `fmbseg eval` for the card; may repeat.")
    ] = None,
) -> None:
    """Push a head and its model card; the folder's own README.md unless the card's options are given."""
    from fmbseg.models.loading.hub_files import check_repository

    check_repository(repo)  # before PyTorch is loaded, which takes its time
    from fmbseg.aligned.card import HeadCard
    from fmbseg.hub import push_head

    card = None
    if license or photographs or report:
        card = HeadCard(license=license, photographs=photographs, reports=tuple(report or ()))
    typer.echo(
        push_head(head, repo, card=card, branch=branch, private=private, token=token, commit_message=message)
    )


def pull(
    repo: Repository,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; else the Hub's cache alone.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    token: Token = None,
    cache_dir: CacheDir = None,
    local_files_only: LocalFilesOnly = False,
) -> None:
    """Fetch a head, check it, and print its folder; nothing in it is run."""
    from fmbseg.hub import pull_head
    from fmbseg.models.loading.hub_files import HubOptions

    options = HubOptions(revision, cache_dir, local_files_only, token)
    typer.echo(pull_head(repo, out, options))
