"""The labeler over a folder: what it writes, what it records, and what it warns of."""

from __future__ import annotations

import json
import os
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmbseg import LabelSet, PseudoLabeler
from fmbseg.images import ImageError
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labels.claimed import LOCK
from fmbseg.labels.joined import join
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.mask_generators.superpixels import superpixels
from fmbseg.part import Part
from fmbseg.unknown_name import UnknownNameError
from tests.labeling.colours import ColourEncoder, painted
from tests.models.photographs import photograph

WORDS = ["red", "blue", "white"]
LEFT, RIGHT = (slice(0, 64), slice(0, 48)), (slice(0, 64), slice(48, 96))
PICTURES = {
    "b.png": painted((64, 96), red=LEFT),
    "a/two.png": painted((64, 96), blue=LEFT, red=RIGHT),
    "a.PNG": painted((64, 96), blue=RIGHT),
}


def labeler(**changes: float) -> PseudoLabeler:
    chosen = LabelingSettings(**{"short_side": 64, "keep_fraction": 1.0, **changes})  # type: ignore[arg-type]
    return PseudoLabeler(image_text=ColourEncoder(), mask_generator=superpixels(), settings=chosen)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    for name, image in PICTURES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts", "ignore:2 of 12 photographs")
def test_the_number_of_workers_changes_no_byte(photographs: Path, tmp_path: Path) -> None:
    for copy in range(7):
        Image.fromarray(painted((40 + copy, 90), green=LEFT)).save(photographs / f"more {copy}.png")
    for name in ("c.jpg", "a/0.jpg"):
        (photographs / name).write_text("no image")
    written = []
    for workers in (1, 3):
        out = tmp_path / f"{workers} workers"
        labeler().label(photographs, WORDS, out, shard_size=5, workers=workers, progress=False)
        written.append({path.name: path.read_bytes() for path in out.iterdir() if path.name != LOCK})
    assert written[0] == written[1]
    assert {"shard-00002.parquet", "manifest.json"} <= written[0].keys()


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts", "ignore:2 of ")
def test_parts_joined_equal_one_run_to_the_last_byte(photographs: Path, tmp_path: Path) -> None:
    for name in ("c.jpg", "a/0.jpg"):
        (photographs / name).write_text("no image")

    def run(out: Path, part: Part | None = None) -> LabelSet:
        return labeler().label(photographs, WORDS, out, shard_size=2, part=part, progress=False)

    whole = run(tmp_path / "whole")
    first, second = (run(tmp_path / str(index), Part(index, 2)) for index in (1, 2))
    assert [[image.path for image in part] for part in (first, second)] == [["a.PNG"], ["a/two.png", "b.png"]]
    assert [[row["path"] for row in part.errors] for part in (first, second)] == [["a/0.jpg", "c.jpg"], []]
    joined = join([first.folder, second.folder], tmp_path / "joined")
    assert {path.name: path.read_bytes() for path in joined.folder.iterdir()} == {
        path.name: path.read_bytes() for path in whole.folder.iterdir()
    }


def test_workers_must_be_at_least_one(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        labeler().label(photographs, WORDS, tmp_path / "out", workers=0)


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
class TestFolder:
    def test_every_photograph_in_order_and_what_was_used(self, photographs: Path, tmp_path: Path) -> None:
        labels = labeler().label(photographs, WORDS, tmp_path / "out", progress=False)
        assert [image.path for image in labels] == ["a.PNG", "a/two.png", "b.png"]
        for image in labels:
            assert Path(str(labels.image_path(image))).read_bytes()
            assert image.sha256 == sha256((photographs / image.path).read_bytes()).hexdigest()
            assert image.size == (64, 96)
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert manifest["vocabulary"]["names"] == WORDS
        assert manifest["models"] == {
            "image_text": "colour-test",
            "mask_generator": "superpixels",
            "mask_options": {},
        }
        assert manifest["settings"]["short_side"] == 64
        assert manifest["images"]["count"] == 3
        assert manifest["root"] == str(photographs)

    def test_the_label_maps_are_the_pictures(self, photographs: Path, tmp_path: Path) -> None:
        labels = labeler().label(photographs, WORDS, tmp_path / "out", progress=False)
        colours = {0: (255, 0, 0), 1: (0, 0, 255), 2: (255, 255, 255)}
        for image in labels:
            truth = np.full((64, 96), -1)
            for index, colour in colours.items():
                truth[(PICTURES[image.path] == colour).all(axis=-1)] = index
            assert (image.label_map() == truth).mean() > 0.95

    def test_files_instead_of_a_folder(self, photographs: Path, tmp_path: Path) -> None:
        files: list[str | Path] = [photographs / "b.png", str(photographs / "a/two.png")]
        labels = labeler().label(files, WORDS, tmp_path / "out", progress=False)
        assert labels.root == photographs
        assert [image.path for image in labels] == ["a/two.png", "b.png"]
        alone = labeler().label(photographs / "b.png", WORDS, tmp_path / "one", progress=False)
        assert [image.path for image in alone] == ["b.png"]

    def test_a_relative_folder(
        self, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(photographs / "a")
        labels = labeler().label("..", WORDS, tmp_path / "out", progress=False)
        monkeypatch.chdir(tmp_path)
        assert [image.path for image in labels] == ["a.PNG", "a/two.png", "b.png"]
        assert all(Path(str(labels.image_path(image))).is_file() for image in labels)

    def test_a_draw_does_not_depend_on_other_photographs(self, photographs: Path, tmp_path: Path) -> None:
        among = labeler(keep_fraction=0.5).label(photographs, WORDS, tmp_path / "all", progress=False)
        Image.fromarray(PICTURES["b.png"]).save(photographs / "0.png")
        more = labeler(keep_fraction=0.5).label(photographs, WORDS, tmp_path / "more", progress=False)
        kept = {image.path: image.kept.tolist() for image in more}
        assert len(kept) == 4
        for image in among:
            assert kept[image.path] == image.kept.tolist()
            assert 0 < image.kept.sum() < len(image.kept)

    def test_other_settings_words_or_models_are_refused(self, photographs: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        labeler().label(photographs, WORDS, out, progress=False)
        with pytest.raises(ValueError, match=r"settings\.min_area is 0\.001, now 0\.01"):
            labeler(min_area=0.01).label(photographs, WORDS, out, progress=False)
        with pytest.raises(ValueError, match=r"vocabulary\.names is \['red', 'blue', 'white'\], now"):
            labeler().label(photographs, ["red"], out, progress=False)

    def test_other_photographs_are_refused_even_if_their_names_are_the_same(
        self, photographs: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        labeler().label(photographs, WORDS, out, progress=False)
        Image.fromarray(PICTURES["b.png"][:40]).save(photographs / "b.png")
        with pytest.raises(ValueError, match=r"images\.sha256_of_paths_and_sizes is"):
            labeler().label(photographs, WORDS, out, progress=False)
        (photographs / "b.png").unlink()
        with pytest.raises(ValueError, match=r"images\.count is 3, now 2"):
            labeler().label(photographs, WORDS, out, progress=False)

    def test_a_folder_that_was_moved_is_the_same(self, photographs: Path, tmp_path: Path) -> None:
        labeler().label(photographs, WORDS, tmp_path / "out", progress=False)
        moved = photographs.rename(tmp_path / "moved")
        labels = labeler().label(moved, WORDS, tmp_path / "out", progress=False)
        assert labels.root == moved
        assert all(Path(str(labels.image_path(image))).is_file() for image in labels)

    def test_a_deleted_shard_is_made_again_from_its_own_photographs(
        self, photographs: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        labeler().label(photographs, WORDS, out, shard_size=1, progress=False)
        before = {path.name: path.read_bytes() for path in out.glob("shard-*")}
        (out / "shard-00000.parquet").unlink()
        labels = labeler().label(photographs, WORDS, out, shard_size=1, progress=False)
        assert {path.name: path.read_bytes() for path in out.glob("shard-*")} == before
        assert len(labels) == 3

    def test_a_file_name_that_is_not_utf_8(self, photographs: Path, tmp_path: Path) -> None:
        odd = os.fsencode(photographs) + b"/caf\xe9.png"
        try:
            Path(os.fsdecode(odd)).write_bytes((photographs / "b.png").read_bytes())
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        with pytest.warns(UserWarning, match="1 of 4 photographs could not be labelled"):
            labels = labeler().label(photographs, WORDS, tmp_path / "out", progress=False)
        assert len(labels) == 3
        assert "not UTF-8; rename the file" in labels.errors[0]["error"]

    def test_shards_of_no_photograph_are_refused(self, photographs: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="shard_size is 0: it must be 1 or more"):
            labeler().label(photographs, WORDS, tmp_path / "out", shard_size=0)


def test_without_prompts_stage_1_1_is_left_out_with_a_warning(photographs: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"superpixels takes no point prompts: Stage 1\.1 is left out"):
        labels = labeler().label(photographs, WORDS, tmp_path / "out", progress=False)
    assert {stage for image in labels for stage in image.stages.tolist()} == {12}


def test_bad_vocabularies_and_folders_are_told_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty"):
        labeler().label(tmp_path / "empty", WORDS, tmp_path / "out")
    with pytest.raises(ImageError, match="absent"):
        labeler().label(tmp_path / "absent", WORDS, tmp_path / "out")
    with pytest.raises(ValueError, match="the vocabulary is empty"):
        labeler().label(tmp_path, [], tmp_path / "out")
    with pytest.raises(ValueError, match="named twice: 'red'"):
        labeler().label(tmp_path, ["red", "red"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_superpixels_stand_in_where_there_is_neither_npm_nor_mobilesam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "home"))
    with pytest.warns(UserWarning, match=r"no npm is on the PATH.*Superpixels stand in for it") as caught:
        stand_in = PseudoLabeler("offline", image_text=ColourEncoder())
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert stand_in.generator.spec == "superpixels"
    assert stand_in.two_models.mask_options == {}
    with pytest.raises(AssetUnavailableError, match="no npm is on the PATH"):
        PseudoLabeler(image_text=ColourEncoder(), mask_generator="mobilesam")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # asked for by name, they do not stand in
        assert PseudoLabeler(image_text=ColourEncoder(), mask_generator="superpixels").generator


def test_unknown_names_are_told_with_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="offline"):
        PseudoLabeler("ofline")
    with pytest.raises(UnknownNameError, match="superpixels"):
        PseudoLabeler(image_text=ColourEncoder(), mask_generator="superpixel")
    with pytest.raises(ValueError, match="mask_options are for a spec"):
        PseudoLabeler(
            image_text=ColourEncoder(), mask_generator=superpixels(), mask_options={"scales": (100.0,)}
        )


def test_options_of_the_mask_generator_are_recorded(photographs: Path, tmp_path: Path) -> None:
    made = PseudoLabeler(
        image_text=ColourEncoder(),
        mask_generator="superpixels",
        mask_options={"scales": (100.0,)},
        settings=LabelingSettings(short_side=64),
    )
    with pytest.warns(UserWarning, match="no point prompts"):
        made.label(photographs, WORDS, tmp_path / "out", progress=False)
    manifest = LabelSet(tmp_path / "out").manifest
    assert manifest["models"]["mask_options"] == {"scales": [100.0]}
    with (
        pytest.warns(UserWarning, match="no point prompts"),
        pytest.raises(ValueError, match=r"mask_options\.scales is \[100\.0\], now None"),
    ):
        labeler().label(photographs, WORDS, tmp_path / "out", progress=False)


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
def test_what_a_mask_generator_that_is_made_already_was_made_with_is_recorded(
    photographs: Path, tmp_path: Path
) -> None:
    """Else labels of other settings would pass for these, and kept masks of one for those of another."""
    found = {}
    for scales in ((100.0,), (900.0,)):
        made = PseudoLabeler(
            image_text=ColourEncoder(),
            mask_generator=superpixels(scales=scales),
            settings=LabelingSettings(short_side=64, min_area=0.0),
            mask_cache=tmp_path / "masks",
        )
        labels = made.label(photographs, WORDS, tmp_path / f"{scales[0]}", progress=False)
        assert labels.manifest["models"]["mask_options"] == {"scales": list(scales)}
        found[scales] = made.generator.begin(photograph("coffee.png")).everything()
        with pytest.raises(ValueError, match=r"mask_options\.scales is \["):
            labeler().label(photographs, WORDS, labels.folder, progress=False)
    assert len(found[100.0,]) > len(found[900.0,])
