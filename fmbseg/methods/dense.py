"""An image-text model's own dense map as a method: no training, no mask model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.nn import functional

from fmbseg.methods.dense_protocols import PLAIN
from fmbseg.models.loading.errors import SpecError
from fmbseg.models.text import embed_vocabulary
from fmbseg.segment_settings import SegmentSettings, WindowSettings
from fmbseg.segmentation.segmenter import OpenVocabSegmenter

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fmbseg.methods.dense_protocols import DenseProtocol
    from fmbseg.methods.pool import ModelPool
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.transform import PixelTransform
    from fmbseg.results import Segmentation
    from fmbseg.vocabulary import Vocabulary


class DenseEncoder:
    """An image-text model's dense map in the place of a head: images and words in one space.

    Args:
        model: of images and texts.
    """

    hubness = 0.0
    certainty = None
    prototypes = None

    def __init__(self, model: ImageTextEncoder, device: torch.device) -> None:
        self._model, self._device = model, device

    @property
    def transform(self) -> PixelTransform:
        """Turns an RGB image into pixels."""
        return self._model.transform

    @property
    def stride(self) -> int:
        """Pixels between the cells of the map."""
        return self._model.stride

    @property
    def device(self) -> torch.device:
        """Where results are."""
        return self._device

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode windows (B, 3, H, W) up to the model's crop in size; smaller ones are padded with zeros."""
        height, width = pixels.shape[2:]
        side = self._model.crop_size
        padded = functional.pad(pixels, (0, side - width, 0, side - height))
        dense = self._model.encode_image(padded.to(self._device)).dense
        return dense[:, :, : height // self.stride, : width // self.stride]

    def encode_text(self, vocabulary: Vocabulary) -> torch.Tensor:
        """Encode K classes to unit vectors (K, D)."""
        return embed_vocabulary(self._model, vocabulary).to(self._device)

    def describe(self) -> dict[str, Any]:
        """The model."""
        return {"image_text": self._model.spec}


class DenseMethod:
    """Segments by the dense map of an image-text model.

    Args:
        model: spec of the image-text model; with a protocol, without ``dense`` and ``crop_size`` of its own.
        pool: of the models.
        protocol: a paper's settings; by default those of Stage 1's crops and of the evaluation.

    Raises:
        SpecError: the model cannot do what the protocol asks for.
    """

    def __init__(self, model: str, pool: ModelPool, protocol: DenseProtocol = PLAIN) -> None:
        self._pool, self._protocol = pool, protocol
        self._model = pool.image_text(_with_options(model, protocol))
        crop = self._model.crop_size
        if protocol.window not in (None, crop):
            raise SpecError(
                f"dense:{model}@{protocol.name} sees windows of {protocol.window} px, but the model's crops "
                f"have {crop}: take a model whose crops can have that size, or leave the protocol out"
            )
        step = crop // 2 if protocol.step is None else protocol.step
        self._windows = WindowSettings(protocol.short_side, crop, step)
        named = model if protocol is not PLAIN else self._model.spec
        self.spec = f"dense:{named}" + ("" if protocol is PLAIN else f"@{protocol.name}")
        self.license = self._model.license
        self.models: tuple[str, ...] = (self._model.spec,)
        self._segmenter = OpenVocabSegmenter(DenseEncoder(self._model, pool.device))

    def segment(
        self, images: NDArray[Any], vocabulary: Vocabulary, *, settings: SegmentSettings | None = None
    ) -> Segmentation:
        """Segment one image."""
        self._pool.memory.turn_to(images)
        protocol, settings = self._protocol, settings or SegmentSettings()
        counts = settings.background.rule != "none"
        own = replace(
            settings,
            windows=self._windows,
            hubness=0.0,
            preserve=None,
            refine=settings.refine if protocol is PLAIN else protocol.refine,
        )
        if protocol.threshold is not None:
            background = replace(settings.background, rule="words", threshold=None) if counts else None
            own = replace(
                own,
                background=background or settings.background,
                temperature=1 / protocol.scale,
                confidence=True,
            )
        result: Segmentation = self._segmenter.segment(images, self._words(vocabulary, counts), settings=own)
        if protocol.threshold is None or not counts:
            return result
        assert result.confidence is not None
        labels = np.where(result.confidence < protocol.threshold, np.int32(0), result.labels)
        return replace(result, labels=labels)

    def describe(self) -> dict[str, Any]:
        """The model, and what the protocol does in its own way."""
        windows = self._windows
        instead = {
            "resolution": f"short side {windows.short_side} px; figures at the masks' own size",
            "windows": f"{windows.window} px, step {windows.step} px",
            "hubness": "0",
            "knowledge preservation": "none",
        }
        protocol = self._protocol
        if protocol is not PLAIN:
            instead["refinement"] = str(protocol.refine or "none")
        if protocol.templates:
            instead["templates"] = "; ".join(protocol.templates)
        if protocol.background:
            instead["background"] = f"where it counts: {', '.join(protocol.background)}"
        if protocol.threshold is not None:
            instead["threshold"] = (
                f"where background counts: below {protocol.threshold:g} of the softmax at scale "
                f"{protocol.scale:g}"
            )
        return {
            "method": self.spec,
            "image_text": self._model.spec,
            "about": protocol.about,
            "instead": instead,
        }

    @property
    def saved_seconds(self) -> float:
        """What the last call did not take because other methods had seen the image."""
        return self._pool.memory.saved

    def _words(self, vocabulary: Vocabulary, counts: bool) -> Vocabulary:
        protocol = self._protocol
        templates = protocol.templates or vocabulary.templates
        if not (counts and protocol.threshold is not None):
            return replace(vocabulary, templates=templates)
        own = vocabulary.without_background()
        taken = {*own.names, *(word for words in own.prompts for word in words)}
        extra = tuple(word for word in protocol.background if word not in taken)
        return replace(
            own,
            names=(*own.names, *extra),
            prompts=(*own.prompts, *((word,) for word in extra)),
            background=frozenset(range(len(own), len(own) + len(extra))),
            templates=templates,
        )


def _with_options(model: str, protocol: DenseProtocol) -> str:
    """The model's spec with what the protocol changes in it."""
    given = {pair.partition("=")[0] for pair in model.partition("?")[2].split("&")}
    wanted = {"dense": protocol.variant, "crop_size": protocol.window}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if twice := sorted(given & wanted.keys()):
        raise SpecError(
            f"dense:{model}@{protocol.name}: the protocol says {', '.join(twice)}; leave it out there"
        )
    if wanted and ":" not in model:
        raise SpecError(
            f"dense:{model}@{protocol.name}: the model has one dense map, which no protocol changes: leave "
            f"@{protocol.name} out"
        )
    options = "&".join(f"{name}={value}" for name, value in sorted(wanted.items()))
    return model if not options else f"{model}{'&' if '?' in model else '?'}{options}"
