"""The three registries, one for each contract; listing their names imports no model library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.models.catalog import factories
from fmbseg.registry import Registry

if TYPE_CHECKING:
    from fmbseg.models.contracts import Backbone, ImageTextEncoder, MaskGenerator

BACKBONES: Registry[Backbone] = Registry("backbone", "fmbseg.backbones", factories("backbone"))

IMAGE_TEXT: Registry[ImageTextEncoder] = Registry(
    "image-text encoder", "fmbseg.image_text", factories("image-text encoder")
)

MASK_GENERATORS: Registry[MaskGenerator] = Registry(
    "mask generator", "fmbseg.mask_generators", factories("mask generator")
)
