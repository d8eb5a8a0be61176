"""Every recipe from photographs to a head that somebody else pulls, its models from a Hub on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image
from typer.testing import CliRunner

from fmbseg import Aligner, LabelSet, OpenVocabSegmenter, PseudoLabeler
from fmbseg.cli.main import app
from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.recipes import RECIPES
from fmbseg.recipes.sources import HubSource, is_cached, sources_of
from tests.hub.client import turn_to
from tests.hub.server import Hub, running_hub
from tests.models.photographs import photograph
from tests.recipes.tiny_hub import serve, shrink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = ["cat", "coffee cup"]
KNOWN = {"chelsea.png": ["cat"], "coffee.png": ["coffee cup"]}  # random models find one thing everywhere
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(scope="module", autouse=True)
def hub(home: Path) -> Iterator[Hub]:
    with running_hub() as server, pytest.MonkeyPatch.context() as patch:
        turn_to(server, home, patch)
        shrink(patch)
        patch.delenv("FMBSEG_RECIPE")
        patch.setattr("fmbseg.recipes.auto.device_gigabytes", lambda _device: 16.0)
        yield server


@pytest.fixture(scope="module")
def photographs(home: Path) -> Path:
    folder = home / "photographs"
    folder.mkdir()
    for name in ("chelsea.png", "coffee.png"):
        Image.fromarray(photograph(name)).resize((96, 64)).save(folder / name)
    return folder


def whole_chain(recipe: str, photographs: Path, work: Path, cat: str = "cat", **given: Any) -> None:
    """Label, with ``cat`` as the word for the cat, fit, segment, push and pull."""
    words, known = [cat, WORDS[1]], {**KNOWN, "chelsea.png": [cat]}
    labeler = PseudoLabeler(recipe, **given)
    labels = labeler.label(photographs, words, work / "labels", image_labels=known, progress=False)
    assert len(labels) == 2
    assert not labels.errors
    assert labels.origin["models"]["recipe"] == recipe
    aligner = Aligner(features_dir=work / "features").fit(labels, progress=False)  # that of the labels
    assert aligner.encoder.config.training["labels"]["models"]["recipe"] == recipe
    segmenter = OpenVocabSegmenter(aligner)
    segmenter.push_to_hub(f"alice/{recipe}")
    wanted = segmenter.segment(photographs / "chelsea.png", ["cat", "bus"])
    pulled = OpenVocabSegmenter.from_pretrained(f"alice/{recipe}")
    found = pulled.segment(photographs / "chelsea.png", ["cat", "bus"])
    np.testing.assert_array_equal(found.labels, wanted.labels)
    hub = HubOptions(local_files_only=True)
    for source in sources_of(RECIPES[recipe]):
        assert isinstance(source, HubSource)
        assert is_cached(source, hub)


def test_base_by_auto_on_the_command_line(hub: Hub, photographs: Path, home: Path) -> None:
    serve(hub, "base", home / "made")
    work, run = home / "base", CliRunner()
    known = home / "known.csv"
    known.write_text("".join(f"{path},{','.join(names)}\n" for path, names in KNOWN.items()))
    command = ["label", str(photographs), "--classes", ",".join(WORDS), "--image-labels", str(known)]
    done = run.invoke(app, [*command, "--out", str(work / "labels")])
    assert done.exit_code == 0, done.output
    first = done.stderr.splitlines()[0]
    assert first.startswith("recipe base (for a laptop: CLIP ViT-B/16, SAM ViT-B, DINOv2 ViT-B/14): ")
    assert "1.3 GB of its files are fetched now; not tipsv2: it needs a GPU; not paper: it needs" in first
    assert first.endswith("; choose another by recipe=NAME, --recipe NAME or FMBSEG_RECIPE=NAME")
    models = LabelSet(work / "labels").origin["models"]
    assert (models["recipe"], models["image_text"]) == ("base", "open_clip:ViT-B-16-quickgelu/openai")
    done = run.invoke(app, ["fit", str(work / "labels"), "--out", str(work / "head")])
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("recipe base (")
    assert f": that of {work / 'labels'};" in done.stderr.splitlines()[0]
    segment = ["segment", str(photographs), "--classes", "cat,bus", "--head", "alice/by-auto"]
    assert run.invoke(app, ["push", str(work / "head"), "alice/by-auto"]).exit_code == 0
    done = run.invoke(app, [*segment, "--out", str(work / "results")])
    assert done.exit_code == 0, done.output
    assert len(list((work / "results").glob("*_classes.png"))) == 2


def test_labels_that_are_gone_on_with_keep_their_recipe(
    photographs: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever auto would choose by now: here the Hub is gone, and the memory, too."""
    monkeypatch.setattr("fmbseg.recipes.auto.device_gigabytes", lambda _device: 1.0)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = home / "base" / "labels"
    before = LabelSet(folder).fingerprint
    (folder / "shard-00000.parquet").unlink()
    labels = PseudoLabeler().label(photographs, WORDS, folder, image_labels=KNOWN, progress=False)
    assert labels.fingerprint == before
    assert capsys.readouterr().err.startswith("recipe base (")
    monkeypatch.setenv("FMBSEG_RECIPE", "paper")
    again = PseudoLabeler().label(photographs, WORDS, folder, image_labels=KNOWN, progress=False)
    assert again.fingerprint == before
    assert Aligner(features_dir=home / "features").feature_gigabytes(labels) > 0


@pytest.mark.parametrize("recipe", ["base", "tipsv2", "paper"])
def test_an_image_text_model_and_a_mask_model(hub: Hub, photographs: Path, home: Path, recipe: str) -> None:
    serve(hub, recipe, home / "made")
    whole_chain(recipe, photographs, home / recipe / "named")


def test_sam3(hub: Hub, photographs: Path, home: Path) -> None:
    serve(hub, "sam3", home / "made")
    anything = CompetitionSettings(min_presence=0, min_score=0, min_pixel_score=0)
    whole_chain("sam3", photographs, home / "sam3", settings=anything)
    manifest = LabelSet(home / "sam3" / "labels").origin["models"]
    assert (manifest["teacher"], manifest["license"]) == ("hf-sam3:facebook/sam3", "sam-license")


def test_grounded(hub: Hub, photographs: Path, home: Path) -> None:
    serve(hub, "grounded", home / "made")
    anything = CompetitionSettings(min_presence=0, min_score=0, min_pixel_score=0)
    whole_chain("grounded", photographs, home / "grounded", "sofa", settings=anything)  # a cat it never finds
