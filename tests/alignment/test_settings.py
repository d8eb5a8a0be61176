import json
from typing import Any, get_args

import pytest

from fmbseg.alignment.losses import LOSSES
from fmbseg.alignment.settings import LossName, TrainingSettings
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.recipes import RECIPES


def test_what_the_paper_states_is_the_default() -> None:
    settings = TrainingSettings()
    assert (settings.optimizer, settings.batch_size, settings.epochs) == ("sgd", 5, 10)


def test_every_recipe_names_real_settings() -> None:
    for recipe in RECIPES.values():
        TrainingSettings.from_dict(recipe.training)
        LabelingSettings(**recipe.labeling)


def test_json_and_back() -> None:
    settings = TrainingSettings(epochs=3, optimizer="adamw", learning_rate=1e-3, exclude_self=True)
    assert TrainingSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert TrainingSettings.from_dict({}) == TrainingSettings()


def test_every_loss_that_can_be_named_is_there() -> None:
    assert tuple(LOSSES) == get_args(LossName)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no setting of Stage 2 'lr'\. Available: "):
        TrainingSettings.from_dict({"epochs": 3, "lr": 2})
    with pytest.raises(ValueError, match=r"no setting of Stage 2 'epoch'; did you mean 'epochs'\?"):
        TrainingSettings.from_dict({"epoch": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("epochs", True),
        ("batch_size", -1),
        ("image_size", "448"),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("temperature", float("nan")),
        ("temperature", 0),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1e-4),
        ("cache_gb", -1),
        ("min_coverage", 0.0),
        ("min_coverage", 1.01),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", None),
        ("exclude_self", 1),
        ("loss", "triplet"),
        ("classes", "image"),
        ("head_kind", "conv"),
        ("head_kind", None),
        ("mlp_ratio", 0),
        ("dense_weight", -0.5),
        ("text_weight", 0.0),
        ("text_weight", "balanced"),
        ("optimizer", "adam"),
        ("precision", "fp16"),
        ("warmup", 1.0),
        ("validation", -0.1),
        ("validation", 1),
        ("max_gradient_norm", 0),
        ("similarity_power", -1),
        ("iou_power", float("inf")),
        ("class_cap", 0),
        ("class_cap", 2.5),
        ("distillation", -1.0),
        ("gather", 1),
    ],
)
def test_values_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} is .*: it must be "):
        TrainingSettings(**{name: value})
