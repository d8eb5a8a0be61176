from typing import Any

import pytest

from fmbseg.demo.panels import Panel
from fmbseg.demo.report import Row, report_page
from fmbseg.escaping import terminal
from tests.demo.page import Page, assert_self_contained
from tests.hostile import NAMES

PANEL = Panel("Stage <1>", "a & b", b"\xff\xd8\xff", (("cat & dog", (1, 2, 3), "50%"),))


@pytest.fixture
def metrics() -> dict[str, Any]:
    return {
        "images": {"labelled": 3, "failed": [{"path": "x.jpg", "error": "damaged"}]},
        "masks": {"stage1_1": 4, "stage1_2": 25, "stage1_2_kept": 19},
        "detected": {"cat": 1},
        "classes": ["cat", "dog"],
        "new_words": ["kitten"],
        "losses": [9.5, 7.25, 6.0],
        "patches": 1234,
        "training_agreement": 0.875,
        "seconds": 125.4,
        "peak_memory_mb": 1536.0,
        "stages": {"label": {"seconds": 100.0, "peak_memory_mb": 1536.0}},
        "models": {"backbone": {"spec": "b", "title": "Backbone <B>", "license": "MIT"}},
        "superpixels_stood_in": False,
        "ground_truth": None,
        "settings": {"training": {"batch_size": 5, "learning_rate": 0.05, "temperature": 0.07}},
        "versions": {"torch": "2"},
    }


def page_of(metrics: dict[str, Any]) -> Page:
    return Page(report_page([Row("<img src=x>.png", "me & you", ("cat",), (PANEL,))], metrics))


def test_names_of_files_and_classes_are_text_not_markup(metrics: dict[str, Any]) -> None:
    page = page_of(metrics)
    assert_self_contained(page)
    assert len(page.images) == 1
    assert page.images[0]["alt"] == "<img src=x>.png: Stage <1>"
    for text in ("<img src=x>.png", "me & you", "Stage <1>", "a & b", "cat & dog", "Backbone <B>"):
        assert text in page.text


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_text(name: str, metrics: dict[str, Any]) -> None:
    metrics["classes"] = [name]
    metrics["models"]["backbone"]["title"] = name
    panel = Panel(name, name, b"\xff\xd8\xff", ((name, (1, 2, 3), name),))
    page = Page(report_page([Row(name, name, (name,), (panel,))], metrics))
    assert_self_contained(page)
    assert len(page.images) == 1
    assert page.images[0]["alt"] == f"{terminal(name)}: {terminal(name)}"
    assert page.text.count(terminal(name)) >= 7
    assert "\x1b" not in page.text


def test_figures_stand_in_the_text(metrics: dict[str, Any]) -> None:
    text = page_of(metrics).text
    for figure in ("1 of 2", "9.50 → 6.00", "2 min 5 s", "1 could not be read", "1,536 MB", "1,234", "88%"):
        assert figure in text
    assert "the first 1 of them" in text  # three were labelled, one is shown
    assert "Superpixels stood in" not in text
    assert "true masks" not in text


def test_stand_in_and_ground_truth_are_told(metrics: dict[str, Any]) -> None:
    metrics["superpixels_stood_in"] = True
    metrics["peak_memory_mb"] = None
    scores = {"miou": 0.125, "pixel_accuracy": 0.5}
    metrics["ground_truth"] = {
        "photograph": "restaurant.jpg",
        "candidates": "voc20:clean",
        "classes_there": ["bottle", "chair"],
        "before": scores,
        "after": scores,
    }
    text = page_of(metrics).text
    assert "Superpixels stood in" in text
    assert "Against the true masks of restaurant.jpg" in text
    assert "12.5%" in text
    assert "bottle, chair" in text
    assert "not known" in text


def test_a_single_epoch_has_a_curve_too(metrics: dict[str, Any]) -> None:
    metrics["losses"] = [3.0]
    assert "3.00 → 3.00" in page_of(metrics).text
