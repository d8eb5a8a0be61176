"""What is not left blank: sums by hand, and the whole benchmark with small random models."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import certainty, certainty_figures, certainty_fit
from benchmarks.certainty_figures import Painted, choose, counts, curve, figures, picture, reliability
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.certainty import CertaintyCurve, HeadCertainty
from fmbseg.models.registries import IMAGE_TEXT, MASK_GENERATORS
from fmbseg.models.text import embed_vocabulary
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import (
    KnowledgePreservation,
    MaskNaming,
    RegionNaming,
    SecondLook,
    SegmentSettings,
    WindowSettings,
)
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone
from tests.segmentation.test_calibration import photographs
from tests.segmentation.test_segmenter import SeeingImageText, Squares

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Seeing(SeeingImageText):
    spec = "seeing-of-certainty"


IMAGE_TEXT.register("seeing-of-certainty")(Seeing)
MASK_GENERATORS.register("squares-of-certainty")(Squares)


def way(*rows: tuple[int, int, int, int]) -> Painted:
    """Photographs of (painted, right, of a known class, all) pixels."""
    return Painted(np.array(rows), np.zeros((len(rows), 1, 2), np.int64))


def test_figures_by_hand() -> None:
    # Class 0 is found on 2 of 3 pixels; class 1 is blank; of 3 pixels without a class one is painted.
    target = np.array([[0, 0, 0, 1, -1, -1, -1, 0]])
    seen = np.array([[0, 0, 1, -1, 1, -1, -1, 0]])
    cells = counts(seen, target, np.array([[True] * 7 + [False]]), 2)
    one = Painted.of([cells], 2)
    assert one.sums.tolist() == [[4, 2, 4, 7]]
    everything = Painted.of([counts(np.zeros_like(target), target, np.ones_like(target, bool), 2)], 2)
    found = {name: figure[0] for name, figure in figures(one, everything).items()}
    assert (found["precision"], found["recall"], found["share"]) == (0.5, 0.5, round(4 / 7, 4))
    assert (found["precision_of_everything"], found["times_the_precision"]) == (0.5, 1.0)
    assert found["part_of_the_recall"] == 0.5  # 2 of 4
    assert found["miou"] == round((2 / 3 + 0) / 2, 4)  # what shows no class does not count


def test_curve_and_reliability_by_hand() -> None:
    levels = {0.5: way((20, 18, 50, 100)), 0.0: way((100, 30, 50, 100)), 0.9: way((0, 0, 50, 100))}
    assert curve(levels) == [[0.0, 1.0, 0.3, 0.6], [0.5, 0.2, 0.9, 0.36]]
    assert reliability(levels) == [[0.0, 80, 0.15], [0.5, 20, 0.9], [0.9, 0, None]]


def test_what_may_keep_too_little_is_not_chosen() -> None:
    everything = way((60, 6, 30, 60), (60, 6, 30, 60))
    often = way((30, 3, 30, 60), (20, 5, 30, 60))  # of two photographs, half of the draws are one twice
    sure = way((40, 4, 30, 60), (30, 4, 30, 60))
    certainty, reached = choose({0.4: sure, 0.6: often}, everything, 0.6)
    assert (certainty, reached["part_of_the_recall"]) == (0.4, [0.6667, 0.6667, 0.6667])
    certainty, reached = choose({0.4: sure, 0.6: often}, everything, 0.5)
    assert (certainty, reached["part_of_the_recall"]) == (0.6, [0.6667, 0.5, 0.8333])
    assert reached["times_the_precision"][0] == 1.6  # 8 of 50 where 12 of 120 were
    assert choose({0.4: sure, 0.6: often}, everything, 0.9)[0] == 0.4  # none keeps it; 0.6 keeps as much


def test_the_picture_is_drawn_by_its_numbers() -> None:
    root = ET.fromstring(picture({"labels": [[0.0, 1.0, 0.0, 1.0]]}, {"labels": (0.5, 1.0)}))
    (line,) = (one for one in root if one.tag.endswith("polyline"))
    (dot,) = (one for one in root if one.tag.endswith("circle"))
    assert line.attrib["points"] == "480,280"  # all painted, none right: the lower right corner
    assert (dot.attrib["cx"], dot.attrib["cy"]) == ("270", "20")
    assert "labels" in [one.text for one in root]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of each fold, and a head that knows its certainty."""
    root = tmp_path_factory.mktemp("certainty")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for index, image in enumerate(photographs(4)):
        Image.fromarray(image).save(root / "images" / f"{index}.png")
        mask = np.random.default_rng(index).choice(np.array([0, 1, 2, 255], np.uint8), image.shape[:2])
        Image.fromarray(mask).save(root / "masks" / f"{index}.png")
    (root / "classes.txt").write_text("0\tbackground\n1\tcat\n2\tcup\n255\tignore\n", encoding="utf-8")
    (root / "manifest.csv").write_text("id,fold\n0,train\n1,train\n2,val\n3,val\n", encoding="utf-8")
    torch.manual_seed(3)
    words = Vocabulary.of(["cat", "cup", "person"])
    known = Prototypes(words, embed_vocabulary(Seeing(), words))
    curve = CertaintyCurve((-1, 1), (0, 1))
    encoder = AlignedEncoder(
        TinyBackbone(),
        AlignmentHead(24, 16),
        Seeing(),
        prototypes=known,
        certainty=HeadCertainty(curve, curve),
    )
    encoder.save_pretrained(root / "head")
    return root


@pytest.fixture
def small(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe and the head, small."""
    curve = CertaintyCurve((-1, 1), (0, 1))
    recipe = replace(
        get_recipe("offline"),
        mask_generator="squares-of-certainty",
        mask_options={},
        labeling={
            "short_side": 64,
            "points_per_class": 1,
            "mask_curve": curve,
            "presence_curve": curve,
        },
        segmenting=SegmentSettings(
            windows=WindowSettings(64, 64, 32),
            preserve=KnowledgePreservation(0.5, short_side=64),
            refine=RegionNaming("squares-of-certainty", min_predicted_iou=0, min_stability=0),
            refine_common=MaskNaming("squares-of-certainty", second_look=SecondLook()),
        ),
    )
    monkeypatch.setattr(certainty_figures, "DRAWS", 20)
    monkeypatch.setattr(certainty, "DEFAULT_HEAD", str(place / "head"))
    monkeypatch.setattr(certainty, "get_recipe", lambda _: recipe)
    monkeypatch.setattr(certainty_fit, "OTHERS", {"lite0": Seeing, "lite1": Seeing})


@pytest.mark.usefixtures("small")
def test_the_whole_at_toy_size(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--data", str(place), "--work", str(place / "work"), "--out", str(place / "out.json")]
    certainty.main([*given, "--picture", str(place / "curve.svg")])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads((place / "out.json").read_text(encoding="utf-8"))
    assert told["photographs"] == {"looked_at": 2, "measured": 2}
    assert [name for name, *_ in told["curves"]] == ["alone", "mixed", "dense", "presence"]
    names = ("stage1", "segmenter", "segmenter_no_background", "head", "dense")
    assert tuple(told["chosen_on_train"]) == names
    assert [told[name]["certainty"] for name in names] == [0.0, 0.5, 0.5, 0.5, 0.0]  # the defaults
    for name in ("head", "dense", "segmenter_no_background"):
        assert told[name]["share_of_everything"] == [1.0, 1.0, 1.0]
        assert told[name]["curve"][0][:2] == [0.0, 1.0]
        assert sum(pixels for _, pixels, _ in told[name]["reliability"]) == _counted(place)
    assert told["segmenter"]["share"][0] < 1  # background is blank
    assert "segmenter" in (place / "curve.svg").read_text(encoding="utf-8")

    def never(*_: Any) -> Mapping[str, Any]:
        raise AssertionError("measured again")

    monkeypatch.setattr(certainty.Measurer, "row", never)
    monkeypatch.setattr(certainty.Measurer, "labels_row", never)
    certainty.main(given)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == told


def _counted(place: Path) -> int:
    """Every second pixel of fold val that is of no crowd."""
    masks = [np.asarray(Image.open(place / "masks" / f"{key}.png"))[1::2, 1::2] for key in (2, 3)]
    return sum(int((mask != 255).sum()) for mask in masks)
