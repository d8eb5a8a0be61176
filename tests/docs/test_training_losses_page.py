"""The page on losses and heads says what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import torch

from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.head_settings import HEAD_KINDS, HeadKind, HeadSettings
from fmbseg.alignment.losses import LOSSES
from fmbseg.alignment.settings import Classes, TrainingSettings
from fmbseg.recipes import RECIPES, get_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = json.loads((REPOSITORY / "fmbseg/heads/offline/config.json").read_text(encoding="utf-8"))
OFFLINE = HeadSettings(**CONFIG["head"])  # the recipe's own head
PAGE = (REPOSITORY / "docs/training_losses.md").read_text(encoding="utf-8")


def rows_of(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading, by their first cell, which is a word in code."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    body = re.split(r"^\|[-|]+\|$", section, flags=re.MULTILINE)[1]  # below the header
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", body, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_what_every_head_costs(kind: HeadKind) -> None:
    shown = []
    for in_dim, out_dim, side in ((1024, 768, 37), (OFFLINE.in_dim, OFFLINE.out_dim, 448 // 16)):
        with torch.device("meta"):
            head = AlignmentHead(in_dim, out_dim, kind=kind)
        shown += [f"{head.parameter_count:,}", f"{head.settings.flops(side, side) / 1e9:.3f}"]
    assert rows_of("Heads")[kind] == shown


def test_every_loss_head_and_choice_is_there() -> None:
    assert tuple(rows_of("Rivals")) == tuple(LOSSES)
    assert tuple(rows_of("Heads")) == HEAD_KINDS
    assert all(f'`"{choice}"`' in PAGE for choice in get_args(Classes))


def test_the_figures_of_the_forms_are_those_of_the_kept_result() -> None:
    result = json.loads((REPOSITORY / "benchmarks/results/tsupcon.json").read_text())
    assert f"{result['time_ratio']:.2f} times the time" in PAGE
    assert f"{100 * result['memory_ratio']:.1f} % of the extra memory" in PAGE
    assert f"takes {result['gb_at_50000_patches']:.2f} GB" in PAGE


def test_what_is_called_the_default_is() -> None:
    settings = TrainingSettings()
    assert f"{settings.temperature}, SupCon's, is the default" in PAGE
    assert (settings.exclude_self, settings.classes, settings.text_weight) == (False, "dataset", None)
    assert (settings.loss, settings.head_kind, settings.mlp_ratio) == ("tsupcon", "block", 4.0)
    assert f"{171 / (5 * 37 * 37 + 171):.1%}".replace("%", " %") in PAGE


def test_what_is_called_the_recipes_is() -> None:
    recipe = TrainingSettings.from_dict(get_recipe("offline").training)
    assert (OFFLINE.kind, OFFLINE.mlp_ratio) == (recipe.head_kind, recipe.mlp_ratio)
    assert f'`head_kind="{recipe.head_kind}", mlp_ratio={recipe.mlp_ratio:g}`, has {OFFLINE.hidden:,}' in PAGE
    assert f"{OFFLINE.in_dim:,} channels" in PAGE
    (line,) = re.findall(rf"^- `{recipe.head_kind}`: .*$", PAGE, re.MULTILINE)
    assert "The offline recipe's" in line
    assert PAGE.count("The offline recipe's") == 1
    assert CONFIG["backbone"]["stride"] == 16
    assert recipe.image_size == 448
    paper = TrainingSettings.from_dict(get_recipe("paper").training)
    assert (paper.loss, paper.head_kind, paper.temperature) == ("tsupcon", "block", 1.0)
    only = [name for name, one in RECIPES.items() if one.training.get("temperature", 0.07) == 1.0]
    assert only == ["paper"]  # "which only the recipe `paper` has as printed"
