import base64
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.demo.photographs import packaged_path
from fmbseg.demo.run import DemoReport, DemoSettings, run_demo
from fmbseg.images import ImageError
from fmbseg.labels.label_set import LabelSet
from fmbseg.models.loading.assets import has_mobilesam
from fmbseg.recipes import RECIPES
from fmbseg.segment_settings import RegionNaming, WindowSettings
from fmbseg.segmentation.segmenter import OpenVocabSegmenter
from tests.demo.page import Page, assert_self_contained
from tests.offline_models import remembered

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not has_mobilesam(), reason="MobileSAM is not in the cache; fmbseg models fetch offline"
    ),
]

CLASSES = ("cat", "palace", "lake")
NEW_WORDS = ("kitten", "pagoda", "sea", "tractor")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    folder = tmp_path_factory.mktemp("photographs")
    shutil.copyfile(packaged_path("skimage", "data/chelsea.png"), folder / "Tom & <Cat>.png")
    shutil.copyfile(packaged_path("sklearn", "datasets/images/china.jpg"), folder / "china.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    settings = DemoSettings(
        out=tmp_path_factory.mktemp("demo") / "out",
        images=folder,
        classes=CLASSES,
        new_words=NEW_WORDS,
        training=TrainingSettings(epochs=3, image_size=224, text_weight=1.0, head_kind="mlp", mlp_ratio=0.19),
        progress=False,
    )
    offline = RECIPES["offline"]
    points = {**offline.mask_options, "points_per_side": 6}
    small = replace(
        offline,
        mask_options=points,
        labeling={**offline.labeling, "short_side": 320, "scales": (1.0,)},
        segmenting=replace(
            offline.segmenting,
            windows=WindowSettings(short_side=224, window=None),
            refine=RegionNaming("mobilesam", points),
        ),
    )
    with pytest.MonkeyPatch.context() as patch, remembered():
        patch.setitem(RECIPES, "offline", small)
        with pytest.warns(UserWarning, match="1 of 3 photographs could not be labelled"):
            return run_demo(settings)


@pytest.fixture(scope="module")
def metrics(report: DemoReport) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(report.metrics.read_text(encoding="utf-8"))
    return figures


def test_the_report_needs_no_other_file(report: DemoReport) -> None:
    assert_self_contained(Page.read(report.page))


def test_the_report_shows_every_step_of_every_photograph(report: DemoReport) -> None:
    page = Page.read(report.page)
    steps = ["Photograph", "Similarity to", "Stage 1.1", "Stage 1.2", "Labels for training"]
    steps += ["Before alignment", "After alignment", "Other words"]
    assert len(page.images) == 2 * len(steps)
    alts = [image["alt"] or "" for image in page.images]
    for name, first in (("Tom & <Cat>.png", 0), ("china.jpg", len(steps))):
        for step, alt in zip(steps, alts[first : first + len(steps)], strict=True):
            assert alt.startswith(f"{name}: {step}")
    assert "Similarity to “cat”" in page.text
    assert "Superpixels stood in" not in page.text


def test_the_pictures_are_pictures_of_the_photographs_shape(report: DemoReport) -> None:
    sizes = []
    for image in Page.read(report.page).images:
        head, _, body = (image["src"] or "").partition(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
            sizes.append(picture.size)
    assert sizes == [(451, 300)] * 8 + [(640, 427)] * 8


def test_metrics_count_what_was_found(report: DemoReport, metrics: dict[str, Any]) -> None:
    assert metrics["images"]["labelled"] == 2
    assert [failure["path"] for failure in metrics["images"]["failed"]] == ["broken.jpg"]
    assert [failure["path"] for failure in report.failures] == ["broken.jpg"]
    assert metrics["classes"] == list(CLASSES)
    assert metrics["new_words"] == list(NEW_WORDS)
    assert metrics["detected"] == {"cat": 1, "palace": 1, "lake": 1}
    masks = metrics["masks"]
    assert 1 <= masks["stage1_1"] <= 3
    assert masks["stage1_2"] >= 2
    assert masks["stage1_2_kept"] <= masks["stage1_2"]
    total = sum(photograph["masks"] for photograph in metrics["images"]["photographs"])
    assert masks["stage1_1"] + masks["stage1_2"] == total


def test_metrics_tell_cost_models_and_settings(metrics: dict[str, Any]) -> None:
    assert list(metrics["stages"]) == ["load models", "label", "fit", "segment", "draw"]
    seconds = [cost["seconds"] for cost in metrics["stages"].values()]
    assert metrics["seconds"] == pytest.approx(sum(seconds), abs=0.05)
    peaks = [cost["peak_memory_mb"] for cost in metrics["stages"].values()]
    assert peaks == sorted(peaks)  # the most held so far never falls
    assert metrics["peak_memory_mb"] >= peaks[-1] > 100
    assert metrics["models"]["mask_generator"]["spec"] == "mobilesam"
    assert metrics["superpixels_stood_in"] is False
    assert metrics["settings"]["training"]["image_size"] == 224
    assert metrics["versions"].keys() >= {"fmbseg", "python", "torch"}
    assert metrics["ground_truth"] is None  # the photographs are the user's


def test_the_loss_falls_and_the_head_learns_its_labels(metrics: dict[str, Any]) -> None:
    assert len(metrics["losses"]) == 3
    assert metrics["losses"][-1] < metrics["losses"][0]
    assert 0.5 < metrics["training_agreement"] <= 1  # three classes: chance is far below


def test_labels_and_head_can_be_used_afterwards(report: DemoReport) -> None:
    out = report.page.parent
    assert [record.path for record in LabelSet(out / "labels")] == ["Tom & <Cat>.png", "china.jpg"]
    encoder = OpenVocabSegmenter.from_pretrained(out / "head").encoder
    assert isinstance(encoder, AlignedEncoder)
    words = encoder.prototypes
    assert words is not None
    assert words.vocabulary.names == CLASSES


def test_photographs_in_the_output_folder_are_refused_and_kept(report: DemoReport, tmp_path: Path) -> None:
    photograph = report.page.parent / "photographs" / "mine.png"
    photograph.parent.mkdir()
    shutil.copyfile(packaged_path("skimage", "data/chelsea.png"), photograph)
    settings = DemoSettings(out=report.page.parent, images=photograph.parent, progress=False)
    with pytest.raises(ValueError, match="are in the output folder"):
        run_demo(settings)
    with pytest.raises(ImageError, match="does not exist"):
        run_demo(DemoSettings(out=report.page.parent, images=tmp_path / "missing", progress=False))
    assert photograph.is_file()
    assert report.page.is_file()
