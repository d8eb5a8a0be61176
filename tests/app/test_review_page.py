"""The Review tab in a real browser: rename, reject, click a new mask, undo, two tabs, keys alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.record import EVERYTHING_STAGE, HAND_STAGE, LabeledImage
from tests.app.boxes import label_by_boxes
from tests.app.driving import NARROW, Page

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

    from fmbseg.app.place import Place

NAMES = ["cat", "coffee cup", "<b>flower</b>", "rocket"]
SURE = {"flower.png": 0.2, "cat.png": 0.5, "coffee.png": 0.9}


@pytest.fixture
def labels(place: Place, request: pytest.FixtureRequest) -> Path:
    """A label set of three photographs that no model made, so that every mask is known."""
    return label_by_boxes(place, request.node.name, NAMES, SURE)


def begin(page: Page, labels: Path, who: str = "Anna") -> None:
    """Open the tab and put the first photograph on the desk."""
    page.tab("Review")
    field = page.find("#review-labels input")
    page.until(lambda: page.click(field))
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(labels.name, Keys.ENTER)
    page.find("#review-who textarea, #review-who input").send_keys(who)
    page.press("#review-begin")
    page.until(lambda: said(page) == f"{who} reviews 3 photographs")


def said(page: Page) -> str:
    return page.text("#review-desk .review-said").strip()


def name(page: Page) -> str:
    return page.text("#review-desk .review-name").strip()


def masks(page: Page) -> list[str]:
    return [str(one.get_property("innerText")) for one in page.all("#review-desk .review-mask")]


def press(page: Page, does: str, told: str) -> None:
    """Press a button of the desk, and wait until it is said to be done."""
    page.press(f'#review-desk [data-does="{does}"]')
    page.until(lambda: said(page).startswith(told))


def point(page: Page, x: float, y: float) -> None:
    """Click on the picture, at fractions of its width and height."""
    picture = page.find("#review-desk .review-picture")
    page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    width, height = picture.size["width"], picture.size["height"]
    offset = (round((x - 0.5) * width), round((y - 0.5) * height))
    ActionChains(page.browser).move_to_element_with_offset(picture, *offset).click().perform()


def corrected(labels: Path, path: str = "flower.png") -> LabeledImage:
    return next(image for image in LabelSet(labels) if image.path == path)


def test_rename_reject_click_a_new_mask_and_undo(page: Page, labels: Path) -> None:
    page.log("browser")  # what pages before this one said
    begin(page, labels)
    assert name(page) == "flower.png"  # the least sure
    assert "0 of 3 photographs done" in page.text("#review-status")
    assert len(masks(page)) == 3
    page.shot("review-begin")

    page.press('#review-desk .review-mask[data-key="m0"]')
    field = page.find("#review-desk .review-class")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(NAMES[2], Keys.ENTER)
    page.until(lambda: said(page) == f"renamed to {NAMES[2]}")
    assert corrected(labels).class_ids.tolist() == [2, 1, 1]  # it is on the disk by now
    page.press('#review-desk .review-mask[data-key="m1"]')
    press(page, "reject", "rejected")
    assert corrected(labels).class_ids.tolist() == [2, 1]

    page.press('#review-desk [data-tool="points"]')
    point(page, 0.5, 0.5)  # on the flower
    page.until(lambda: said(page).startswith("a draft of "))
    page.shot("review-draft")
    page.press('#review-desk [data-does="rename"]')  # in the field is the chosen mask's class
    page.until(lambda: said(page).startswith("kept as "))
    image = corrected(labels)
    assert image.stages.tolist() == [HAND_STAGE, EVERYTHING_STAGE, HAND_STAGE]
    flower = image.masks.decode(2)
    height, width = image.size
    assert flower[height // 2, width // 2]
    assert not flower[0].any()
    assert 0.05 < flower.mean() < 0.6

    press(page, "undo", "undone: draw")
    press(page, "undo", "undone: reject")
    assert corrected(labels).class_ids.tolist() == [2, 1, 1]
    press(page, "done", "flower.png is done")
    assert name(page) == "cat.png"
    assert "1 of 3 photographs done, 0 begun, 2 left" in page.text("#review-status")
    page.resize(NARROW)
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.browser.execute_script(overflow) <= 0
    page.shot("review-next")
    assert not [line for line in page.log("browser") if line["level"] == "SEVERE"]


def test_two_tabs_on_one_photograph_lose_nothing(page: Page, labels: Path) -> None:
    first = page.browser.current_window_handle
    begin(page, labels)
    page.browser.switch_to.new_window("tab")
    try:
        page.open()
        begin(page, labels)
        press(page, "accept", "accepted")  # the largest mask: the strip, or a half
        page.browser.switch_to.window(first)
        page.press('#review-desk .review-mask[data-key="m0"]')
        press(page, "delete", "deleted")
        assert any("accepted by Anna" in mask for mask in masks(page))  # the other tab's is seen, too
    finally:
        for window in page.browser.window_handles:
            if window != first:
                page.browser.switch_to.window(window)
                page.browser.close()
        page.browser.switch_to.window(first)
    image = corrected(labels)
    assert len(image.masks) == 2
    assert image.stages.tolist().count(HAND_STAGE) == 1


def test_by_keys_alone(page: Page, labels: Path) -> None:
    begin(page, labels)
    picture = page.find("#review-desk .review-picture")
    page.browser.execute_script("arguments[0].focus()", picture)

    def keys(*pressed: str, told: str) -> None:
        ActionChains(page.browser).send_keys(*pressed).perform()
        page.until(lambda: said(page).startswith(told))

    keys("a", told="accepted")
    keys("j", "r", told="rejected")
    keys("u", told="undone: reject")
    keys("n", "rocket", Keys.ENTER, told="renamed to rocket")
    keys("p", " ", told="a draft of ")  # the cross begins in the middle
    keys("n", "cat", Keys.ENTER, told="kept as cat")
    keys("h", Keys.ARROW_RIGHT, " ", told="a draft of ")
    keys(Keys.ESCAPE, told="the draft is gone")
    keys(
        "b",
        " ",
        Keys.ARROW_RIGHT,
        Keys.ARROW_RIGHT,
        Keys.ARROW_DOWN,
        Keys.ARROW_DOWN,
        " ",
        told="a draft of ",
    )
    keys("u", told="the draft is gone")
    image = corrected(labels)
    assert sorted(image.class_ids[image.stages == HAND_STAGE].tolist())[-1] == 3
    assert len(image.masks) == 4
    keys(Keys.ENTER, told="flower.png is done")
    keys(".", told="")
    page.until(lambda: name(page) == "coffee.png")
    keys(",", told="")
    page.until(lambda: name(page) == "cat.png")


def test_export_on_the_page(page: Page, place: Place, labels: Path) -> None:
    begin(page, labels)
    page.click(page.find_text("span", "Export for other tools"))

    def field() -> WebElement:
        return page.find("#review-export-name textarea, #review-export-name input")

    page.until(lambda: field().is_displayed())
    field().send_keys(Keys.CONTROL, "a")
    field().send_keys("../out")
    page.press("#review-export")
    page.until(lambda: "is no name for a folder" in page.text("body"))
    field().send_keys(Keys.CONTROL, "a")
    field().send_keys(labels.name)
    page.press("#review-export")
    page.until(lambda: "3 photographs, 6 masks" in page.text("#review-written"))
    assert (place.work / "exports" / labels.name / "annotations/instances_default.json").is_file()
