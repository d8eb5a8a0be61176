"""One page, one server and one browser for all tests of the page."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from selenium import webdriver

from fmbseg.app.place import Folders, Place
from fmbseg.app.server import AppServer, serve
from fmbseg.demo.photographs import PHOTOGRAPHS, packaged_path
from fmbseg.methods import ModelPool
from tests.app.driving import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

SIX = ("cat.png", "coffee.png", "astronaut.png", "rocket.jpg", "flower.jpg", "restaurant.jpg")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The offline recipe; a folder with six small photographs, one with a good and a bad one, one without."""
    home = tmp_path_factory.mktemp("named")
    folder, few, none = (home / name for name in ("photos", "few", "none"))
    for made in (folder, few, none):
        made.mkdir()
    for one in PHOTOGRAPHS:
        if one.name in SIX:
            with Image.open(packaged_path(one.module, one.file)) as opened:
                small = opened.convert("RGB")
                small.thumbnail((320, 320))
                small.save(folder / Path(one.name).with_suffix(".png"))
    shutil.copy(folder / "cat.png", few)
    (few / "bad.png").write_bytes((folder / "cat.png").read_bytes()[:500])
    (none / "notes.txt").write_text("no photograph")
    return Place(
        Folders([folder, few, none]), tmp_path_factory.mktemp("work"), ModelPool(device="cpu"), "offline"
    )


@pytest.fixture(scope="session")
def server(place: Place) -> Iterator[AppServer]:
    with serve(place) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium of the system; it is a failure, not a skip, if there is none."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    for argument in ("--no-first-run", "--disable-background-networking", "--disable-component-update"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, server: AppServer) -> Page:
    """The page, opened anew."""
    opened = Page(browser, server)
    opened.open()
    return opened


@pytest.fixture(scope="session")
def photograph(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photograph to upload, of a cat."""
    (folder, *_) = place.photographs().values()
    path = tmp_path_factory.mktemp("uploads") / "my-cat.png"
    shutil.copy(folder / "cat.png", path)
    return path


os.environ["SE_AVOID_STATS"] = "true"  # Selenium's manager would tell its makers
