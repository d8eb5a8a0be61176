"""An exported encoder (ONNX) run by ONNX Runtime, and the checksum that covers all bytes of its file."""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.ahead import onnx_threads
from fmbseg.devices import AUTO, Device, DeviceError, find_device
from fmbseg.files import DamagedFileError, check_regular, sha256_of
from fmbseg.missing_package import require
from fmbseg.models.checks import check_pixels
from fmbseg.models.text import embed_vocabulary
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.vocabulary import Vocabulary

_KEY = "fmbseg"
_SEAL_KEY = "fmbseg_checksum"
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class ExportedModelError(ValueError):
    """A file that fmbseg did not export as an encoder, or pixels that it does not take."""


@dataclass(frozen=True)
class ExportedCard:
    """What an exported file says about itself.

    Args:
        backbone: spec of the encoder in it.
        text_encoder: spec of the model whose text space it maps to.
        dim: dimensions of that space.
        stride: pixels between the cells of the map.
        mean: mean by which pixels are normalised.
        std: standard deviation by which pixels are normalised.
        interpolation: how images are resized.
        dynamic: whether the sides may be any multiples of the stride.
        size: height and width in pixels that it was exported with; the only ones, if it is not dynamic.
    """

    backbone: str
    text_encoder: str
    dim: int
    stride: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    dynamic: bool
    size: tuple[int, int]

    def to_metadata(self, *, with_data: bool) -> dict[str, str]:
        """The keys and texts that go into the file, which must then be sealed.

        Args:
            with_data: whether weights lie in a file beside it.
        """
        card = json.dumps(asdict(self), sort_keys=True)
        return {_KEY: card, _SEAL_KEY: placeholder(with_data=with_data)}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], path: Path) -> ExportedCard:
        """Read what :meth:`to_metadata` wrote.

        Raises:
            ExportedModelError: the file was not written by fmbseg.
        """
        try:
            fields: dict[str, Any] = json.loads(metadata[_KEY])
            listed = {name: tuple(fields[name]) for name in ("mean", "std", "size")}
            return cls(**{**fields, **listed})
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise ExportedModelError(
                f"{path} does not say how fmbseg exported it ({error!r}): write it with `fmbseg export`"
            ) from error


class ExportedEncoder:
    """The image side from an ONNX file, the text side from the text encoder that the file names.

    It can replace an AlignedEncoder in :class:`~fmbseg.OpenVocabSegmenter`.

    Args:
        path: path of the ONNX file that :func:`fmbseg.aligned.onnx_file.export_onnx` wrote.
        text_encoder: used instead of the one that the file names.
        threads: number of CPU threads; if None, ONNX Runtime chooses.
        device: a CUDA device or the CPU; by default CUDA where ONNX Runtime and PyTorch both have it.
        hub: how files of the text encoder that the file names are looked for.

    Attributes:
        hubness: 0: an exported file has no words to measure it against.
        prototypes: None, for the same reason.
        certainty: None: the curve holds only for scores after hubness.

    Raises:
        ExportedModelError: the file is missing, damaged, or not from fmbseg.
        ImportError: ONNX Runtime is not installed.
        DeviceError: there is no such device, or ONNX Runtime cannot use it.
    """

    hubness = 0.0
    prototypes = None
    certainty = None

    def __init__(
        self,
        path: str | Path,
        *,
        text_encoder: ImageTextEncoder | None = None,
        threads: int | None = None,
        device: Device = None,
        hub: HubOptions | None = None,
    ) -> None:
        onnxruntime = require("onnxruntime", "onnx", "an exported encoder")
        path = Path(path)
        if not path.is_file():
            raise ExportedModelError(f"{path} does not exist: `fmbseg export HEAD --out {path}` writes it")
        try:
            check_seal(path)
        except DamagedFileError as error:
            raise ExportedModelError(f"{error}: write it again with `fmbseg export`") from error
        self.device = _device(onnxruntime, device)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only; notes on graph optimisation help nobody here
        options.intra_op_num_threads = threads or onnx_threads()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=_providers(self.device)
            )
        except Exception as error:  # ONNX Runtime's errors have no base in common but Exception
            raise ExportedModelError(f"{path} is not an ONNX file that can be run: {error}") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.card = ExportedCard.from_metadata(metadata, path)
        self.transform = PixelTransform(
            self.card.mean,
            self.card.std,
            self.card.interpolation,  # type: ignore[arg-type]
        )
        self.stride, self.dim = self.card.stride, self.card.dim
        self._text_encoder, self._path, self._hub = text_encoder, path, hub

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels (B, 3, H, W) to unit vectors (B, D, h, w).

        Raises:
            ExportedModelError: the file was not exported for this size.
            ValueError: it is not a batch of pixels, or the sides are not multiples of the stride.
        """
        check_pixels(pixels, self.stride, "the exported encoder")
        size = (pixels.shape[2], pixels.shape[3])
        if not self.card.dynamic and size != self.card.size:
            raise ExportedModelError(
                f"the file was exported for {self.card.size[0]} x {self.card.size[1]} pixels, got "
                f"{size[0]} x {size[1]}: use windows of that size, or export again with another --size"
            )
        maps = [self._session.run(None, {"pixels": one[None].cpu().numpy()})[0] for one in pixels.float()]
        return torch.cat([torch.from_numpy(one) for one in maps]).to(self.device)

    def describe(self) -> dict[str, Any]:
        """Say what the file holds, as JSON values; equal only for equal files."""
        return {
            "backbone": self.card.backbone,
            "text_encoder": self.card.text_encoder,
            "file": self._path.name,
            "file_sha256": sha256_of(self._path),
        }

    def encode_text(self, vocabulary: Vocabulary) -> torch.Tensor:
        """Encode K classes to unit vectors (K, D) with the text encoder, loaded when first needed."""
        if self._text_encoder is None:
            from fmbseg.models.loading.create import create_model
            from fmbseg.models.registries import IMAGE_TEXT

            self._text_encoder = create_model(IMAGE_TEXT, self.card.text_encoder, self._hub)
            self._text_encoder = self._text_encoder.to(self.device)
        return embed_vocabulary(self._text_encoder, vocabulary).to(self.device)


def _device(onnxruntime: Any, wanted: Device) -> torch.device:
    """Where ONNX Runtime computes: PyTorch's best device may be one that it cannot use."""
    found, here = find_device(wanted), onnxruntime.get_available_providers()
    if found.type == "cpu" or (found.type == "cuda" and _CUDA in here):
        return found
    if wanted in (None, AUTO):
        return torch.device("cpu")
    raise DeviceError(
        f"ONNX Runtime cannot compute on {found}; it has {', '.join(here)}: choose the device cpu"
        + (", or install onnxruntime-gpu in place of onnxruntime" if found.type == "cuda" else "")
    )


def _providers(device: torch.device) -> list[Any]:
    """What ONNX Runtime is asked to compute with."""
    return [_CPU] if device.type == "cpu" else [(_CUDA, {"device_id": device.index or 0}), _CPU]


# ONNX Runtime does not notice a flipped bit in a weight when it reads a graph. So the file's metadata holds a
# text of known form, first with zeros for the digest, which are replaced once the file is whole.
_SEAL = re.compile(rb"fmbseg-sha256(-with-data)?:([0-9a-f]{64})")
_BLOCK = 1 << 20
_ZEROS = b"0" * 64


def placeholder(*, with_data: bool) -> str:
    """What a file's metadata must hold for :func:`seal_file`.

    Args:
        with_data: whether weights lie in a file beside it (see :func:`data_file`), which is then covered too.
    """
    return f"fmbseg-sha256{'-with-data' if with_data else ''}:{_ZEROS.decode()}"


def data_file(path: Path) -> Path:
    """The file for weights that are too large for the ONNX file itself."""
    return path.with_name(f"{path.name}.data")


def seal_file(path: Path) -> None:
    """Put the checksum into a file that holds a :func:`placeholder`.

    Raises:
        DamagedFileError: it holds no placeholder, or several.
    """
    start, with_data, _ = _find(path)
    digest = _digest(path, start, with_data=with_data)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Make sure that a file is as :func:`seal_file` left it.

    Raises:
        DamagedFileError: it carries no checksum, or that of other content.
        OSError: it cannot be read, or is not a regular file.
    """
    start, with_data, written = _find(path)
    if with_data and not data_file(path).is_file():
        raise DamagedFileError(f"{path} has its weights in {data_file(path).name}, which is not beside it")
    if _digest(path, start, with_data=with_data) != written:
        files = f"{path} or {data_file(path).name}" if with_data else str(path)
        raise DamagedFileError(f"{files} is damaged: it does not have the checksum that it was written with")


def _find(path: Path) -> tuple[int, bool, bytes]:
    """Where the digest starts, whether it covers the file of weights, and the digest itself."""
    check_regular(path)
    found: list[tuple[int, bool, bytes]] = []
    if path.stat().st_size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = [(one.start(2), one[1] is not None, one[2]) for one in _SEAL.finditer(content)]
    if len(found) != 1:
        raise DamagedFileError(
            f"{path} is damaged, or was not written by `fmbseg export`: it does not carry its checksum"
        )
    return found[0]


def _digest(path: Path, start: int, *, with_data: bool) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = start
        while left and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        digest.update(_ZEROS)
        file.seek(start + len(_ZEROS))
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
    if with_data:
        with data_file(path).open("rb") as file:
            for block in iter(lambda: file.read(_BLOCK), b""):
                digest.update(block)
    return digest.hexdigest().encode()
