"""The Segment tab in a real browser."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys
from typer.testing import CliRunner

from fmbseg.cli.main import app
from tests.app.driving import NARROW, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.app.place import Place


@pytest.fixture
def encodes(place: Place, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the models beneath encode an image."""
    counted: Counter[str] = Counter()
    pool = place.pool

    def count(model: Any, name: str) -> None:
        before = getattr(model, name)

        def counting(*given: Any, **named: Any) -> Any:
            counted[name] += 1
            return before(*given, **named)

        monkeypatch.setattr(model, name, counting)

    place.method("offline@offline")
    for backbone in pool._backbones.values():
        count(backbone.inner, "encode")
    for encoder in (pool.image_text("conse"),):
        count(encoder.inner, "encode_image")
    count(pool.mask_generator("mobilesam", {"points_per_side": 16}).inner, "begin")
    return counted


def segmented(page: Page, photograph: Path, *words: str) -> None:
    """Upload a photograph and wait for its classes."""
    page.words("#segment-words", *words)
    page.upload("#segment-photograph", photograph)
    page.until(lambda: photograph.name in page.text("#segment-status") and words[0] in legend(page))


def legend(page: Page) -> str:
    return page.text("#segment-view .viewer-classes")


def test_three_words_then_others_without_encoding_again(
    page: Page, photograph: Path, encodes: Counter[str]
) -> None:
    segmented(page, photograph, "cat", "dog", "cushion")
    assert encodes["encode"] > 0
    assert "cat" in str(page.find("#segment-view canvas").get_attribute("aria-label"))
    first = Counter(encodes)
    page.words("#segment-words", "kitten", "lawn")
    page.until(lambda: "kitten" in legend(page))
    assert encodes == first
    page.shot("segment")
    page.resize(NARROW)
    page.shot("segment")


@pytest.mark.long
def test_command_and_code_do_the_same(
    page: Page, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmented(page, photograph, "cat", "grass")
    page.click(page.find_text("button", "Download"))
    page.press("#segment-make")
    made = {path.name: path for path in page.until(lambda: downloads(page))}
    shown = np.asarray(Image.open(made["my-cat_classes.png"]))
    page.click(page.find_text("button", "The same without this page"))
    command = page.until(lambda: page.text("#segment-command .cm-content")).strip()
    code = page.text("#segment-python .cm-content")
    monkeypatch.chdir(photograph.parent)
    ran = CliRunner().invoke(app, [*shlex.split(command)[1:-1], str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.output
    assert np.array_equal(shown, np.asarray(Image.open(tmp_path / "out" / "my-cat_classes.png")))
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(code.replace("'my-cat.png'", repr(str(photograph))), names)
    result = names["result"]
    assert np.array_equal(np.where(result.labels < 0, 255, result.labels), shown)
    content = json.loads(made["my-cat_coco.json"].read_text())
    assert [one["name"] for one in content["categories"]] == list(result.names)
    assert sum(one["area"] for one in content["annotations"]) == np.count_nonzero(shown != 255)
    assert json.loads(made["my-cat_outlines.geojson"].read_text())["type"] == "FeatureCollection"


def downloads(page: Page) -> list[Path]:
    """The files that the page offers, where the server has them."""
    links = [one.get_attribute("href") or "" for one in page.all("#segment-files a")]
    return [Path(unquote(link.partition("file=")[2])) for link in links]


def test_names_with_html_stay_text(page: Page, photograph: Path) -> None:
    word = "<img src=x onerror=document.title=1>"
    segmented(page, photograph, "cat", word)
    page.until(lambda: "hardly known" in page.text("#segment-known"))
    assert word in page.text("#segment-known")
    assert page.browser.title == "fmbseg"
    assert not page.all("#segment-view img, #segment-known img, .toast-body img[src=x]")


def test_legend_switches_a_class_and_keys_tell_what_is_under_them(page: Page, photograph: Path) -> None:
    segmented(page, photograph, "cat")
    canvas = page.find("#segment-view canvas")
    middle = (
        "const c = document.querySelector('#segment-view canvas'); return [...c.getContext('2d')"
        ".getImageData(c.width / 2, c.height / 2, 1, 1).data]"
    )
    page.until(
        lambda: (
            page.browser.execute_script("return document.querySelector('#segment-view canvas').width") > 300
        )
    )
    painted = page.browser.execute_script(middle)
    box = page.find("#segment-view .viewer-classes input")
    box.send_keys(Keys.SPACE)
    plain = page.browser.execute_script(middle)
    with Image.open(photograph) as opened:
        expected = opened.getpixel((opened.width // 2, opened.height // 2))
    assert plain[:3] == pytest.approx(expected, abs=8)  # the photograph travels as a JPEG
    assert painted != plain
    box.send_keys(Keys.SPACE)
    assert page.browser.execute_script(middle) == painted
    canvas.send_keys(Keys.ARROW_RIGHT)
    assert page.text("#segment-view .viewer-pointed").startswith("cat: certainty 0.")


def test_no_request_leaves_this_machine(page: Page, photograph: Path) -> None:
    page.log("performance")
    page.open()
    segmented(page, photograph, "cat")
    asked = list(requests_of(page.log("performance")))
    assert any(url.startswith(page.server.url) for url in asked)
    assert not [url for url in asked if not url.startswith((page.server.url, "data:", "blob:"))]


def requests_of(log: list[dict[str, str]]) -> Iterator[str]:
    """Addresses that the browser asked for."""
    for entry in log:
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]
