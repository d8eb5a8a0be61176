"""The curve on photographs made here: a row a count, the ceiling apart, and nothing fitted twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.learning_curve import main, parse, true_labels
from fmbseg import PseudoLabeler
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.labeling.settings import LabelingSettings
from tests.benchmarks.test_quality_offline import make_data
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path


def test_true_masks_are_labels(tmp_path: Path) -> None:
    make_data(tmp_path / "data")
    folder = MaskFolder(tmp_path / "data")
    labels = true_labels(folder, "val")
    assert labels.vocabulary.names == folder.names
    for record, one in zip(labels, folder.fold("val"), strict=True):
        target = folder.load(one)[1]
        assert np.array_equal(record.label_map(), target)
        assert record.size == target.shape
        assert record.detected == tuple(np.unique(target[target >= 0]).tolist())
        assert labels.photograph_of(record) == one.image


def test_counts_are_read() -> None:
    found = parse(["--data", "d", "--labels", "l", "--counts", "2,3"])
    assert (found.counts, found.seeds) == ([2, 3], [0])


@pytest.fixture
def labels_of_two(tmp_path: Path) -> Path:
    """Labels of two photographs, by superpixels."""
    (tmp_path / "pool").mkdir()
    for index, name in enumerate(["chelsea.png", "coffee.png"]):
        Image.fromarray(photograph(name)).resize((160, 120)).save(tmp_path / f"pool/{index}.png")
    settings = LabelingSettings(min_crops=1, keep_features=True)
    labeler = PseudoLabeler(mask_generator="superpixels", settings=settings)
    with pytest.warns(UserWarning, match="takes no point prompts"):
        labeler.label(tmp_path / "pool", ["tabby cat", "espresso"], tmp_path / "labels", progress=False)
    return tmp_path / "labels"


@pytest.mark.long
def test_a_row_a_count_and_the_ceiling(
    tmp_path: Path, labels_of_two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data(tmp_path / "data")
    (tmp_path / "data" / "manifest.csv").write_text("id,fold\ncat,val\ncup,train\n")
    training = '{"epochs": 1, "image_size": 96}'
    command = ["--data", str(tmp_path / "data"), "--labels", str(labels_of_two), "--counts", "2,9"]
    command += ["--work", str(tmp_path / "work"), "--training", training, "--heads", "offline"]

    def run(*more: str) -> dict[str, Any]:
        main([*command, *more])
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    first = run()
    assert [row["photographs"] for row in first["rows"]] == [2, 2, 1000]
    assert first["rows"][2]["head"] == "offline"
    assert first["rows"][0] == first["rows"][1]  # there are no more: nothing is fitted again
    assert first["ceiling"]["photographs"] == 1
    assert all(0 <= row["miou"] <= 1 for row in [*first["rows"], first["ceiling"]])
    journal = (tmp_path / "work" / "trials.jsonl").read_text()
    assert len(journal.splitlines()) == 2
    assert run() == first
    assert (tmp_path / "work" / "trials.jsonl").read_text() == journal
    assert run("--no-ceiling") == {name: value for name, value in first.items() if name != "ceiling"}
