"""Recipes: names for three models that go together."""

from __future__ import annotations

from dataclasses import dataclass

from fmbseg.unknown_name import UnknownNameError


@dataclass(frozen=True)
class Recipe:
    """The three frozen models of a run, as specs ``family:name``.

    Args:
        name: of the recipe.
        image_text: says which classes an image shows, and where roughly.
        mask_generator: cuts the image into masks.
        backbone: whose features are aligned with the text space.
    """

    name: str
    image_text: str
    mask_generator: str
    backbone: str


RECIPES = {
    "offline": Recipe(
        "offline", image_text="conse", mask_generator="mobilesam", backbone="efficientnet_lite2"
    ),
}


def get_recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        UnknownNameError: there is none of this name; near misses are offered.

    Example:
        >>> get_recipe("offline").mask_generator
        'mobilesam'
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
