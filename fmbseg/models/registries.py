"""The three registries, one for each contract; listing their names imports no model library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.registry import Registry

if TYPE_CHECKING:
    from fmbseg.models.contracts import Backbone, ImageTextEncoder, MaskGenerator

_HERE = "fmbseg.models"

BACKBONES: Registry[Backbone] = Registry(
    "backbone",
    "fmbseg.backbones",
    {"efficientnet_lite2": f"{_HERE}.backbones.efficientnet_lite2:efficientnet_lite2"},
)

IMAGE_TEXT: Registry[ImageTextEncoder] = Registry(
    "image-text encoder",
    "fmbseg.image_text",
    {"conse": f"{_HERE}.image_text.conse:conse"},
)

MASK_GENERATORS: Registry[MaskGenerator] = Registry(
    "mask generator",
    "fmbseg.mask_generators",
    {
        "mobilesam": f"{_HERE}.mask_generators.mobilesam:mobilesam",
        "superpixels": f"{_HERE}.mask_generators.superpixels:superpixels",
    },
)
