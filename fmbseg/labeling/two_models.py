"""Stage 1 as in the paper: an image-text model names classes, a mask model cuts them out."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from fmbseg.labeling.classes import Classes
from fmbseg.labeling.description import cut_crops, describe_all
from fmbseg.labeling.presence import find_classes
from fmbseg.labeling.stage1 import Labels, label_described, label_image
from fmbseg.labeling.together import begun_together
from fmbseg.models.contracts import BeginsSeveral

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.aligned.encoder import AlignedEncoder
    from fmbseg.labeling.description import Crops, Description
    from fmbseg.labeling.pipeline import Photograph
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.labels.record import LabeledImage
    from fmbseg.models.contracts import ImageTextEncoder, MaskGenerator
    from fmbseg.vocabulary import Vocabulary


class TwoModels:
    """Labels photographs by an image-text model and a mask generator.

    Args:
        encoder: of images and texts.
        generator: of masks.
        mask_options: of the mask generator, to be recorded.
        settings: of Stage 1.
        aligned: the head that makes the encoder's dense map, to be recorded.
    """

    def __init__(
        self,
        encoder: ImageTextEncoder,
        generator: MaskGenerator,
        mask_options: Mapping[str, Any],
        settings: LabelingSettings,
        aligned: AlignedEncoder | None = None,
    ) -> None:
        self.encoder, self.generator = encoder, generator
        self.mask_options = dict(mask_options)
        self._settings = settings
        self._aligned = aligned
        self._embedded: tuple[Vocabulary, Classes] | None = None

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings that labels are made with, as JSON values."""
        models = {
            "image_text": self.encoder.spec,
            "mask_generator": self.generator.spec,
            "mask_options": self.mask_options,
        }
        if self._aligned is not None:
            models["aligned"] = self._aligned.describe()
        return {"models": models, "settings": asdict(self.settings)}

    @property
    def settings(self) -> LabelingSettings:
        """Of Stage 1."""
        return self._settings

    @property
    def left_out(self) -> str | None:
        """Stage 1.1, where the mask generator takes no prompts."""
        if self.generator.promptable:
            return None
        return f"{self.generator.spec} takes no point prompts: Stage 1.1 is left out"

    def label_image(self, image: NDArray[np.uint8], vocabulary: Vocabulary, key: str) -> Labels:
        """Label one image (H, W, 3) and return all that Stage 1 saw."""
        return label_image(image, key, self.classes(vocabulary), self.encoder, self.generator, self.settings)

    def steps(self, vocabulary: Vocabulary, photographs: int) -> TwoModelSteps:
        """Embed the words; the number of photographs does not matter."""
        del photographs
        return TwoModelSteps(self, self.classes(vocabulary))

    def classes(self, vocabulary: Vocabulary) -> Classes:
        """The vocabulary's text vectors; those of the last one are kept."""
        if self._embedded is None or self._embedded[0] != vocabulary:
            with torch.inference_mode():
                embedded = Classes.embed(self.encoder, vocabulary, hubness=self.settings.hubness)
                self._embedded = (vocabulary, embedded)
        return self._embedded[1]


class _Cut(NamedTuple):
    image: NDArray[np.uint8]
    crops: Crops


class _Described(NamedTuple):
    """What is known of a photograph, and what begins its masks, perhaps with those of others."""

    description: Description
    generator: MaskGenerator


class TwoModelSteps:
    """The steps of :class:`TwoModels` for one vocabulary; see :class:`~fmbseg.labeling.pipeline.Steps`."""

    def __init__(self, models: TwoModels, classes: Classes) -> None:
        self._models, self._classes = models, classes

    def prepare(self, image: NDArray[np.uint8]) -> _Cut:
        """Cut the crops."""
        return _Cut(image, cut_crops(image, self._models.encoder, self._models.settings))

    def describe(self, prepared: Iterable[_Cut | None]) -> Iterator[_Described | None]:
        """Encode the crops, those of several photographs in a batch, and group photographs for the masks."""
        generator, settings = self._models.generator, self._models.settings
        images: deque[NDArray[np.uint8] | None] = deque()

        def crops() -> Iterator[Crops | None]:
            for one in prepared:
                images.append(None if one is None else one.image)
                yield None if one is None else one.crops

        described = (
            (description, images.popleft())
            for description in describe_all(crops(), self._models.encoder, settings.batch_size)
        )
        at_once = generator.images_at_once if isinstance(generator, BeginsSeveral) else 1
        while group := list(islice(described, at_once)):
            shown = [
                image
                for description, image in group
                if description is not None
                and image is not None
                and find_classes(description.pooled, self._classes, settings).detected
            ]
            begins = begun_together(generator, shown)
            for description, _ in group:
                yield None if description is None else _Described(description, begins)

    def label(
        self, photograph: Photograph, described: _Described, present: tuple[int, ...] | None
    ) -> LabeledImage:
        """Find the classes, then cut them out."""
        settings = self._models.settings
        labels = label_described(
            photograph.image,
            described.description,
            photograph.path,
            self._classes,
            described.generator,
            settings,
            present=present,
            sha256=photograph.sha256,
        )
        return labels if settings.keep_features else replace(labels, features=None)
