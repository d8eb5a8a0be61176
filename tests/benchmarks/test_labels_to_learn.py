"""What the benchmark adds up: pixels of photographs, paired differences, and what label sets hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import labels_to_learn
from benchmarks.labels_to_learn import compared, counts, held, parse
from fmbseg import Vocabulary
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.labels.label_set import LabelSet, save
from fmbseg.labels.writer import LabelWriter
from tests.evaluation.layouts import write_mask
from tests.labels.examples import manifest, record

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = [[2, 0, 0], [0, 2, 0]]
"""Of two pixels of each of two classes, all right; the last column is of pixels without a class."""
HALF = [[1, 1, 0], [0, 1, 1]]


def test_heads_are_compared_photograph_by_photograph() -> None:
    found = {
        "packaged": np.array([RIGHT, RIGHT]),
        "all from nothing": np.array([RIGHT, HALF]),
        "certain from nothing": np.array([HALF, HALF]),
    }
    figures = compared(found)
    assert figures["miou"]["packaged"] == [1, 1, 1]
    # Class 0 has 3 right of 4, and nothing else took its name; class 1 has 3 of 4, and one too many.
    assert figures["miou"]["all from nothing"][0] == pytest.approx((3 / 4 + 3 / 5) / 2, abs=1e-4)
    certain = (1 / 2 + 1 / 3) / 2
    assert figures["miou"]["certain from nothing"] == [round(certain, 4)] * 3
    assert list(figures["all_less_certain"]) == ["from nothing"]
    difference, low, high = figures["all_less_certain"]["from nothing"]
    assert difference == pytest.approx((3 / 4 + 3 / 5) / 2 - certain, abs=1e-4)
    assert (low, high) == (0, round(1 - certain, 4))  # the second photograph twice, or the first


def test_what_a_label_set_holds_is_counted_whether_it_is_shown_or_not(tmp_path: Path) -> None:
    with LabelWriter(tmp_path / "all", manifest(2, settings={"certainty": 0.5})) as writer:
        for name in ("0.jpg", "2.jpg"):
            writer.append(record(name))
    labels = LabelSet(tmp_path / "all")
    only = save(labels.certain(0.8), tmp_path / "certain")  # of three masks one has no certainty, and stays
    assert (held(labels)["masks"], held(only)["masks"]) == (6, 2)
    assert held(labels)["bytes"] == (tmp_path / "all/shard-00000.parquet").stat().st_size
    assert held(only)["bytes"] < held(labels)["bytes"]
    assert held(only)["unknown"] > held(labels)["unknown"]


def test_pixels_of_a_fold_are_counted_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (2, 2)).save(tmp_path / f"images/{name}.png")
        write_mask(tmp_path / f"masks/{name}.png", [[1, 2], [2, 0]])
    (tmp_path / "classes.txt").write_text("0\tbackground\n1\tcat\n2\tdog\n")
    (tmp_path / "manifest.csv").write_text("id,fold\na,val\nb,train\n")

    class Segmenter:
        def __init__(self, aligner: Any, *, settings: Any) -> None:
            assert settings.certainty == 0

        def segment(self, image: Any, words: Any) -> Segmenter:
            self.labels = np.array([[0, 0], [-1, 1]])
            return self

    monkeypatch.setattr(labels_to_learn, "OpenVocabSegmenter", Segmenter)
    folder = MaskFolder(tmp_path)
    found = counts(Any, folder, Vocabulary.of(folder.names), "train")  # type: ignore[arg-type]
    # The cat is found; of the dog one pixel is taken for a cat, one is left blank; background does not count.
    assert found.tolist() == [[[1, 0, 0], [1, 0, 1]]]


def test_the_folds_are_not_the_same_by_default() -> None:
    arguments = parse(["--data", "coco"])
    assert (arguments.learn, arguments.measure) == ("val", "train")
