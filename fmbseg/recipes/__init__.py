"""Recipes: named combinations of models, with settings that suit them and what is known about each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.recipes.hub import BASE, GROUNDED, PAPER, SAM3, TIPSV2
from fmbseg.recipes.offline import OFFLINE
from fmbseg.recipes.recipe import MemoryNeed, Recipe
from fmbseg.segment_settings import SegmentSettings
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTO", "RECIPES", "MemoryNeed", "Recipe", "get_recipe", "mask_options_for"]

AUTO = "auto"
"""Used in place of a recipe's name: the best one within reach (see :mod:`fmbseg.recipes.auto`)."""

RECIPES: dict[str, Recipe] = {one.name: one for one in (OFFLINE, BASE, TIPSV2, GROUNDED, SAM3, PAPER)}


def get_recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        UnknownNameError: the name is unknown; near misses are offered.

    Example:
        >>> get_recipe("offline").mask_generator
        'mobilesam'
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, [AUTO, *RECIPES])
    return RECIPES[name]


def segmenting_with(backbone: str, text_encoder: str) -> SegmentSettings:
    """The settings for segmenting with a head of these models if none are given: their recipe's.

    Args:
        backbone: spec of the frozen encoder.
        text_encoder: spec of the model whose texts the head learned.

    Example:
        >>> segmenting_with("efficientnet_lite_classes", "conse").windows.short_side
        640
        >>> segmenting_with("hf:me/encoder", "conse") == SegmentSettings()
        True
    """
    recipe = recipe_with(backbone, text_encoder)
    return SegmentSettings() if recipe is None else recipe.segmenting


def recipe_with(backbone: str, text_encoder: str) -> Recipe | None:
    """The recipe of a head with these models; None if no recipe has them.

    Args:
        backbone: spec of the frozen encoder.
        text_encoder: spec of the model whose texts the head learned.
    """
    models = backbone, text_encoder
    return next((one for one in RECIPES.values() if models == (one.backbone, one.image_text)), None)


def mask_options_for(spec: str) -> Mapping[str, Any]:
    """The options that suit a mask generator: those of the recipe that uses it, if any.

    Example:
        >>> mask_options_for("mobilesam")["points_per_side"], dict(mask_options_for("superpixels"))
        (16, {})
    """
    return next((one.mask_options for one in RECIPES.values() if one.mask_generator == spec), {})
