"""The Segment tab in a real browser."""

from __future__ import annotations

import json
import shlex
import shutil
from collections import Counter
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.recipes import get_recipe
from fmbseg.segmentation.cutouts import Cutouts
from tests.app.driving import NARROW, WIDE, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium import webdriver

    from fmbseg.app.place import Place
    from fmbseg.app.server import AppServer


HTML = "<img src=x onerror=document.title=1>"


@pytest.fixture(scope="module")
def encodes(place: Place) -> Iterator[Counter[str]]:
    """How often the models beneath encode an image, and as "cut-outs" masks, which depend on the words."""
    counted: Counter[str] = Counter()
    pool = place.pool

    def count(model: Any, name: str) -> None:
        before = getattr(model, name)

        def counting(*given: Any, **named: Any) -> Any:
            counted[name] += 1
            return before(*given, **named)

        patch.setattr(model, name, counting)

    with pytest.MonkeyPatch.context() as patch:
        place.method("offline@offline")
        for backbone in pool._backbones.values():
            count(backbone.inner, "encode")
        for encoder in (pool.image_text("conse"),):
            count(encoder.inner, "encode_image")
        count(pool.mask_generator("mobilesam", get_recipe("offline").mask_options).inner, "begin")
        seen_alone = Cutouts.of

        def of(*given: Any) -> Any:
            before = counted["encode_image"]
            found = seen_alone(*given)
            counted["cut-outs"] += counted["encode_image"] - before
            counted["encode_image"] = before
            return found

        patch.setattr(Cutouts, "of", of)
        yield counted


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, server: AppServer, photograph: Path, encodes: Counter[str]) -> Page:
    """One visit for all tests of this tab, of two photographs chosen at once."""
    opened = Page(browser, server)
    opened.log("performance")
    opened.open()
    opened.words("#segment-words", "cat", "dog", "cushion")
    other = photograph.with_name("other.png")
    shutil.copy(photograph, other)
    opened.upload("#segment-photograph", photograph, other)
    opened.until(lambda: photograph.name in opened.text("#segment-status") and "cat" in legend(opened))
    assert encodes["encode"] > 0
    return opened


def ask(page: Page, *words: str) -> None:
    """Ask for other words, and wait for the first."""
    page.words("#segment-words", *words)
    page.until(lambda: words[0] in legend(page))


def legend(page: Page) -> str:
    return page.text("#segment-view .viewer-classes")


def test_three_words_then_others_without_encoding_again(page: Page, encodes: Counter[str]) -> None:
    assert "cat" in str(page.find("#segment-view canvas").get_attribute("aria-label"))
    first = Counter(encodes)
    ask(page, "kitten", "lawn", "persn")
    page.until(lambda: "persn: hardly known" in page.text("#segment-known"))
    assert {**encodes, "cut-outs": 0} == {**first, "cut-outs": 0}
    assert min(first[name] for name in ("encode", "encode_image", "begin")) > 0
    page.shot("segment")
    page.resize(NARROW)
    page.shot("segment")
    page.resize(WIDE)


def test_without_a_word_it_asks_for_one(page: Page) -> None:
    page.words("#segment-words")
    page.until(lambda: "Type a word." in page.text("#segment-status"))
    ask(page, "cat")
    page.until(lambda: "my-cat.png" in page.text("#segment-status"))


@pytest.mark.long
def test_command_and_code_do_the_same(
    page: Page, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(page, "cat", "grass")
    page.click(page.find_text("button", "The same without this page"))
    page.until(lambda: "cat,grass" in page.text("#segment-command .cm-content"))
    page.click(page.find_text("button", "Download"))
    page.press("#segment-make")
    made = {path.name: path for path in page.until(lambda: downloads(page))}
    shown = np.asarray(Image.open(made["my-cat_classes.png"]))
    command = page.text("#segment-command .cm-content").strip()
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


def test_names_with_html_stay_text(page: Page) -> None:
    ask(page, "cat", HTML)
    page.until(lambda: f"{HTML}: hardly known" in page.text("#segment-known"))
    assert page.browser.title == "fmbseg"
    assert not page.all("#segment-view img, #segment-known img, .toast-body img[src=x]")


def test_legend_switches_a_class_and_keys_tell_what_is_under_them(page: Page, photograph: Path) -> None:
    ask(page, "kitten")
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
    assert page.text("#segment-view .viewer-pointed").startswith("kitten: certainty 0.")


def test_one_of_several_a_pasted_and_a_dropped_photograph(page: Page) -> None:
    def shown(name: str, size: str) -> None:
        page.until(lambda: f"{name}, {size} pixels" in page.text("#segment-status"))

    page.press("#segment-mine .gallery-item:nth-child(2) .thumbnail-item")
    shown("other.png", "320 x 213")
    page.copy_picture("green", 120, 80)
    page.press('#segment-photograph [aria-label="Paste from clipboard"]')
    shown("clipboard_upload.png", "120 x 80")
    with NamedTemporaryFile(suffix=".png") as file:
        Image.new("RGB", (90, 60), "blue").save(file.name)
        page.drop("#segment-photograph .upload-container", Path(file.name))
        shown(Path(file.name).name, "90 x 60")
    assert len(page.all("#segment-mine .thumbnail-item")) == 4


def test_a_damaged_photograph_is_told_and_the_others_are_there(
    page: Page, place: Place, photograph: Path
) -> None:
    bad = place.photograph_folder(list(place.photographs())[1]) / "bad.png"
    page.upload("#segment-photograph", bad, photograph)
    page.until(lambda: any("bad.png" in str(one.text) for one in page.all(".toast-body")))
    page.until(lambda: "my-cat.png, 320 x 213" in page.text("#segment-status"))
    assert len(page.all("#segment-mine .thumbnail-item")) == 5


def test_no_request_leaves_this_machine(page: Page) -> None:
    """In all that the tests before this one did."""
    asked = list(requests_of(page.log("performance")))
    assert any(url.startswith(page.server.url) for url in asked)
    assert not [url for url in asked if not url.startswith((page.server.url, "data:", "blob:"))]


def requests_of(log: list[dict[str, str]]) -> Iterator[str]:
    """Addresses that the browser asked for."""
    for entry in log:
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]
