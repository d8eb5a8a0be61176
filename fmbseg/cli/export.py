"""``fmbseg export``: backbone and head as one file for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import with_hub_options

if TYPE_CHECKING:
    from fmbseg.models.loading.hub_files import HubOptions


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
