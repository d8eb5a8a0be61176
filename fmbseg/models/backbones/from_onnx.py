"""Backbones from ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fmbseg.missing_package import require
from fmbseg.models.backbones.facts import Origin
from fmbseg.models.backbones.frozen import FrozenBackbone, frozen
from fmbseg.models.backbones.probing import probe
from fmbseg.models.backbones.request import FILE_OPTIONS, BackboneRequest
from fmbseg.models.loading.errors import AssetUnavailableError, SpecError, first_line

_SIZE = 224
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def onnx_backbone(name: str, **options: Any) -> FrozenBackbone:
    """Turn an ONNX file into a frozen backbone: it takes one float32 (B, 3, H, W); its first output is read.

    Args:
        name: path of the file, and options.
        options: ``size`` in pixels (if not given, the file's own, else 224), ``prefix`` (tokens before the
            patches), ``mean``, ``std`` and ``interpolation`` of its pixels, ``license``.

    Raises:
        AssetUnavailableError: there is no such file.
        SpecError: it is not an ONNX file, or takes another input.
        NoSpatialFeaturesError: its output is not a grid.
        WeightsError: its values are not finite, or mean and std are not stated.
    """
    request = BackboneRequest.read("onnx", name, options, FILE_OPTIONS)
    if request.compiled:
        raise SpecError(f"{request.spec}: ONNX Runtime has a compiler of its own: leave out `compiled`")
    path = Path(request.name).expanduser()
    if not path.is_file():
        raise AssetUnavailableError(f"there is no file {path}")
    module = OnnxModule(path)
    size = request.size or module.side or _SIZE
    if module.side not in (None, size):
        raise SpecError(f"{request.spec}: the file takes {module.side} px only: leave out `size`")
    transform = request.stated_transform(path)
    grid = probe(module, size, request.prefix, request.spec)._replace(parameters=0)
    return frozen(grid, request, transform, Origin(request.name, str(path), request.license or "unknown"))


class OnnxModule(nn.Module):
    """An ONNX file as a module without parameters, on a GPU if ONNX Runtime has one.

    Args:
        path: path of the file.

    Attributes:
        side: side in pixels of the square images that it takes; ``None`` if it takes any size.

    Raises:
        SpecError: it is not an ONNX file, or its input is not (B, 3, H, W) of float32.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        onnxruntime = require("onnxruntime", "onnx", f"the backbone {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # errors are raised, so they need not be printed too
        available = onnxruntime.get_available_providers()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[name for name in _PROVIDERS if name in available]
            )
        except Exception as error:
            raise SpecError(
                f"{path} is not an ONNX file that ONNX Runtime can run: {first_line(error)}"
            ) from error
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or (shape[1] not in (3, None) and isinstance(shape[1], int)):
            given = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise SpecError(f"{path} must take one input (B, 3, H, W); it takes {given}")
        if inputs[0].type != "tensor(float)":
            raise SpecError(f"{path} must take float32; it takes {inputs[0].type}")
        self._input = inputs[0].name
        self._output = self._session.get_outputs()[0].name
        sides = [side for side in shape[2:] if isinstance(side, int)]
        self.side: int | None = sides[0] if sides else None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Run the file on (B, 3, H, W) and return its first output."""
        (given,) = self._session.run([self._output], {self._input: pixels.cpu().contiguous().numpy()})
        return torch.from_numpy(given).to(pixels.device)
