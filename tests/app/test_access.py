"""The page without a mouse, without sight, and without all colours."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from coloraide import Color
from selenium.webdriver.common.keys import Keys

from fmbseg.app.viewer import view_of
from fmbseg.results import Segmentation
from tests.app.driving import NARROW, WIDE

if TYPE_CHECKING:
    from tests.app.driving import Page

_UNNAMED = """
const named = (one) => one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.title
  || (one.labels && one.labels.length) || one.closest("label") || one.innerText?.trim()
  || one.alt || one.placeholder;
return [...document.querySelectorAll("button, input, select, textarea, canvas, progress, [role=slider]")]
  .filter((one) => one.type !== "hidden" && one.type !== "file" && one.offsetParent && !named(one))
  .map((one) => one.outerHTML.slice(0, 200));
"""
_FOCUSED = """
const one = document.activeElement, style = getComputedStyle(one), near = getComputedStyle(one.parentElement);
return [one.closest("[id^=segment-]")?.id || one.id || one.tagName, one.getBoundingClientRect().top + scrollY,
  style.outlineStyle !== "none" || style.boxShadow !== "none" || near.boxShadow !== "none"];
"""


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_is_wider_than_the_page(page: Page, width: int) -> None:
    page.resize(width)
    wide = "return document.documentElement.scrollWidth"
    page.until(lambda: page.browser.execute_script(wide) <= width)


def test_everything_that_takes_input_has_a_name(page: Page) -> None:
    for tab in ("Segment", "Label", "Train and compare"):
        page.tab(tab)
        page.until(
            lambda: page.browser.execute_script("return document.querySelectorAll('button').length") > 5
        )
        assert page.browser.execute_script(_UNNAMED) == []


def test_tab_goes_through_the_page_in_order_and_shows_where_it_is(page: Page) -> None:
    page.browser.execute_script("document.querySelector('[role=tab]').focus()")
    seen: list[str] = []
    for _ in range(60):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        name, _, visible = page.browser.execute_script(_FOCUSED)
        if name == "BODY":  # past the last one
            break
        assert visible, name
        if name not in seen:
            seen.append(name)
    wanted = ["segment-photograph", "segment-examples", "segment-words", "segment-view", "segment-method"]
    assert [name for name in seen if name in wanted] == wanted


def test_colours_of_the_legend_differ_for_the_colour_blind() -> None:
    labels = np.repeat(np.arange(8, dtype=np.int32), 8).reshape(8, 8)
    names = tuple(f"thing {number}" for number in range(8))
    result = Segmentation(labels, np.ones((8, 8), np.float32), names, image=np.zeros((8, 8, 3), np.uint8))
    shown = [one["colour"] for one in json.loads(view_of(result))["classes"]]
    colours = [Color("srgb", [band / 255 for band in colour]) for colour in shown]
    assert len(colours) == 8
    for lack in ("protan", "deutan", "tritan"):
        seen = [colour.filter(lack) for colour in colours]
        assert min(one.delta_e(other, method="ok") for one, other in combinations(seen, 2)) > 0.05
