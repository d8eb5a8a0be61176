"""What the pages, scripts and notebooks speak of, made once: photographs, a label set and a trained head."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg import Aligner, PseudoLabeler
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.recipes import RECIPES
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = ("cat", "coffee cup", "rocket")


@pytest.fixture(scope="session")
def _tiny_recipe() -> Iterator[None]:
    """The offline recipe with its own models, but fewer points, passes and pixels."""
    offline = RECIPES["offline"]
    small = replace(
        offline,
        mask_options={**offline.mask_options, "points_per_side": 3},
        labeling={**offline.labeling, "short_side": 224, "scales": (1.0,)},
        training={**offline.training, "epochs": 1, "image_size": 96},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "offline", small)
        yield


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory, _tiny_recipe: None) -> Path:
    """A folder with `photos/`, `labels/`, `head/`, `dog.jpg` and `cat.png`."""
    root = tmp_path_factory.mktemp("made")
    (root / "photos").mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        image = Image.fromarray(photograph(name)).resize((240, 160))
        image.save((root / "photos" / name).with_suffix(".png"))
    shutil.copy(root / "photos/chelsea.png", root / "cat.png")
    with Image.open(root / "cat.png") as image:
        image.save(root / "dog.jpg")
    with pytest.warns(UserWarning, match="no point prompts"):
        labels = PseudoLabeler(mask_generator="superpixels").label(
            root / "photos", WORDS, root / "labels", progress=False
        )
    settings = TrainingSettings(**{**RECIPES["offline"].training, "image_size": 96})
    Aligner(settings=settings, cache_dir=root / "features").fit(labels).save_pretrained(root / "head")
    return root


@pytest.fixture
def workspace(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was made, as the current folder."""
    for name in ("photos", "labels", "head"):
        shutil.copytree(_made / name, tmp_path / name)
    for name in ("cat.png", "dog.jpg"):
        shutil.copy(_made / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
