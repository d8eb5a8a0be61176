"""An aligned encoder as an ONNX file, checked against PyTorch before use."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fmbseg.aligned.export import EXPORT, ExportError, export_program
from fmbseg.files import telling_of_a_full_disk
from fmbseg.missing_package import require
from fmbseg.models.exported import ExportedCard, ExportedEncoder, data_file, seal_file
from fmbseg.written import check_single, single_file

if TYPE_CHECKING:
    from fmbseg.aligned.encoder import AlignedEncoder
    from fmbseg.aligned.export import ExportedSize

_CLOSE = 1e-3
"""How far apart a component of a unit vector may be, at most."""
_ONE_FILE_BYTES = 1_500_000_000  # ONNX's own limit is 2 GB; beyond it, weights go to a second file


@dataclass(frozen=True)
class ExportReport:
    """What was exported, and how near it comes to PyTorch.

    Args:
        path: of the file.
        dynamic: whether the sides may be any multiples of the stride.
        size: height and width in pixels that it was exported with.
        largest_difference: from PyTorch, of any component of a text-space vector at any size checked.
        checked_sizes: height and width in pixels of each size.
    """

    path: Path
    dynamic: bool
    size: tuple[int, int]
    largest_difference: float
    checked_sizes: tuple[tuple[int, int], ...]


def export_onnx(
    encoder: AlignedEncoder, path: str | Path, *, size: tuple[int, int] | None = None
) -> ExportReport:
    """Write backbone and head to an ONNX file: ``pixels`` (1, 3, H, W) to ``text_map`` (1, D, h, w).

    The file holds no classes: words are compared with the map afterwards, so any will do.
    :class:`fmbseg.models.exported.ExportedEncoder` runs it. Before it gets its name, it is run in
    ONNX Runtime on random pixels of one or two sizes and compared with PyTorch; it carries a checksum.
    Weights beyond 1.5 GB go to a second file beside it, ``FILE.data``.

    Args:
        encoder: a trained one.
        path: of the file.
        size: fix height and width, in pixels; if not given, they are left open if the model allows.

    Raises:
        ExportError: the model cannot be exported, or the file does not compute what PyTorch does.
        WouldReplaceError: (a ValueError) a file of this name exists that is not an earlier export.
        ImportError: the extra ``onnx`` is not installed.
    """
    require_onnx()
    path = Path(path)
    check_single(path, EXPORT)
    program, exported = export_program(encoder, size=size)
    sizes = _sizes(exported, encoder.stride)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fmbseg-export-", dir=path.parent) as folder:
        made = Path(folder, path.name)  # under its final name, by which it finds its weights
        with telling_of_a_full_disk(path):
            _write(program, made, _card(encoder, exported))
        difference = max(_difference(encoder, ExportedEncoder(made, device="cpu"), one) for one in sizes)
        if not difference <= _CLOSE:  # also true of NaN
            raise ExportError(
                f"the exported graph of {encoder.backbone.spec!r} differs from PyTorch by {difference:g} "
                f"(allowed {_CLOSE:g}); it was not kept"
            )
        with contextlib.ExitStack() as stack:  # the last one takes its name first
            for one in (made, data_file(made)):
                if one.exists():
                    one.replace(stack.enter_context(single_file(path.with_name(one.name), EXPORT)))
    return ExportReport(path, exported.dynamic, exported.size, difference, sizes)


def require_onnx() -> None:
    """Report a missing package before any work.

    Raises:
        ImportError: the extra ``onnx`` is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "onnx", "exporting to ONNX")


def _card(encoder: AlignedEncoder, exported: ExportedSize) -> ExportedCard:
    transform = encoder.transform
    return ExportedCard(
        backbone=encoder.config.backbone,
        text_encoder=encoder.config.text_encoder,
        dim=encoder.dim,
        stride=encoder.stride,
        mean=transform.mean,
        std=transform.std,
        interpolation=transform.interpolation,
        dynamic=exported.dynamic,
        size=exported.size,
    )


def _write(program: torch.export.ExportedProgram, path: Path, card: ExportedCard) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # the exporter reports its steps there
        made = torch.onnx.export(
            program, dynamo=True, input_names=["pixels"], output_names=["text_map"], verbose=False
        )
    assert made is not None  # never None from the dynamo exporter
    external = sum(tensor.nbytes for tensor in program.state_dict.values()) > _ONE_FILE_BYTES
    made.model.metadata_props.update(card.to_metadata(with_data=external))
    made.save(path, external_data=external)
    seal_file(path)


def _sizes(exported: ExportedSize, stride: int) -> tuple[tuple[int, int], ...]:
    """The exported size and, if sizes are open, a wide one with odd numbers of cells."""
    return (exported.size, (5 * stride, 9 * stride)) if exported.dynamic else (exported.size,)


def _difference(encoder: AlignedEncoder, exported: ExportedEncoder, size: tuple[int, int]) -> float:
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    wanted = encoder.encode(pixels).cpu()
    return float((exported.encode(pixels) - wanted).abs().max())
