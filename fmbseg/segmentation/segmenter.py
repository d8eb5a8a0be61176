"""OpenVocabSegmenter: any words, any image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, overload

import numpy as np
import torch

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.images import load_image
from fmbseg.results import Segmentation
from fmbseg.segmentation.decoding import decode
from fmbseg.vocabulary import Vocabulary
from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.images import ImageInput
    from fmbseg.models.contracts import Backbone, ImageTextEncoder
    from fmbseg.models.hub_files import HubOptions
    from fmbseg.vocabulary import VocabularySource

_ImageT = TypeVar("_ImageT", bound="ImageInput")


class HasEncoder(Protocol):
    """What holds an aligned encoder, as a fitted :class:`~fmbseg.Aligner` does."""

    @property
    def encoder(self) -> AlignedEncoder:
        """The frozen encoder with its trained head."""
        ...


@dataclass(frozen=True)
class WindowSettings:
    """Sliding windows of deployment; the defaults are those of TCL's protocol.

    Args:
        short_side: pixels that an image's short side is resized to.
        window: pixels of a window's side.
        step: pixels between windows.

    Raises:
        ValueError: a length that is not positive, or a step that leaves gaps between windows.
    """

    short_side: int = 448
    window: int = 448
    step: int = 224

    def __post_init__(self) -> None:
        for name in ("short_side", "window", "step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 1 or more pixels")
        if self.step > self.window:
            raise ValueError(f"step is {self.step}: windows of {self.window} pixels would leave gaps")


class OpenVocabSegmenter:
    """Segment images with words that need not have been trained on (paper §3.3).

    Args:
        aligned: a fitted Aligner, or its encoder.
        windows: how an image is resized and cut.

    Example:
        A head that :meth:`save_pretrained` wrote is used so::

            segmenter = OpenVocabSegmenter.from_pretrained("head/")
            segmenter.segment("dog.jpg", ["dog", "cat", "couch", "lawn"]).plot().save("dog.png")
    """

    def __init__(
        self, aligned: AlignedEncoder | HasEncoder, *, windows: WindowSettings | None = None
    ) -> None:
        self.encoder = aligned if isinstance(aligned, AlignedEncoder) else aligned.encoder
        self.windows = windows or WindowSettings()
        self._embedded: tuple[Vocabulary, torch.Tensor] | None = None

    @overload
    def segment(self, images: ImageInput, vocabulary: VocabularySource) -> Segmentation: ...
    @overload
    def segment(
        self, images: list[_ImageT] | tuple[_ImageT, ...], vocabulary: VocabularySource
    ) -> list[Segmentation]: ...
    def segment(
        self, images: ImageInput | list[_ImageT] | tuple[_ImageT, ...], vocabulary: VocabularySource
    ) -> Segmentation | list[Segmentation]:
        """Give every pixel the class whose words are most similar to it.

        Args:
            images: one image (see :func:`fmbseg.images.load_image`), or a list or tuple of them.
            vocabulary: the classes to choose from.

        Returns:
            One result at the image's own size, or a list in the order of the images.

        Raises:
            ImageError: an image that cannot be read.
            ValueError: a vocabulary that is none.
        """
        classes = Vocabulary.of(vocabulary)
        prototypes = self._prototypes(classes)
        if isinstance(images, list | tuple):
            return [self._segment(load_image(image), classes, prototypes) for image in images]
        return self._segment(load_image(images), classes, prototypes)

    @torch.inference_mode()
    def text_map(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Encode an image into the text space; its dot product with a text is that text's similarity.

        Windows that overlap are averaged, so the vectors are of unit length or shorter.

        Args:
            image: RGB, (H, W, 3).

        Returns:
            (D, h, w), a grid that covers the whole image.
        """
        plan = WindowPlan.cover(
            (image.shape[0], image.shape[1]),
            short_side=self.windows.short_side,
            window=self.windows.window,
            step=self.windows.step,
            stride=self.encoder.stride,
        )
        pixels = self.encoder.transform(image, plan.image_size)
        return plan.stitch([self.encoder.encode(window[None])[0] for window in plan.cut(pixels)])

    def save_pretrained(self, folder: str | Path) -> None:
        """Save the head to a folder (see :meth:`AlignedEncoder.save_pretrained`)."""
        self.encoder.save_pretrained(folder)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        backbone: Backbone | None = None,
        text_encoder: ImageTextEncoder | None = None,
        device: torch.device | str = "cpu",
        windows: WindowSettings | None = None,
        hub: HubOptions | None = None,
    ) -> OpenVocabSegmenter:
        """Load a head from a folder (see :meth:`AlignedEncoder.from_pretrained` for errors).

        Args:
            folder: with ``config.json`` and ``model.safetensors``.
            backbone: an instance to use instead of making one from the saved spec.
            text_encoder: likewise.
            device: where to compute.
            windows: how an image is resized and cut.
            hub: how files of the frozen models are looked for.
        """
        encoder = AlignedEncoder.from_pretrained(
            folder, backbone=backbone, text_encoder=text_encoder, device=device, hub=hub
        )
        return cls(encoder, windows=windows)

    def _prototypes(self, vocabulary: Vocabulary) -> torch.Tensor:
        if self._embedded is None or self._embedded[0] != vocabulary:
            with torch.inference_mode():
                self._embedded = (vocabulary, self.encoder.encode_text(vocabulary))
        return self._embedded[1]

    def _segment(
        self, image: NDArray[np.uint8], classes: Vocabulary, prototypes: torch.Tensor
    ) -> Segmentation:
        with torch.inference_mode():
            decoded = decode(self.text_map(image), prototypes, (image.shape[0], image.shape[1]))
        return Segmentation(
            labels=decoded.labels.cpu().numpy().astype(np.int32),
            scores=decoded.scores.cpu().numpy().astype(np.float32),
            names=classes.names,
            image=image,
        )
