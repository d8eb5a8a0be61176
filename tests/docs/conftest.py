"""What the pages speak of, made once: photographs, labels, a head, models; the offline recipe, but tiny."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from fmbseg import PseudoLabeler, Vocabulary
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.files import cache_home
from fmbseg.models.loading.assets import fetch_mobilesam
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.text import embed_vocabulary
from fmbseg.recipes import RECIPES
from fmbseg.segment_settings import RegionNaming, WindowSettings
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.models.concepts.tiny import clipseg_folder, concept_folder, sam3_module
from tests.models.hub_cache import cache_repository
from tests.models.photographs import photograph
from tests.offline_models import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = Vocabulary.of(["cat", "coffee cup", "rocket"])


@contextmanager
def tiny_recipe(home: Path) -> Iterator[None]:
    """The offline recipe with its own models, but fewer points, passes and pixels.

    Args:
        home: of what is fetched and kept meanwhile.
    """
    offline = RECIPES["offline"]
    small = replace(
        offline,
        mask_options={**offline.mask_options, "points_per_side": 3},
        labeling={
            **offline.labeling,
            "short_side": 224,
            "scales": (1.0,),
            "certainty": 0.0,  # three photographs are too few to be choosy
        },
        training={**offline.training, "epochs": 1, "image_size": 96},
        segmenting=replace(
            offline.segmenting,
            windows=WindowSettings(short_side=224, window=None),
            refine=RegionNaming("mobilesam", {**offline.mask_options, "points_per_side": 3}),
        ),
    )
    with pytest.MonkeyPatch.context() as patch, remembered():
        patch.setitem(RECIPES, "offline", small)
        patch.setenv("FMBSEG_HOME", str(home))
        yield


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the mask model and the words' vectors of everyone's, and features of its own."""
    try:
        encoder, _ = fetch_mobilesam()
    except AssetUnavailableError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("home")
    (folder / "mobilesam").symlink_to(encoder.parent)
    vectors = cache_home() / "text"
    vectors.mkdir(parents=True, exist_ok=True)
    (folder / "text").symlink_to(vectors)
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three small photographs: a cat, a cup of coffee, a rocket."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        Image.fromarray(photograph(name)).resize((240, 160)).save((folder / name).with_suffix(".png"))
    return folder


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory, home: Path, photographs: Path) -> tuple[Path, Path]:
    """The folder that pages work in, and what it holds at the start of each."""
    root = tmp_path_factory.mktemp("pages")
    work, kept = root / "work", root / "kept"
    shutil.copytree(photographs, work / "photos")
    shutil.copy(photographs / "chelsea.png", work / "cat.png")
    with Image.open(work / "cat.png") as image:
        image.save(work / "dog.jpg")
    with tiny_recipe(home):
        labeler = PseudoLabeler(mask_generator="superpixels")
        with pytest.warns(UserWarning, match="no point prompts"):
            labeler.label(work / "photos", WORDS, work / "labels", progress=False)
    torch.manual_seed(0)
    text = TinyImageText()
    prototypes = Prototypes(WORDS, embed_vocabulary(text, WORDS))
    encoder = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), text, prototypes=prototypes)
    encoder.save_pretrained(work / "head")
    work.rename(kept)
    return work, kept


def small_teachers(cache: Path) -> None:
    """Random concept models of a few layers, in the Hub's cache under the names of trained ones."""
    sam3 = sam3_module()
    with torch.no_grad():
        sam3.detr_decoder.presence_head.layer3.bias += 4  # every word is there
    folder = concept_folder(cache / "sam3", sam3, "license: other\nlicense_name: sam-license")
    cache_repository(cache, "facebook/sam3", folder)
    cache_repository(cache, "CIDAS/clipseg-rd64-refined", clipseg_folder(cache / "clipseg"))


@pytest.fixture
def workspace(_made: tuple[Path, Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh copy of what was made, as the current folder: photos/, labels/, head/, cat.png, dog.jpg."""
    work, kept = _made
    # Always the same place, because a label set remembers where its photographs lie.
    shutil.copytree(kept, work)
    monkeypatch.chdir(work)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(work / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    # A page lifts it for a file that is trusted; other tests are to find it as it was.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    with tiny_recipe(home):
        yield work
    monkeypatch.undo()
    shutil.rmtree(work)
