"""A mask generator from a PyTorch SAM, whichever library it comes from."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch

from fmbseg.devices import Device, find_device, is_out_of_memory
from fmbseg.models.checks import check_image
from fmbseg.models.loading.precision import Precision, autocast, check_precision
from fmbseg.models.loading.speed import compiled
from fmbseg.models.mask_generators.candidates import EVERYTHING, Candidates, Needed
from fmbseg.models.mask_generators.sam_frame import boxes_in
from fmbseg.models.mask_generators.sam_prompter import SamPrompter, search_in_step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.sam_frame import Frame
    from fmbseg.models.mask_generators.settings import EverythingSettings


_FRAMES_AT_ONCE = 4


@dataclass
class _AtOnce:
    """How many photographs are decoded at once; fewer from the time on that they did not fit."""

    most: int = _FRAMES_AT_ONCE


class SamModel(Protocol):
    """What differs between SAMs: their frame, their encoder, their decoder."""

    module: torch.nn.Module

    def frame(self, size: tuple[int, int]) -> Frame:
        """Place an image of ``size`` (height, width) in the model's frame."""
        ...

    def encode(self, pixels: torch.Tensor) -> list[Any]:
        """Encode (B, 3, side, side), to what ``decode`` takes of each image."""
        ...

    def feature_map(self, embedding: Any) -> torch.Tensor:
        """Return the map (C, h, w) that covers the frame, from what ``encode`` gave."""
        ...

    def decode(
        self, embedding: Any, points: torch.Tensor, *, beside: int = 0, needed: Needed = EVERYTHING
    ) -> Candidates:
        """Decode N prompts of P points (N, P, 2), in pixels of the frame, to 3 candidates each.

        The last ``beside`` points of each prompt are not on the thing. What is not needed may be left out.
        """
        ...

    def decode_boxes(self, embedding: Any, boxes: torch.Tensor) -> Candidates:
        """Decode N prompts of a box each (N, 4), in pixels of the frame, to 3 candidates each."""
        ...


@runtime_checkable
class DecodesSeveral(Protocol):
    """A SAM whose decoder takes prompts of several images at once."""

    def decode_several(self, embeddings: Sequence[Any], points: torch.Tensor) -> Candidates:
        """Decode as many prompts of each of B images, (B, N, P, 2), to B N times 3 candidates."""
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
        self._most, self._decoded = _FRAMES_AT_ONCE, _AtOnce()
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
        return self.begin_all([image])[0]

    @property
    def images_at_once(self) -> int:
        """On accelerators a few; on a CPU one, whose features then do not depend, to the bit, on others."""
        assert isinstance(self.device, torch.device)
        return 1 if self.device.type == "cpu" else self._most

    def begin_all(self, images: Sequence[NDArray[np.uint8]]) -> list[SamPrompter]:
        """Encode RGB images (H, W, 3), ``images_at_once`` in a batch; fewer if the device's memory is short.

        Where that is more than one, "everything" is looked for in all when it is first asked for in one.

        Raises:
            ValueError: one is not an RGB image of uint8.
        """
        for image in images:
            check_image(image, self.spec)
        decoders = self._decoders(images)
        prompters = [
            SamPrompter(image, self.decoder, self.settings, decoder)
            for image, decoder in zip(images, decoders, strict=True)
        ]
        if self.images_at_once > 1 and isinstance(self.model, DecodesSeveral):
            search_in_step(prompters)
        return prompters

    def decoder(self, image: NDArray[np.uint8]) -> TorchSamDecoder:
        """Encode an image, or a crop of one, and return its decoder."""
        return self._decoders([image])[0]

    @torch.no_grad()
    def _decoders(self, images: Sequence[NDArray[np.uint8]]) -> list[TorchSamDecoder]:
        assert isinstance(self.device, torch.device)
        frames = [self.model.frame((image.shape[0], image.shape[1])) for image in images]
        embeddings: list[Any] = []
        while left := list(zip(frames, images, strict=True))[len(embeddings) :][: self.images_at_once]:
            pixels = torch.cat([frame.pixels(image) for frame, image in left])
            try:
                with autocast(self.device, self.precision):
                    embeddings += self.model.encode(pixels.to(self.device))
            except RuntimeError as error:
                if len(left) == 1 or not is_out_of_memory(error):
                    raise
                self._most = len(left) // 2
                warnings.warn(
                    f"{self.spec}: {len(left)} photographs at once do not fit {self.device}'s memory, so "
                    f"{self._most} are taken from here on",
                    stacklevel=3,
                )
        return [
            TorchSamDecoder(self.model, frame, embedding, self.device, self.precision, self._decoded)
            for frame, embedding in zip(frames, embeddings, strict=True)
        ]


@dataclass(frozen=True)
class TorchSamDecoder:
    """Decoder of one encoded image; see :class:`fmbseg.models.mask_generators.candidates.SamDecoder`."""

    model: SamModel
    frame: Frame
    embedding: Any
    device: torch.device
    precision: Precision
    at_once: _AtOnce

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.frame.size

    def decode(self, points: NDArray[np.float32], *, beside: int = 0, least: float = -math.inf) -> Candidates:
        """Decode N prompts of P points (N, P, 2), all at once, to 3 candidates each."""
        # An accelerator draws all in one step, which would be compiled anew for each form of an image.
        needed = Needed(least, self.frame.covered) if self.device.type == "cpu" else EVERYTHING
        decode = partial(self.model.decode, self.embedding, beside=beside, needed=needed)
        return self._by(decode, self.frame.points(points))

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        """Decode N prompts of a box each (N, 4), all at once, to 3 candidates each."""
        return self._by(partial(self.model.decode_boxes, self.embedding), boxes_in(self.frame, boxes))

    def _by(self, decode: Callable[[torch.Tensor], Candidates], placed: NDArray[np.float32]) -> Candidates:
        with autocast(self.device, self.precision):
            decoded = decode(torch.from_numpy(placed).to(self.device))
        return Candidates(decoded.logits.float(), decoded.predicted_iou.float())

    def decode_together(
        self, decoders: Sequence[TorchSamDecoder], points: Sequence[NDArray[np.float32]]
    ) -> list[Candidates]:
        """Decode as many prompts (N, P, 2) of each of some images; fewer images if memory is short."""
        found: list[Candidates] = []
        while some := list(zip(decoders, points, strict=True))[len(found) :][: self.at_once.most]:
            try:
                found += self._decode_several([one for one, _ in some], [each for _, each in some])
            except RuntimeError as error:  # noqa: PERF203 - each of which makes what follows smaller
                if len(some) == 1 or not is_out_of_memory(error):
                    raise
                self.at_once.most = len(some) // 2
                warnings.warn(
                    f"prompts of {len(some)} photographs at once do not fit {self.device}'s memory, so "
                    f"those of {self.at_once.most} are decoded together from here on",
                    stacklevel=2,
                )
        return found

    def _decode_several(
        self, decoders: Sequence[TorchSamDecoder], points: Sequence[NDArray[np.float32]]
    ) -> list[Candidates]:
        if len(decoders) == 1:
            return [decoders[0].decode(points[0])]
        assert isinstance(self.model, DecodesSeveral)
        embeddings = [one.embedding for one in decoders]
        placed = np.stack([one.frame.points(each) for one, each in zip(decoders, points, strict=True)])
        decoded = self._by(partial(self.model.decode_several, embeddings), placed)
        return [
            Candidates(*each) for each in zip(*(part.chunk(len(decoders)) for part in decoded), strict=True)
        ]

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Resize coarse logits (N, h, w) to the image, (N, H, W)."""
        return self.frame.upscale(logits)

    def sample(self, logits: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read coarse logits (N, h, w) at points (P, 2), (x, y) in pixels of the image, (N, P)."""
        return self.frame.sample(logits, points)

    def features(self, points: NDArray[np.float32]) -> torch.Tensor:
        """Read the encoder's features at points (P, 2), (x, y) in pixels of the image, (P, C)."""
        return self.frame.sample(self.model.feature_map(self.embedding), points).T
