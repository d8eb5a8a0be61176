"""Your own backbones: an ``nn.Module``, a TorchScript file, or a saved ExportedProgram."""

from __future__ import annotations

import os
import pickle
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.models.backbones.facts import Origin
from fmbseg.models.backbones.frozen import FrozenBackbone, frozen
from fmbseg.models.backbones.probing import probe
from fmbseg.models.backbones.request import FILE_OPTIONS, BackboneRequest
from fmbseg.models.loading.errors import AssetUnavailableError, SpecError, WeightsError, first_line
from fmbseg.models.loading.precision import DTYPES
from fmbseg.models.loading.weights import check_finite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

_OPTIONS = FILE_OPTIONS | {"precision"}
_SIZE = 224


def torch_backbone(name: str, **options: Any) -> FrozenBackbone:
    """Turn a TorchScript file or a saved ExportedProgram into a frozen backbone.

    Such files are programs: load only those of people you trust. What is pickled in them is read with
    ``weights_only``, so that loading alone runs nothing.

    Args:
        name: path of the file, and options.
        options: ``size`` in pixels (224 if not given), ``prefix`` (tokens before the patches), ``mean``,
            ``std`` and ``interpolation`` of its pixels, ``license``, ``precision``, ``compiled``.

    Raises:
        AssetUnavailableError: there is no such file.
        SpecError: it is neither kind of file, or does not run in the requested precision.
        NoSpatialFeaturesError: its output is not a grid.
        WeightsError: it is damaged, its values are not finite, or mean and std are not stated.
    """
    request = BackboneRequest.read("torch", name, options, _OPTIONS)
    path = Path(request.name).expanduser()
    if not path.is_file():
        raise AssetUnavailableError(
            f"there is no file {path}. If {request.name!r} is a module of your own, made a backbone by "
            "`module_backbone`, pass it as `backbone=` where a spec would be, or register a factory for it"
        )
    return _frozen(_load(path), request, str(path))


def module_backbone(module: nn.Module, name: str, **options: Any) -> FrozenBackbone:
    """Turn your own module into a frozen backbone; it is frozen in place.

    Args:
        module: turns pixels (B, 3, H, W) into maps (B, C, h, w), tokens (B, prefix + h * w, C) or a tuple
            that begins with either.
        name: its name; the spec ``torch:name`` says what a head was trained on, but cannot recreate it.
        options: as for :func:`torch_backbone`.

    Raises:
        NoSpatialFeaturesError: its output is not a grid.
        SpecError: it does not run in the requested precision.
        WeightsError: its values are not finite, or mean and std are not stated.

    Example:
        >>> patches = torch.nn.Conv2d(3, 24, kernel_size=16, stride=16)
        >>> backbone = module_backbone(patches, "patches", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> backbone.spec, backbone.dim, backbone.stride
        ('torch:patches?mean=0.5,0.5,0.5&std=0.5,0.5,0.5', 24, 16)
    """
    request = BackboneRequest.read("torch", name, options, _OPTIONS)
    return _frozen(module.eval(), request, f"the module {name!r}")


def _frozen(module: nn.Module, request: BackboneRequest, source: str) -> FrozenBackbone:
    check_finite(module, source)
    if request.compiled and isinstance(module, torch.jit.ScriptModule):
        raise SpecError(f"{request.spec}: torch.compile takes no TorchScript: leave out `compiled`")
    transform = request.stated_transform(source)
    size = request.size or _SIZE
    grid = probe(module, size, request.prefix, request.spec)
    if request.precision != "fp32":
        _check_precision(grid.network, size, request)
    return frozen(grid, request, transform, Origin(request.name, source, request.license or "unknown"))


@torch.inference_mode()
def _check_precision(network: nn.Module, size: int, request: BackboneRequest) -> None:
    """Try a network in half precision: programs may have been exported for float32 alone.

    Raises:
        SpecError: it does not run, or gives values that are not finite.
    """
    dtype: torch.dtype = DTYPES[request.precision]
    remedy = "export the program in it, or leave out `precision`"
    try:
        given = network.to(dtype)(torch.zeros(1, 3, size, size, dtype=dtype))
    except Exception as error:
        raise SpecError(
            f"{request.spec} does not run in {request.precision} ({first_line(error)}): {remedy}"
        ) from error
    if not bool(torch.isfinite(given).all()):
        raise SpecError(f"{request.spec} gives values that are not finite in {request.precision}: {remedy}")


def _load(path: Path) -> nn.Module:
    kind = _kind_of(path)
    try:
        if kind == "script":
            script: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return script.eval()
        with _nothing_unpickled():
            return torch.export.load(path).module()
    except (RuntimeError, pickle.UnpicklingError, ValueError, EOFError) as error:
        raise WeightsError(f"{path} cannot be loaded: {first_line(error)}") from error


def _kind_of(path: Path) -> str:
    names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    if any("/code/" in name for name in names):
        return "script"
    if any(
        name.endswith("archive_format") or name.startswith("serialized_exported_program") for name in names
    ):
        return "export"
    pickled = any(name.endswith("data.pkl") for name in names)
    what = "a pickle, as torch.save writes them" if pickled else "neither"
    raise SpecError(
        f"{path} is neither a TorchScript file nor a saved ExportedProgram (it is {what}): save the model "
        "with `torch.jit.save` or `torch.export.save`; fmbseg unpickles no modules"
    )


@contextmanager
def _nothing_unpickled() -> Iterator[None]:
    """Forbid pickles that run code while an ExportedProgram is read: its own reader would allow them."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
