"""One copy of each frozen model for all methods, and one memory of the image in hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fmbseg.devices import find_device
from fmbseg.methods.remembering import Memory, RememberingBackbone, RememberingImageText, RememberingMasks
from fmbseg.models.contracts import Movable, SharesSight
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import CONCEPTS, IMAGE_TEXT, MASK_GENERATORS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from fmbseg.devices import Device
    from fmbseg.models.contracts import Backbone, ConceptModel, ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions


class ModelPool:
    """Makes each frozen model once, however many methods run it.

    Args:
        device: where models compute; by default the best there is.
        hub: how their files are found.

    Attributes:
        memory: of the image in hand.

    Example:
        >>> pool = ModelPool(device="cpu")
        >>> pool.mask_generator("superpixels") is pool.mask_generator("superpixels")
        True
    """

    def __init__(self, *, device: Device = None, hub: HubOptions | None = None) -> None:
        self.device, self.hub = find_device(device), hub
        self.memory = Memory()
        self._image_text: dict[str, RememberingImageText] = {}
        self._backbones: dict[str, RememberingBackbone] = {}
        self._masks: dict[str, RememberingMasks] = {}
        self._concepts: dict[str, ConceptModel] = {}

    def image_text(self, spec: str) -> RememberingImageText:
        """The image-text encoder of a spec."""
        spec = IMAGE_TEXT.expand(spec)
        if spec not in self._image_text:
            made = create_model(IMAGE_TEXT, spec, self.hub)
            if isinstance(made, SharesSight) and made.sight is not None:
                alike = [one.inner for one in self._image_text.values() if _sight(one.inner) == made.sight]
                made = made.with_weights_of(alike[0]) if alike else made
            self._image_text[spec] = RememberingImageText(made.to(self.device), self.memory)
        return self._image_text[spec]

    def backbone(self, made: Backbone) -> RememberingBackbone:
        """The backbone of this one's spec; it is this one where there was none."""
        return self._backbones.setdefault(made.spec, RememberingBackbone(made, self.memory))

    def mask_generator(self, spec: str, options: Mapping[str, Any] | None = None) -> RememberingMasks:
        """The mask generator of a spec and options."""
        key = json.dumps([spec, dict(options or {})], sort_keys=True, default=str)
        if key not in self._masks:
            made = create_model(MASK_GENERATORS, spec, self.hub, **(options or {}))
            if isinstance(made, Movable):
                made.to(self.device)
            self._masks[key] = RememberingMasks(made, self.memory)
        return self._masks[key]

    def concept_model(self, spec: str) -> ConceptModel:
        """The concept model of a spec."""
        if spec not in self._concepts:
            self._concepts[spec] = create_model(CONCEPTS, spec, self.hub).to(self.device)
        return self._concepts[spec]


def _sight(model: ImageTextEncoder) -> Hashable:
    return model.sight if isinstance(model, SharesSight) else None
