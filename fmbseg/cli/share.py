"""``fmbseg export``, ``push`` and ``pull``: a head as one file for other programs, to the Hub, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import Branch, CacheDir, LocalFilesOnly, Private, Token, with_hub_options

if TYPE_CHECKING:
    from fmbseg.models.loading.hub_files import HubOptions

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


@with_hub_options
def export(
    head: Annotated[str, typer.Argument(help="Folder written by `fmbseg fit`, or owner/name on the Hub.")],
    out: Annotated[Path, typer.Option(help="File to write: .onnx, or .pt2 for torch.export.")],
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Fix height and width in pixels; by default they stay flexible if the model allows it."
        ),
    ] = None,
    *,
    hub: "HubOptions",
) -> None:
    """Export a head and its backbone as one file; an ONNX file is checked against PyTorch."""
    if out.suffix not in (".onnx", ".pt2"):
        raise typer.BadParameter(f"{out} must end in .onnx or .pt2", param_hint="--out")
    from fmbseg.written import check_single

    check_single(out, "export")  # what is cheap comes before models are loaded
    from fmbseg.aligned.encoder import AlignedEncoder
    from fmbseg.aligned.export import check_size, save_program
    from fmbseg.aligned.onnx_file import export_onnx, require_onnx
    from fmbseg.aligned.saved import SavedHead

    if out.suffix == ".onnx":
        require_onnx()
    check_size(size, SavedHead.find(head, hub).config.stride)
    # In float32, and bound to no device: an accelerator would write its own into the file.
    encoder = AlignedEncoder.from_pretrained(head, device="cpu", hub=hub)
    if out.suffix == ".onnx":
        report = export_onnx(encoder, out, size=size)
        sizes = "any size" if report.dynamic else f"{report.size[0]} x {report.size[1]} pixels"
        typer.echo(f"{out}: {sizes}, at most {report.largest_difference:.1e} from PyTorch")
        return
    exported = save_program(encoder, out, size=size)
    sizes = "any size" if exported.dynamic else f"{exported.size[0]} x {exported.size[1]} pixels"
    typer.echo(f"{out}: {sizes}")
