"""A head compared with the labels of its teacher, by hand and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fmbseg import AlignedEncoder, PseudoLabeler, Segmentation, Vocabulary
from fmbseg.aligned.head import AlignmentHead
from fmbseg.cli.main import app
from fmbseg.labels.record import PhotographError
from fmbseg.labels.sheets import comparison_sheet
from fmbseg.segmentation.against_labels import compare_with_labels
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.labeling.colours import painted
from tests.labeling.concepts import ColourConcepts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg import LabelSet


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    """Of 4 x 6 pixels, the left half is red in one photograph, the right one blue in the other; else open."""
    (tmp_path / "photographs").mkdir()
    left, right = (slice(0, 4), slice(0, 3)), (slice(0, 4), slice(3, 6))
    Image.fromarray(painted((4, 6), red=left)).save(tmp_path / "photographs" / "a.png")
    Image.fromarray(painted((4, 6), blue=right)).save(tmp_path / "photographs" / "b.png")
    words = Vocabulary(names=("background", "red", "blue"), background=frozenset({0}))
    labeler = PseudoLabeler(teacher=ColourConcepts())
    return labeler.label(tmp_path / "photographs", words, tmp_path / "labels", progress=False)


class Says:
    """A segmenter that gives all photographs the same map of names."""

    def __init__(self, columns: list[str | None]) -> None:
        self.columns = columns

    def segment(self, image: NDArray[np.uint8], vocabulary: Vocabulary) -> Segmentation:
        assert image.shape == (4, 6, 3)
        names = ("background", "blue", "red")  # in an order of its own
        row = [-1 if name is None else names.index(name) for name in self.columns]
        return Segmentation(np.array([row] * 4), np.ones((4, 6), np.float32), names)


def compared(labels: LabelSet, columns: list[str | None], **options: Any) -> Any:
    return compare_with_labels(labels, Says(columns), progress=False, **options)  # type: ignore[arg-type]


def test_only_what_the_labels_say_counts(labels: LabelSet) -> None:
    found = compared(labels, ["red", "red", "blue", "blue", None, "background"])
    # Of 12 red pixels 8 are red and 4 blue; of 12 blue ones 4 are blue, 4 none, and 4 background.
    assert found.agreement == pytest.approx(12 / 24)
    red, blue, background = (found.classes[name].iou for name in ("red", "blue", "background"))
    assert (red, blue, background) == pytest.approx((8 / 12, 4 / 16, 0))
    assert found.miou == pytest.approx((8 / 12 + 4 / 16 + 0) / 3)
    assert (found.photographs, found.alone) == (2, (0, 0))
    assert [one.first.path for one in found.most_different] == ["b.png", "a.png"]
    assert comparison_sheet(found, labels).width > 0


def test_everywhere_what_is_found_in_the_open_counts_but_background_agrees(labels: LabelSet) -> None:
    found = compared(labels, ["red", "red", "blue", "blue", None, "background"], everywhere=True)
    # In the open lie, in a, 4 blue pixels, 4 of none and 4 of background; in b, 8 red and 4 blue ones.
    red, blue = (found.classes[name].iou for name in ("red", "blue"))
    assert (red, blue) == pytest.approx((8 / 20, 4 / 24))
    assert found.agreement == pytest.approx(12 / 40)  # 24 with a label, 16 in the open with a class


def test_a_changed_photograph_is_told(labels: LabelSet) -> None:
    Image.fromarray(painted((4, 6))).save(Path(labels.root) / "b.png")
    with pytest.raises(PhotographError, match=r"b\.png was changed since it was labelled"):
        compared(labels, ["red"] * 6)


def test_on_the_command_line(labels: LabelSet, tmp_path: Path) -> None:
    torch.manual_seed(0)
    AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText()).save_pretrained(tmp_path / "head")
    given = ["eval", str(tmp_path / "head"), "--against", str(labels.folder)]
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "found.json")])
    assert result.exit_code == 0, result.output
    assert "2 photographs in both: " in result.stdout
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["photographs"] == 2
    assert f"mIoU {found['miou']:.3f}" in result.stdout
    refused = CliRunner().invoke(app, [*given, "--table"])
    assert "give one of --merge, --table and --against" in " ".join(refused.stderr.replace("│", " ").split())
