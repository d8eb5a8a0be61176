"""``fmbseg push`` and ``fmbseg pull``: heads to the Hub and back."""

from pathlib import Path
from typing import Annotated

import typer

from fmbseg.cli.options import Branch, CacheDir, LocalFilesOnly, Private, Token

Repository = Annotated[str, typer.Argument(help="owner/name on the Hub.")]


def push(
    head: Annotated[Path, typer.Argument(help="Folder written by `fmbseg fit`.")],
    repo: Repository,
    private: Private = None,
    branch: Branch = None,
    token: Token = None,
    message: Annotated[str, typer.Option(help="First line of the commit.")] = "Push a head with fmbseg",
    license: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="Licence of the head, as the Hub names it: apache-2.0, cc-by-4.0, ...")
    ] = None,
    photographs: Annotated[
        str, typer.Option(help="The photographs it was trained on, and their licence, in one sentence.")
    ] = "",
    report: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="Folder of an `fmbseg eval` run to show on the card; repeatable."),
    ] = None,
) -> None:
    """Push a head and its model card: the folder's README.md, unless options of the card are given."""
    from fmbseg.models.loading.hub_files import check_repository

    check_repository(repo)  # before PyTorch is loaded, which takes its time
    from fmbseg.aligned.card import HeadCard
    from fmbseg.aligned.saved import push_head

    card = None
    if license or photographs or report:
        card = HeadCard(license=license, photographs=photographs, reports=tuple(report or ()))
    typer.echo(
        push_head(head, repo, card=card, branch=branch, private=private, token=token, commit_message=message)
    )


def pull(
    repo: Repository,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default only the Hub's cache.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    token: Token = None,
    cache_dir: CacheDir = None,
    local_files_only: LocalFilesOnly = False,
) -> None:
    """Fetch a head, check it, and print its folder; no code in it is run."""
    from fmbseg.aligned.saved import pull_head
    from fmbseg.models.loading.hub_files import HubOptions

    options = HubOptions(revision, cache_dir, local_files_only, token)
    typer.echo(pull_head(repo, out, options))
