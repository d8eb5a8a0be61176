"""Defaults and the offline recipe's settings, as the pages name them, are those of the code."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.alignment.settings import TrainingSettings
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.recipes import get_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORDS = {"none": None, "all": None, "as printed": None, "yes": True, "no": False}


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    section = (DOCS / page).read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    below = re.split(r"^\|[-|]+\|$", section, flags=re.MULTILINE)[1]
    rows = re.match(r"(\n\|.*)*", below)
    assert rows is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[0].split("\n") if row]


def value_of(text: str) -> Any:
    """A default of `align.md` as Python has it."""
    if text in WORDS:
        return WORDS[text]
    return text.strip('`"') if '"' in text else float(text)


def test_the_defaults_of_training() -> None:
    settings = asdict(TrainingSettings())
    named = 0
    for names, values, _ in rows_of("align.md", "Settings"):
        for name, value in zip(re.findall(r"`(\w+)`", names), values.split(", "), strict=True):
            assert settings[name] == value_of(value), name
            named += 1
    assert named > 20


def test_every_departure_of_the_offline_recipe_is_named_with_its_values() -> None:
    recipe = get_recipe("offline")
    parts: tuple[tuple[Mapping[str, Any], TrainingSettings | LabelingSettings], ...] = (
        (recipe.training, TrainingSettings()),
        (recipe.labeling, LabelingSettings()),
    )
    departures = {
        name: (str(asdict(defaults)[name]), "a fitted curve" if "curve" in name else str(value))
        for chosen, defaults in parts
        for name, value in chosen.items()
        if value != asdict(defaults)[name]
    }
    named = {
        name.strip("`"): (default, offline)
        for names, default, offline, _ in rows_of("how_it_works.md", "Departures from the paper")
        for name in names.split(", ")
    }
    assert named == departures


def test_the_papers_recipe_has_the_printed_temperature() -> None:
    assert get_recipe("paper").training["temperature"] == 1
    assert f"the default is SupCon's {TrainingSettings().temperature}" in (
        DOCS / "how_it_works.md"
    ).read_text("utf-8")
