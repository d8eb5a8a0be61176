"""The Label tab in a real browser: start, pause, go on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fmbseg import LabelSet
from tests.app.driving import NARROW

if TYPE_CHECKING:
    from fmbseg.app.place import Place
    from tests.app.driving import Page

FINISHED = re.compile(r"finished: 6 of 6 photographs")


def done(page: Page) -> int:
    """Photographs that the page says are labelled."""
    told = page.text("#label-status")
    if told.startswith("failed"):
        pytest.fail(told)
    found = re.search(r"(\d+) of 6", told)
    return int(found[1]) if found else 0


@pytest.mark.long
def test_six_photographs_paused_and_gone_on_with(page: Page, place: Place) -> None:
    page.tab("Label")
    page.words("#label-words", "cat", "coffee cup", "rocket")
    page.press("#label-start")
    page.until(lambda: done(page) >= 1)
    page.press("#label-pause")
    page.until(lambda: "paused" in page.text("#label-status"))
    before = done(page)
    assert 1 <= before < 6
    assert not list((place.work / "labels" / "labels").glob("*.parquet"))
    page.open()  # who comes back finds the run as it is
    page.tab("Label")
    page.until(lambda: "paused" in page.text("#label-status"))
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
