"""A mask generator from a PyTorch SAM, whichever library it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from fmbseg.devices import Device, find_device
from fmbseg.models.checks import check_image
from fmbseg.models.loading.precision import Precision, autocast, check_precision
from fmbseg.models.loading.speed import compiled
from fmbseg.models.mask_generators.candidates import Candidates
from fmbseg.models.mask_generators.sam_frame import boxes_in
from fmbseg.models.mask_generators.sam_prompter import SamPrompter

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.sam_frame import Frame
    from fmbseg.models.mask_generators.settings import EverythingSettings


class SamModel(Protocol):
    """What differs between SAMs: their frame, their encoder, their decoder."""

    module: torch.nn.Module

    def frame(self, size: tuple[int, int]) -> Frame:
        """Place an image of ``size`` (height, width) in the model's frame."""
        ...

    def encode(self, pixels: torch.Tensor) -> Any:
        """Encode (1, 3, side, side) to whatever ``decode`` takes."""
        ...

    def feature_map(self, embedding: Any) -> torch.Tensor:
        """Return the map (C, h, w) that covers the frame, from what ``encode`` gave."""
        ...

    def decode(self, embedding: Any, points: torch.Tensor) -> Candidates:
        """Decode N prompts of P foreground points (N, P, 2), in pixels of the frame, to 3 candidates each."""
        ...

    def decode_boxes(self, embedding: Any, boxes: torch.Tensor) -> Candidates:
        """Decode N prompts of a box each (N, 4), in pixels of the frame, to 3 candidates each."""
        ...


@dataclass(eq=False)
class TorchSam:
    """Promptable mask generator; see :class:`fmbseg.models.contracts.MaskGenerator`.

    Args:
        spec: ``family:name`` that recreates this model.
        license: licence of the weights.
        model: the SAM; put in evaluation mode, frozen and moved to ``device``.
        settings: settings of ``everything``.
        device: where to compute; by default the best there is.
        precision: used on accelerators; a CPU always computes in float32.

    Raises:
        ValueError: there is no such precision.
    """

    spec: str
    license: str
    model: SamModel
    settings: EverythingSettings
    device: Device = None
    precision: Precision = "auto"
    promptable: bool = True

    def __post_init__(self) -> None:
        check_precision(self.precision)
        self.model.module.requires_grad_(False).train(False)
        self.to(find_device(self.device))

    def to(self, device: torch.device | str) -> TorchSam:
        """Move the weights to ``device`` and return self."""
        self.device = torch.device(device)
        self.model.module.to(self.device)
        return self

    def compile(self) -> None:
        """Compile the encoder on first use, and on accelerators the decoder.

        On a CPU, decoders go through what fits in its cache in many small steps, which nothing would join.
        """
        assert isinstance(self.device, torch.device)
        for name in ("encode",) if self.device.type == "cpu" else ("encode", "decode"):
            run = compiled(getattr(self.model, name), f"{self.spec} ({name})")
            setattr(self.model, name, run)

    @property
    def options(self) -> dict[str, Any]:
        """The settings that differ from the defaults; with the spec they determine the masks."""
        return self.settings.changed()

    def begin(self, image: NDArray[np.uint8]) -> SamPrompter:
        """Encode an RGB image (H, W, 3) once.

        Raises:
            ValueError: it is not an RGB image of uint8.
        """
        check_image(image, self.spec)
        return SamPrompter(image, self.decoder, self.settings)

    @torch.no_grad()
    def decoder(self, image: NDArray[np.uint8]) -> TorchSamDecoder:
        """Encode an image, or a crop of one, and return its decoder."""
        assert isinstance(self.device, torch.device)
        frame = self.model.frame((image.shape[0], image.shape[1]))
        with autocast(self.device, self.precision):
            embedding = self.model.encode(frame.pixels(image).to(self.device))
        return TorchSamDecoder(self.model, frame, embedding, self.device, self.precision)


@dataclass(frozen=True)
class TorchSamDecoder:
    """Decoder of one encoded image; see :class:`fmbseg.models.mask_generators.candidates.SamDecoder`."""

    model: SamModel
    frame: Frame
    embedding: Any
    device: torch.device
    precision: Precision

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.frame.size

    def decode(self, points: NDArray[np.float32]) -> Candidates:
        """Decode N prompts of P points (N, P, 2), all at once, to 3 candidates each."""
        return self._by(self.model.decode, self.frame.points(points))

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        """Decode N prompts of a box each (N, 4), all at once, to 3 candidates each."""
        return self._by(self.model.decode_boxes, boxes_in(self.frame, boxes))

    def _by(
        self, decode: Callable[[Any, torch.Tensor], Candidates], placed: NDArray[np.float32]
    ) -> Candidates:
        with autocast(self.device, self.precision):
            decoded = decode(self.embedding, torch.from_numpy(placed).to(self.device))
        return Candidates(decoded.logits.float(), decoded.predicted_iou.float())

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Resize coarse logits (N, h, w) to the image, (N, H, W)."""
        return self.frame.upscale(logits)

    def sample(self, logits: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read coarse logits (N, h, w) at points (P, 2), (x, y) in pixels of the image, (N, P)."""
        return self.frame.sample(logits, points)

    def features(self, points: NDArray[np.float32]) -> torch.Tensor:
        """Read the encoder's features at points (P, 2), (x, y) in pixels of the image, (P, C)."""
        return self.frame.sample(self.model.feature_map(self.embedding), points).T
