import subprocess
import sys

import pytest

from fmbseg.models.registries import BACKBONES, IMAGE_TEXT, MASK_GENERATORS
from fmbseg.recipes import RECIPES, Recipe, get_recipe
from fmbseg.unknown_name import UnknownNameError


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_every_spec_of_a_recipe_is_registered(recipe: Recipe) -> None:
    assert recipe.image_text.partition(":")[0] in IMAGE_TEXT.names()
    assert recipe.mask_generator.partition(":")[0] in MASK_GENERATORS.names()
    assert recipe.backbone.partition(":")[0] in BACKBONES.names()


def test_a_recipe_is_found_by_its_own_name() -> None:
    assert [get_recipe(name).name for name in RECIPES] == list(RECIPES)


def test_an_unknown_recipe_offers_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="no recipe 'ofline'; did you mean 'offline'"):
        get_recipe("ofline")


def test_recipes_registries_and_the_models_command_import_no_model_library() -> None:
    code = (
        "import sys, fmbseg.recipes, fmbseg.models.registries, fmbseg.cli.models as c;"
        "fmbseg.models.registries.BACKBONES.names();"
        "print([m for m in ('torch', 'timm', 'transformers', 'onnxruntime', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
