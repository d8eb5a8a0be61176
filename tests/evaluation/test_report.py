"""A report's Markdown and page: names are text, whatever is in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg.escaping import terminal
from fmbseg.evaluation.pictures import picture_name
from fmbseg.evaluation.report import EvaluationReport
from fmbseg.written import WrittenFiles
from tests.demo.page import Page, assert_self_contained
from tests.hostile import NAMES
from tests.markdown_page import MarkdownPage

if TYPE_CHECKING:
    from pathlib import Path


def report_of(name: str) -> EvaluationReport:
    """A report in which everything that can come from elsewhere is ``name``."""
    return EvaluationReport(
        model={"backbone": name},
        data={"name": name, "split": name, "classes": [name], "images": 2, "of": 2},
        protocol={
            "name": name,
            "window": None,
            "class_count": 1,
            "prompted_words": 1,
            "background": name,
            "threshold": None,
            "names": name,
            "templates": [name],
            "short_side": 448,
            "mirror": False,
            "refine": None,
        },
        part=(1, 1),
        measured=1,
        failures=({"key": name, "error": name},),
        figures={"miou": 0.5},
        intervals={"miou": (0.4, 0.6)},
        per_class=({"class": name, "iou": 0.5, "accuracy": 0.5, "boundary_iou": None, "pixels": 7},),
        images={name: 0.5},
    )


@pytest.mark.parametrize("name", [*NAMES, "byte\udcff.jpg"])
def test_names_are_text_and_not_markup(name: str, tmp_path: Path) -> None:
    report = report_of(name)
    with WrittenFiles(tmp_path, "evaluation") as files:
        with files.path(picture_name(name)) as picture:
            Image.new("RGB", (4, 3)).save(picture)
        report.write(files, {name: 0.5})

    markdown = MarkdownPage((tmp_path / "report.md").read_text(encoding="utf-8"))
    assert not markdown.kinds & {"html_block", "html_inline", "image", "link"}
    shown = terminal(" ".join(name.split()))
    assert markdown.texts.count(shown) == 4  # the class, its background, its names, its template
    assert f"{shown}: {shown}" in markdown.texts
    assert f"{shown}, protocol {shown}" in markdown.texts

    page = Page.read(tmp_path / "report.html")
    assert_self_contained(page)
    assert len(page.images) == 1
    assert page.images[0]["alt"] == f"{terminal(name)}: mIoU 50.00 %"
    assert page.text.count(terminal(name)) >= 10
    assert "\x1b" not in page.text


@pytest.mark.parametrize(
    ("chosen", "told"), [("as suits the head", "0.7, as suits the head"), (0.0, "0.0"), (0.2, "0.2")]
)
def test_hubness_is_told_once_and_whose_choice_it_was(chosen: float | str, told: str) -> None:
    report = report_of("x")
    report = replace(
        report,
        model={"backbone": "x", "hubness": 0.7},
        protocol={**report.protocol, "hubness": chosen},
    )
    choices = report.choices()
    assert [value for name, value in choices if name == "hubness"] == [told]
    assert dict(choices)["model"] == "backbone x"
