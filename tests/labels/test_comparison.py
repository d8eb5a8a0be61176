"""Two label sets compared, by hand."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.labels.comparison import compare
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.sheets import comparison_sheet
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import boxes, empty_record, manifest, record

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.record import LabeledImage

NAMES = ["cat", "dog", "cow"]
Box = tuple[str, int, int, int, int]
WHOLE, LEFT, RIGHT = (0, 0, 4, 6), (0, 0, 4, 3), (0, 3, 4, 6)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (6, 4), (40 * number, 0, 0)).save(folder / f"{number}.png")
    return folder


def labels(
    folder: Path, photographs: Path, names: list[str], found: dict[str, list[Any]], *, prefix: str = ""
) -> LabelSet:
    """A label set: of each photograph its boxes, each with the name of its class."""
    vocabulary = {"names": names, "prompts": [[name] for name in names], "background": []}
    vocabulary["templates"] = ["{}"]
    root = photographs if not prefix else photographs.parent
    with LabelWriter(folder, manifest(len(found), vocabulary=vocabulary, root=str(root))) as writer:
        for path, drawn in found.items():
            digest = sha256((photographs / path).read_bytes()).hexdigest()
            writer.append(_record(prefix + path, digest, names, drawn))
    return LabelSet(folder)


def _record(path: str, digest: str, names: list[str], drawn: list[Any]) -> LabeledImage:
    if not drawn:
        return empty_record(path)
    classes = np.array([names.index(name) for name, _ in drawn], np.int32)
    return record(
        path,
        boxes(*(box for _, box in drawn)),
        sha256=digest,
        detected=tuple(sorted(set(classes.tolist()))),
        class_ids=classes,
        stages=np.full(len(drawn), 20, np.int8),
        similarities=np.ones(len(drawn), np.float32),
        kept=np.ones(len(drawn), np.bool_),
        points=tuple(np.zeros((0, 2), np.float32) for _ in drawn),
    )


@pytest.fixture
def pair(tmp_path: Path, photographs: Path) -> tuple[LabelSet, LabelSet]:
    """Two sets of 24 pixels a photograph; the second has other indices, another order and another root."""
    first = {
        "0.png": [("cat", WHOLE)],
        "1.png": [("cat", LEFT), ("dog", RIGHT)],
        "2.png": [("dog", LEFT)],
    }
    second = {
        "3.png": [("cow", WHOLE)],
        "2.png": [("cow", LEFT), ("dog", RIGHT)],
        "1.png": [("dog", RIGHT), ("cat", LEFT)],
        "0.png": [("cat", LEFT)],
    }
    return (
        labels(tmp_path / "a", photographs, NAMES[:2], first),
        labels(tmp_path / "b", photographs, NAMES[::-1], second, prefix="photographs/"),
    )


def test_by_hand(pair: tuple[LabelSet, LabelSet]) -> None:
    found = compare(*pair)
    assert (found.photographs, found.alone) == (3, (0, 1))
    assert found.names == ("cat", "dog", "cow")
    # cat: 24 + 12 pixels against 12 + 12, of which 24 are the same. dog: 12 + 12 against 12 + 12, of which
    # 12 are the same. cow: none against 12.
    assert {name: one.iou for name, one in found.classes.items()} == pytest.approx(
        {"cat": 24 / 36, "dog": 12 / 36, "cow": 0}
    )
    assert found.classes["cat"].pixels == (36, 24)
    assert found.classes["cow"].photographs == (0, 1)
    assert found.miou == pytest.approx(1 / 3)
    assert found.agreement == pytest.approx((12 + 24 + 0) / (24 + 24 + 24))
    # 2: nothing agrees; 0: half; 1 is the same and is not named.
    assert [(one.first.path, one.agreement) for one in found.most_different] == [("2.png", 0), ("0.png", 0.5)]
    assert [one.first.path for one in compare(*pair, count=1).most_different] == ["2.png"]
    assert compare(*pair, count=0).most_different == ()


def test_the_other_way_round_is_the_same(pair: tuple[LabelSet, LabelSet]) -> None:
    one, other = compare(*pair), compare(*reversed(pair))
    assert (one.miou, one.agreement, one.alone) == (other.miou, other.agreement, other.alone[::-1])
    assert {name: each.iou for name, each in one.classes.items()} == {
        name: each.iou for name, each in other.classes.items()
    }


def test_a_set_with_itself(pair: tuple[LabelSet, LabelSet]) -> None:
    found = compare(pair[0], pair[0])
    assert (found.miou, found.agreement, found.most_different) == (1.0, 1.0, ())
    with pytest.raises(ValueError, match="the label sets do not differ in any photograph"):
        comparison_sheet(found, pair[0])


def test_the_same_file_twice_has_two_partners(tmp_path: Path, photographs: Path) -> None:
    (photographs / "1.png").write_bytes((photographs / "0.png").read_bytes())
    found = {"0.png": [("cat", WHOLE)], "1.png": [("dog", WHOLE)]}
    one = labels(tmp_path / "a", photographs, NAMES, found)
    twice = compare(one, one)
    assert (twice.photographs, twice.alone, twice.agreement) == (2, (0, 0), 1.0)


def test_nothing_in_common_is_told(tmp_path: Path, photographs: Path) -> None:
    one = labels(tmp_path / "a", photographs, NAMES, {"0.png": [("cat", WHOLE)]})
    other = labels(tmp_path / "b", photographs, NAMES, {"1.png": [("cat", WHOLE)]})
    with pytest.raises(ValueError, match=r"no photograph is in both label sets \(1 and 1 photographs\)"):
        compare(one, other)
    with pytest.raises(ValueError, match="count is -1"):
        compare(one, one, count=-1)


def test_the_sheet_shows_both_and_where_they_differ(pair: tuple[LabelSet, LabelSet]) -> None:
    found = compare(*pair)
    sheet = np.asarray(comparison_sheet(found, pair[0], side=60))
    assert sheet.shape[1] == 8 + 3 * (60 + 8)
    # 2.png first, 6 pixels wide in the middle of 60: its left is dog, then cow, and it differs everywhere.
    dog, cow, differs = (sheet[8 + 2, 8 + 68 * column + 28].tolist() for column in range(3))
    assert dog != cow
    assert len({tuple(dog), tuple(cow), (255, 255, 255)}) == 3
    right = [sheet[8 + 2, 8 + 68 * column + 31].tolist() for column in range(3)]
    assert right[1] == dog  # the second set has its dog there
    assert right[2] == differs


class TestCommand:
    def run(self, *arguments: str | Path) -> Any:
        return CliRunner().invoke(app, ["labels", "compare", *map(str, arguments)])

    def test_table_json_and_sheet(self, pair: tuple[LabelSet, LabelSet], tmp_path: Path) -> None:
        folders = [one.folder for one in pair]
        told = self.run(*folders, "--sheet", tmp_path / "sheet.png")
        assert told.exit_code == 0, told.output
        assert "3 photographs in both; 0 in" in told.stdout
        assert "50.0% of the labelled pixels agree, mIoU 0.333" in told.stdout
        assert "0.0% agree: 2.png" in told.stdout
        assert Image.open(tmp_path / "sheet.png").size[0] > 800
        content = json.loads(self.run(*folders, "--json", "--count", "1").stdout)
        assert content["classes"]["cow"] == {"iou": 0.0, "pixels": [0, 12], "photographs": [0, 1]}
        assert content["most_different"] == [{"path": "2.png", "agreement": 0.0}]
        assert content["alone"] == [0, 1]

    def test_what_is_there_is_not_replaced(self, pair: tuple[LabelSet, LabelSet], tmp_path: Path) -> None:
        (tmp_path / "mine.png").write_text("mine")
        told = self.run(pair[0].folder, pair[1].folder, "--sheet", tmp_path / "mine.png")
        assert told.exit_code == 1
        assert (tmp_path / "mine.png").read_text() == "mine"
        assert self.run(pair[0].folder, pair[1].folder, "--sheet", tmp_path / "mine.gif").exit_code == 2

    def test_the_same_labels_have_no_sheet(self, pair: tuple[LabelSet, LabelSet], tmp_path: Path) -> None:
        told = self.run(pair[0].folder, pair[0].folder, "--sheet", tmp_path / "sheet.png")
        assert told.exit_code == 0
        assert "no sheet is drawn: the labels are the same" in told.stderr
        assert not (tmp_path / "sheet.png").exists()
