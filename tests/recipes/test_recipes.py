import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.mask_generators.settings import EverythingSettings
from fmbseg.models.registries import BACKBONES, REGISTRIES
from fmbseg.recipes import RECIPES, Recipe, get_recipe
from fmbseg.recipes.sources import SOURCES
from fmbseg.unknown_name import UnknownNameError
from tests.models.hub_cache import forbid_network


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_every_spec_of_a_recipe_is_registered_and_has_its_sources(recipe: Recipe) -> None:
    assert {"image-text encoder", "backbone"} < set(recipe.models)
    assert len(recipe.models) == 3  # a teacher, or a mask generator
    for role, spec in recipe.models.items():
        registry = REGISTRIES[role]
        assert registry.expand(spec).partition(":")[0] in registry.names()
        assert SOURCES[spec]
    assert recipe.measured
    assert recipe.never_measured


def test_the_papers_recipe_is_what_the_paper_states() -> None:
    """Section 4.1 of arXiv 2403.09307, and SAM's automatic mask generator's own defaults."""
    recipe = get_recipe("paper")
    assert recipe.image_text == "open_clip:ViT-L-14-quickgelu/openai"
    assert recipe.mask_generator == "hf-sam:facebook/sam-vit-huge"
    assert BACKBONES.expand(recipe.backbone) == "timm:vit_large_patch14_dinov2.lvd142m"
    stage1 = LabelingSettings(**recipe.labeling)
    assert (stage1.min_crops, stage1.points_per_class, stage1.keep_fraction) == (2, 5, 0.75)
    assert not stage1.label_remainder
    assert not stage1.hubness
    stage2 = TrainingSettings.from_dict(recipe.training)
    assert (stage2.optimizer, stage2.batch_size, stage2.epochs) == ("sgd", 5, 10)
    assert (stage2.loss, stage2.head_kind, stage2.temperature) == ("tsupcon", "block", 1.0)
    assert not stage2.dense_weight
    everything = EverythingSettings.of(recipe.mask_options)
    assert everything == EverythingSettings()
    assert (everything.points_per_side, everything.sampling) == (32, "grid")


@pytest.mark.parametrize(
    ("make", "repository"),
    [
        (lambda hub: PseudoLabeler("paper", hub=hub), "facebook/sam-vit-huge"),
        (
            lambda hub: PseudoLabeler("paper", mask_generator="superpixels", hub=hub),
            "timm/vit_large_patch14_clip_224.openai",
        ),
        (lambda hub: Aligner(recipe="paper", hub=hub), "timm/vit_large_patch14_dinov2.lvd142m"),
    ],
    ids=["masks", "words", "backbone"],
)
def test_without_network_the_papers_recipe_says_what_to_bring(
    make: Callable[[HubOptions], object], repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = forbid_network(monkeypatch)
    with pytest.raises(AssetUnavailableError) as told:
        make(HubOptions(cache_dir=tmp_path, local_files_only=True))
    message = str(told.value)
    assert message.startswith(f"{repository}: ")
    assert "safetensors" in message
    for way in ("run where the Hub is reached", "cache_dir=", "local-dir:"):
        assert way in message
    assert tried == []


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
