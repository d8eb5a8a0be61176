"""Backbone and head as one exported graph: pixels to the text space, so that words stay open.

Only the image side is exported. Words are vectors of the same space, made where they are needed and
compared with the map afterwards, so an exported file is not bound to a list of classes.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from fmbseg.models.contracts import Exportable
from fmbseg.written import check_single, single_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch.export import ExportedProgram

    from fmbseg.aligned.encoder import AlignedEncoder

EXPORT = "export"
"""The kind of file, in the marker of its folder."""

_MOST_CELLS = 512  # a side of the map; a bound helps the exporter, and no image is resized to more

_DEFAULT_SIDE = 448  # pixels of the protocol's windows


class ExportError(RuntimeError):
    """A model that cannot be exported; the message says why and what to do."""


class TextSpaceModel(nn.Module):
    """Pixels (B, 3, H, W) to unit vectors of the text space (B, D, h, w).

    Args:
        encoder: provides the backbone and head; nothing is copied.

    Example:
        >>> from fmbseg.models.registries import BACKBONES
        >>> from fmbseg.aligned.encoder import AlignedEncoder
        >>> from fmbseg.aligned.head import AlignmentHead
        >>> encoder = AlignedEncoder(BACKBONES.create("efficientnet_lite2"), AlignmentHead(472, 8), "conse")
        >>> TextSpaceModel(encoder)(torch.zeros(1, 3, 32, 48)).shape
        torch.Size([1, 8, 2, 3])
    """

    def __init__(self, encoder: AlignedEncoder) -> None:
        super().__init__()
        self.head = encoder.head
        backbone = encoder.backbone
        self._backbone = backbone.for_export() if isinstance(backbone, Exportable) else backbone
        # A backbone need not be a module itself, but an exporter must be told of its weights.
        for name, value in vars(self._backbone).items():
            if isinstance(value, nn.Module):
                self.add_module(f"backbone_{name.strip('_')}", value)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode normalised pixels."""
        return self.head(self._backbone.encode(pixels))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ExportedSize:
    """What an exported graph takes.

    Args:
        dynamic: whether the sides may be any multiples of the stride; otherwise they are ``size``.
        size: height and width in pixels that it was exported with.
    """

    dynamic: bool
    size: tuple[int, int]


def export_program(
    encoder: AlignedEncoder, *, size: tuple[int, int] | None = None
) -> tuple[ExportedProgram, ExportedSize]:
    """Export with ``torch.export``, for sides of any multiple of the stride if the model allows it.

    Args:
        encoder: a trained one.
        size: fix height and width, in pixels; if not given, they are left open if they can be.

    Returns:
        The program, which takes and gives what :class:`TextSpaceModel` does, and the sizes it takes.

    Raises:
        ExportError: the model cannot be exported.
        ValueError: a size that is not a multiple of the stride.
    """
    check_size(size, encoder.stride)
    model = TextSpaceModel(encoder).eval()
    if size is None:
        try:
            return _export(model, encoder, (24, 32), dynamic=True)
        except ExportError as error:
            warnings.warn(
                f"the backbone {encoder.backbone.spec!r} has no export of open size ({error}); "
                f"it is exported for one size",
                stacklevel=2,
            )
    side = round(_DEFAULT_SIDE / encoder.stride)
    cells = (side, side) if size is None else (size[0] // encoder.stride, size[1] // encoder.stride)
    return _export(model, encoder, cells, dynamic=False)


def save_program(
    encoder: AlignedEncoder, path: str | Path, *, size: tuple[int, int] | None = None
) -> ExportedSize:
    """Write the result of :func:`export_program` to a file that ``torch.export.load`` reads.

    Args:
        encoder: a trained one.
        path: of the file, which ends in ``.pt2``.
        size: as :func:`export_program` takes it.

    Raises:
        ExportError: the model cannot be exported.
        WouldReplaceError: (a ValueError) a file of this name exists that is not an earlier export.
        OSError: it cannot be written.
    """
    check_single(path, EXPORT)
    program, exported = export_program(encoder, size=size)
    content = io.BytesIO()  # torch's own writer ends the process on a full disk
    torch.export.save(program, content)
    with single_file(path, EXPORT) as temporary:
        temporary.write_bytes(content.getbuffer())
    return exported


def check_size(size: tuple[int, int] | None, stride: int) -> None:
    """Refuse a size that is not a multiple of the backbone's stride.

    Raises:
        ValueError: it is not one.
    """
    if size is not None and (min(size) < stride or size[0] % stride or size[1] % stride):
        raise ValueError(f"size is {size}: both sides must be multiples of {stride}, the backbone's stride")


def _export(
    model: TextSpaceModel, encoder: AlignedEncoder, cells: tuple[int, int], *, dynamic: bool
) -> tuple[ExportedProgram, ExportedSize]:
    stride = encoder.stride
    size = (cells[0] * stride, cells[1] * stride)
    pixels = torch.zeros(1, 3, *size, device=encoder.device)
    shapes = None
    if dynamic:
        height = torch.export.Dim("height_in_cells", min=2, max=_MOST_CELLS)
        width = torch.export.Dim("width_in_cells", min=2, max=_MOST_CELLS)
        # The batch stays 1: left open, the attention's shapes would bind the graph to larger batches.
        shapes = {"pixels": {2: stride * height, 3: stride * width}}
    try:
        with torch.no_grad():
            program = torch.export.export(model, (pixels,), dynamic_shapes=shapes, strict=False)
            if dynamic:  # a graph may be open by name and yet refuse other sizes when it is run
                program.module()(pixels.new_zeros(1, 3, 5 * stride, 9 * stride))
    except Exception as error:  # exporters fail with nearly any exception
        reason = str(error).strip().splitlines()
        raise ExportError(
            f"the backbone {encoder.backbone.spec!r} cannot be exported by torch.export: "
            f"{reason[0][:300] if reason else type(error).__name__}"
        ) from error
    return program, ExportedSize(dynamic, size)
