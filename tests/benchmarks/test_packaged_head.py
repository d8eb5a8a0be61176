"""A head goes into the package rounded, with its figures in its card, and only if it is the better one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmarks.packaged_head import main, rounded
from fmbseg import OpenVocabSegmenter, Vocabulary
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from tests.benchmarks.test_quality_offline import make_data

if TYPE_CHECKING:
    from pathlib import Path

WORDS = Vocabulary.of(["tabby cat", "espresso", "rocket"])


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads of random weights, 0 and 1."""
    folder, text = tmp_path_factory.mktemp("heads"), IMAGE_TEXT.create("conse")
    backbone = BACKBONES.create("efficientnet_lite2")
    with torch.no_grad():
        prototypes = Prototypes(WORDS, embed_vocabulary(text, WORDS))
    for seed in range(2):
        torch.manual_seed(seed)
        head = AlignmentHead(backbone.dim, text.dim, kind="linear")
        AlignedEncoder(backbone, head, text, prototypes=prototypes).save_pretrained(folder / str(seed))
    return folder


def test_rounding_is_to_the_nearest_of_float16(heads: Path) -> None:
    before, after = AlignedEncoder.from_pretrained(heads / "0"), rounded(heads / "0")
    for name, weight in after.head.state_dict().items():
        assert torch.equal(weight, before.head.state_dict()[name].half().float())
    assert after.describe() != before.describe()


def test_the_better_one_stays(heads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_data(tmp_path / "data")

    def run(head: str, *more: str) -> dict[str, Any]:
        into = ["--into", str(tmp_path / "package")]
        main(["--head", str(heads / head), "--data", str(tmp_path / "data"), *into, *more])
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    place = tmp_path / "package" / "offline"
    assert run("0", "--check")["replaced"] is False
    assert not place.exists()
    first = run("0")
    assert first["replaced"] is True
    assert first["miou_of_the_packaged"] is None
    assert first["bytes"] == {path.name: path.stat().st_size for path in place.iterdir()}
    assert f"{100 * first['miou']:.2f} %" in (place / "README.md").read_text()
    kept = OpenVocabSegmenter.from_pretrained(place)
    assert kept.describe() == OpenVocabSegmenter(rounded(heads / "0")).describe()
    assert run("0")["replaced"] is False  # as good as the one that is there
    second = run("1")
    assert second["miou_of_the_packaged"] == first["miou"]
    assert second["replaced"] is (second["miou"] > first["miou"])
