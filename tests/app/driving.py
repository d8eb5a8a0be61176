"""Driving the page: what a visitor does, in words."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium import webdriver
    from selenium.webdriver.remote.webelement import WebElement

    from fmbseg.app.server import AppServer

T = TypeVar("T")
WIDE, NARROW = 1280, 390
_SECONDS = 400
_DROP = """
const [place, content, name] = arguments, moved = new DataTransfer();
const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
moved.items.add(new File([bytes], name, { type: "image/png" }));
for (const kind of ["dragenter", "dragover", "drop"])
  place.dispatchEvent(new DragEvent(kind, { dataTransfer: moved, bubbles: true, cancelable: true }));
"""
_COPY = """
const [colour, width, height, done] = arguments, drawn = document.createElement("canvas");
Object.assign(drawn, { width, height });
const context = drawn.getContext("2d");
context.fillStyle = colour;
context.fillRect(width / 4, height / 4, width / 2, height / 2);
drawn.toBlob((blob) => navigator.clipboard.write([new ClipboardItem({ "image/png": blob })])
  .then(() => done("copied"), (error) => done(String(error))));
"""


class Page:
    """The page in the browser.

    Args:
        browser: that shows it.
        server: that serves it.
    """

    def __init__(self, browser: webdriver.Chrome, server: AppServer) -> None:
        self.browser, self.server = browser, server

    def open(self, width: int = WIDE) -> None:
        """Load it anew, and wait until it is there."""
        self.resize(width)
        self.browser.get(self.server.url)
        self.find('[role="tab"]')

    def resize(self, width: int, height: int = 900) -> None:
        """Of what is shown: a window cannot be as narrow as a telephone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def tab(self, name: str) -> None:
        """Open a tab by its name."""
        wanted = f"//button[@role='tab' and normalize-space()='{name}']"
        self.until(lambda: self.click(self.browser.find_element(By.XPATH, wanted)))

    def find(self, css: str) -> WebElement:
        """The first element of a selector, once it is there."""
        return self.until(lambda: self.browser.find_element(By.CSS_SELECTOR, css))

    def find_text(self, tag: str, text: str) -> WebElement:
        """The first element of a tag with this very text, once it is there."""
        wanted = f"//{tag}[normalize-space()='{text}' or starts-with(normalize-space(), '{text} ')]"
        return self.until(lambda: self.browser.find_element(By.XPATH, wanted))

    def all(self, css: str) -> list[WebElement]:
        """All elements of a selector, now."""
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        """The text of an element."""
        return str(self.find(css).get_property("innerText"))

    def click(self, element: WebElement) -> bool:
        """Click, wherever the page is scrolled to."""
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        return True

    def press(self, css: str) -> None:
        """Click the first element of a selector, once it can be clicked."""
        self.until(lambda: self.click(self.find(css)))

    def upload(self, css: str, *paths: Path) -> None:
        """Choose files."""
        self.find(f"{css} input[type=file]").send_keys("\n".join(map(str, paths)))

    def drop(self, css: str, path: Path) -> None:
        """Drop a file on an element, as if it were dragged there from elsewhere."""
        content = b64encode(path.read_bytes()).decode()
        self.browser.execute_script(_DROP, self.find(css), content, path.name)

    def copy_picture(self, colour: str, width: int, height: int) -> None:
        """Put a picture on the clipboard, as "copy image" would elsewhere."""
        allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self.browser.execute_cdp_cmd("Browser.grantPermissions", allowed)
        assert self.browser.execute_async_script(_COPY, colour, width, height) == "copied"

    def words(self, css: str, *words: str) -> None:
        """Replace the tags of a field of words."""
        field = self.find(f"{css} input")
        while self.all(f"{css} .token"):
            before = len(self.all(f"{css} .token"))
            field.send_keys(Keys.BACKSPACE)
            self.until(lambda: len(self.all(f"{css} .token")) < before)  # noqa: B023 - called at once
        for word in words:
            field.send_keys(word, Keys.ENTER)
        self.browser.execute_script("arguments[0].blur()", field)  # closes the suggestions

    def choose(self, css: str, value: str) -> None:
        """Choose in a list."""
        field = self.find(f"{css} input")
        self.click(field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(value, Keys.ENTER)

    def fill(self, css: str, value: str) -> None:
        """Put a value in the place of another."""
        field = self.find(css)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(value, Keys.TAB)

    def until(self, said: Callable[[], T], seconds: float = _SECONDS) -> T:
        """Wait until something is so."""
        wait = WebDriverWait(self.browser, seconds, poll_frequency=0.05, ignored_exceptions=[Exception])
        found: T = wait.until(lambda _: said())
        return found

    def log(self, kind: str) -> list[dict[str, str]]:
        """What the browser noted since it was last asked."""
        found: list[dict[str, str]] = self.browser.get_log(kind)  # type: ignore[no-untyped-call]
        return found

    def shot(self, name: str) -> None:
        """Keep a picture of the whole page, where FMBSEG_SHOTS names a folder."""
        folder = os.environ.get("FMBSEG_SHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            height = self.browser.execute_script("return document.documentElement.scrollHeight")
            width = self.browser.execute_script("return window.innerWidth")
            self.resize(width, min(height, 4000))
            self.browser.execute_script("window.scrollTo(0, 0)")
            self.browser.save_screenshot(f"{folder}/{name}_{width}.png")
            self.resize(width)
