"""The Train and compare tab in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmbseg import AlignedEncoder
from fmbseg.review.session import Review
from tests.app.boxes import label_by_boxes
from tests.app.driving import NARROW

if TYPE_CHECKING:
    from fmbseg.app.place import Place
    from tests.app.driving import Page

WORDS = ["cat", "coffee cup", "rocket"]


@pytest.fixture(scope="module")
def labels(place: Place) -> str:
    """The name of a label set of two photographs, one of which a person corrected."""
    made = label_by_boxes(place, "two", WORDS, {"cat.png": 0.9, "coffee.png": 0.8})
    review = Review(made, "Anna")
    path = review.order()[0]
    review.rename(path, "rocket", review.masks(path)[0][0].key)
    return "two"


@pytest.mark.long
def test_fit_and_compare(page: Page, place: Place, labels: str) -> None:
    page.tab("Train and compare")
    page.until(lambda: page.find("#train-labels input").get_property("value") == labels)
    page.choose("#train-begin", "nothing")
    page.fill("#train-epochs input[type=number]", "2")
    page.press("#train-start")
    page.until(lambda: page.text("#train-status").startswith(("finished", "failed")))
    assert "head trained on 2 photographs in 2 epochs" in page.text("#train-status")
    assert AlignedEncoder.from_pretrained(place.heads()["head"]).prototypes is not None
    page.tab("Label")
    page.tab("Train and compare")
    page.until(lambda: page.find("#train-new input").get_property("value") == "head (head)")
    page.press("#train-compare")
    page.until(lambda: "corrected (1): offline (packaged head)" in page.text("#train-told"))
    assert "not corrected (1)" in page.text("#train-told")
    page.until(lambda: len(page.all("#train-pictures img")) >= 2)
    page.shot("train")
    page.resize(NARROW)
    page.shot("train")
