"""The four registries, one for each contract; listing their names imports no model library."""

from __future__ import annotations

from typing import Any

from fmbseg.models.backbones.presets import PRESETS
from fmbseg.models.catalog import Role, factories
from fmbseg.models.contracts import Backbone, ConceptModel, ImageTextEncoder, MaskGenerator
from fmbseg.registry import Registry

BACKBONES: Registry[Backbone] = Registry(
    "backbone", "fmbseg.backbones", factories("backbone"), presets=PRESETS, contract=Backbone
)

IMAGE_TEXT: Registry[ImageTextEncoder] = Registry(
    "image-text encoder",
    "fmbseg.image_text",
    factories("image-text encoder"),
    contract=ImageTextEncoder,
)

MASK_GENERATORS: Registry[MaskGenerator] = Registry(
    "mask generator", "fmbseg.mask_generators", factories("mask generator"), contract=MaskGenerator
)

CONCEPTS: Registry[ConceptModel] = Registry(
    "concept model", "fmbseg.concepts", factories("concept model"), contract=ConceptModel
)

REGISTRIES: dict[Role, Registry[Any]] = {
    "image-text encoder": IMAGE_TEXT,
    "mask generator": MASK_GENERATORS,
    "backbone": BACKBONES,
    "concept model": CONCEPTS,
}
