"""The Label tab in a real browser: start, pause, go on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fmbseg import LabelSet
from fmbseg.app.labelling import duration
from tests.app.driving import NARROW

if TYPE_CHECKING:
    from fmbseg.app.place import Place
    from tests.app.driving import Page

ESTIMATED = re.compile(r"about (?P<all>.+) for 2 photographs: (?P<each>.+) s each, as 1 of them took")
FINISHED = re.compile(r"finished: 6 of 6 photographs")


def done(page: Page) -> int:
    """Photographs that the page says are labelled."""
    told = page.text("#label-status")
    if told.startswith("failed"):
        pytest.fail(told)
    found = re.search(r"(\d+) of 6", told)
    return int(found[1]) if found else 0


def test_what_cannot_be_labelled_is_told(page: Page, place: Place) -> None:
    _, few, none = place.photographs()
    page.tab("Label")
    page.press("#label-start")
    page.until(lambda: "give one or more words" in page.text(".toast-wrap"))
    page.words("#label-words", "cat")
    page.choose("#label-folder", none)
    for button in ("#label-start", "#label-estimate"):
        page.press(button)
        page.until(lambda: f"{none}: no photograph is in it" in page.text(".toast-wrap"))
        page.press(".toast-close")
        page.until(lambda: "no photograph is in it" not in page.text("body"))
    page.fill("#label-name input, #label-name textarea", "../elsewhere")
    page.choose("#label-folder", few)
    page.press("#label-start")
    page.until(lambda: "is no name for a folder" in page.text(".toast-wrap"))
    assert "no run yet" in page.text("#label-status")


@pytest.mark.long
def test_an_estimate_passes_over_what_cannot_be_read(page: Page, place: Place) -> None:
    _, few, _ = place.photographs()
    page.tab("Label")
    page.words("#label-words", "cat")
    page.choose("#label-folder", few)
    page.press("#label-estimate")
    page.until(lambda: ESTIMATED.fullmatch(page.text("#label-estimated").strip()))
    (told,) = ESTIMATED.findall(page.text("#label-estimated"))
    assert float(told[1]) > 0
    assert told[0] == duration(2 * float(told[1]))


@pytest.mark.long
def test_six_photographs_paused_and_gone_on_with(page: Page, place: Place) -> None:
    page.tab("Label")
    page.words("#label-words", "cat", "coffee cup", "rocket")
    page.press("#label-start")
    page.until(lambda: done(page) >= 1)
    page.open()  # who closes the tab, and comes back, finds the run as it is
    page.tab("Label")
    page.until(lambda: done(page) >= 1)
    page.press("#label-pause")
    page.until(lambda: "paused" in page.text("#label-status"))
    before = done(page)
    assert 1 <= before < 6
    assert not list((place.work / "labels" / "labels").glob("*.parquet"))
    page.words("#label-words", "cat", "coffee cup", "rocket")
    page.press("#label-start")
    page.until(lambda: done(page) > before)
    page.until(lambda: FINISHED.search(page.text("#label-status")))
    labels = LabelSet(place.work / "labels" / "labels")
    assert len(labels) == 6
    assert labels.vocabulary.names == ("cat", "coffee cup", "rocket")
    page.until(lambda: page.find("#label-sheet img").get_property("naturalWidth"))
    page.shot("label")
    page.resize(NARROW)
    page.shot("label")
