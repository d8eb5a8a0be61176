"""Image-level labels: read, checked, and put in the place of the presence step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fmbseg import LabelSet, PseudoLabeler
from fmbseg.labeling.image_labels import ImageLabels
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models.mask_generators.superpixels import superpixels
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabulary import Vocabulary
from tests.labeling.colours import ColourEncoder, painted

WORDS = Vocabulary.of(["red", "blue", "white"])
PATHS = ["a.png", "deep/b, c.png", "d.png"]


def read(source: Any) -> list[tuple[int, ...] | None]:
    labels = ImageLabels(source, WORDS, "/root", PATHS)
    return [labels.of(path) for path in PATHS]


def test_a_mapping() -> None:
    given = {"a.png": ["white", "red"], "/root/deep/b, c.png": []}
    assert read(given) == [(0, 2), (), None]
    assert read({Path("a.png"): ("blue",)}) == [(1,), None, None]
    assert read({}) == [None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        'path,class\na.png,white\na.png,red\n"deep/b, c.png"\n',
        'a.png, white ,red,\r\n\r\n"deep/b, c.png",\r\n',
        '\ufeffa.png,red,white\n"deep\\b, c.png",,\n',
    ],
)
def test_a_csv_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_bytes(text.encode())
    assert read(path) == [(0, 2), (), None]
    assert read(str(path)) == [(0, 2), (), None]


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"image_labels names 1 photographs .*: 'e\.png'\. Paths start from /root"
    ):
        read({"a.png": ["red"], "e.png": ["red"]})
    with pytest.raises(
        UnknownNameError, match=r"no class \(in image_labels, a\.png\) 'whit'; did you mean 'white'"
    ):
        read({"a.png": ["whit"]})
    with pytest.raises(ValueError, match=r"is a list of class names: write \['red'\]"):
        read({"a.png": "red"})
    with pytest.raises(ValueError, match=r"absent\.csv cannot be read"):
        read(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9.png,red\n")
    with pytest.raises(ValueError, match=r"latin\.csv cannot be read"):
        read(tmp_path / "latin.csv")
    (tmp_path / "quote.csv").write_text('a.png,"red\n')
    with pytest.raises(ValueError, match=r"quote\.csv cannot be read"):
        read(tmp_path / "quote.csv")


def test_the_hash_is_of_what_is_said_alone(tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("a.png,white,red\n")
    sources: list[Any] = [
        {"a.png": ["red", "white"]},
        {"/root/a.png": ["white", "red"]},
        tmp_path / "known.csv",
    ]
    said = [ImageLabels(source, WORDS, "/root", PATHS).to_manifest() for source in sources]
    assert said[0] == said[1] == said[2]
    assert said[0]["count"] == 1
    other = ImageLabels({"a.png": ["red"]}, WORDS, "/root", PATHS).to_manifest()
    assert other["sha256"] != said[0]["sha256"]


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
class TestLabelling:
    @pytest.fixture
    def photographs(self, tmp_path: Path) -> Path:
        """Three pictures, each red on the left and blue on the right."""
        folder = tmp_path / "photographs"
        half = painted((64, 96), red=(slice(0, 64), slice(0, 48)), blue=(slice(0, 64), slice(48, 96)))
        for name in PATHS:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(half).save(folder / name)
        return folder

    def label(self, photographs: Path, out: Path, **options: Any) -> LabelSet:
        made = PseudoLabeler(
            image_text=ColourEncoder(),
            mask_generator=superpixels(),
            settings=LabelingSettings(short_side=64, keep_fraction=1.0),
        )
        return made.label(photographs, WORDS, out, progress=False, **options)

    def test_they_replace_the_presence_step(self, photographs: Path, tmp_path: Path) -> None:
        known = {"a.png": ["blue"], "deep/b, c.png": []}
        labels = self.label(photographs, tmp_path / "out", image_labels=known)
        first, second, third = labels
        assert [image.detected for image in (first, second, third)] == [(1,), (0, 1), ()]
        assert set(first.class_ids.tolist()) == {1}  # the red half too: nothing else is there to be
        assert set(np.unique(second.label_map())) == {0, 1}
        assert len(third.masks) == 0

    def test_the_manifest_records_them(self, photographs: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        self.label(photographs, out, image_labels={"a.png": ["blue"]})
        said = json.loads((out / "manifest.json").read_text())["image_labels"]
        assert said["count"] == 1
        assert len(said["sha256"]) == 64
        with pytest.raises(ValueError, match=r"image_labels\.sha256 is"):
            self.label(photographs, out, image_labels={"a.png": ["red"]})
        with pytest.raises(ValueError, match=r"image_labels\.count is 1, now None"):
            self.label(photographs, out)
        assert "image_labels" not in self.label(photographs, tmp_path / "without").manifest
