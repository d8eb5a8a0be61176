"""An export replaces and removes what an export wrote, and nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmbseg.labels.collection import ChangedLabels
from fmbseg.labels.label_set import LabelSet
from fmbseg.written import WouldReplaceError
from tests.labels.formats.everywhere import EXPORTS, FILES, FOLDERS, files, only
from tests.labels.pictures import write_labels

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


@pytest.mark.parametrize("name", EXPORTS)
class TestEveryExport:
    def test_a_file_of_the_users_is_named_and_nothing_is_written(
        self, labels: LabelSet, tmp_path: Path, name: str
    ) -> None:
        out = tmp_path / "out"
        mine = out / FILES[name]
        mine.parent.mkdir(parents=True)
        mine.write_bytes(b"mine")
        with pytest.raises(WouldReplaceError, match=f"{mine.name} exists, and fmbseg did not write it"):
            EXPORTS[name](labels, out)
        assert files(out) == {FILES[name]: b"mine"}

    def test_what_the_user_edited_stays(self, labels: LabelSet, tmp_path: Path, name: str) -> None:
        out = tmp_path / "out"
        EXPORTS[name](labels, out)
        (out / FILES[name]).write_bytes(b"corrected by hand")
        with pytest.raises(WouldReplaceError, match="was changed since fmbseg wrote it"):
            EXPORTS[name](labels, out)
        assert (out / FILES[name]).read_bytes() == b"corrected by hand"

    def test_a_second_export_leaves_nothing_of_the_first(
        self, labels: LabelSet, tmp_path: Path, name: str
    ) -> None:
        EXPORTS[name](labels, tmp_path / "twice")
        (tmp_path / "twice" / "mine.md").write_bytes(b"mine")
        for out in ("twice", "once"):
            EXPORTS[name](only(labels, "deep/b.png", "z.png"), tmp_path / out)
        left = files(tmp_path / "twice")
        assert left.pop("mine.md") == b"mine"
        assert left == files(tmp_path / "once")

    def test_a_replaced_photograph_is_refused(self, labels: LabelSet, tmp_path: Path, name: str) -> None:
        shutil.copyfile(Path(labels.root) / "a.png", Path(labels.root) / "z.png")
        with pytest.raises(ValueError, match=r"z\.png was changed since it was labelled: put it back"):
            EXPORTS[name](labels, tmp_path / "out")
        assert files(tmp_path / "out") == {}

    @pytest.mark.parametrize("path", ["../outside.png", "deep/../../outside.png", "{root}/../outside.png"])
    def test_a_path_that_leaves_its_folder_is_refused(
        self, labels: LabelSet, tmp_path: Path, name: str, path: str
    ) -> None:
        outside = tmp_path / "outside.png"
        shutil.copyfile(Path(labels.root) / "a.png", outside)
        hostile = path.format(root=labels.root)

        def move(image: LabeledImage) -> LabeledImage:
            return replace(image, path=hostile) if image.path == "a.png" else image

        with pytest.raises(ValueError, match=r"leads out of the folder .*photographs"):
            EXPORTS[name](ChangedLabels(labels, move, {}), tmp_path / "out")
        assert files(tmp_path / "out") == {}
        assert outside.read_bytes() == (Path(labels.root) / "a.png").read_bytes()


@pytest.mark.parametrize("name", FOLDERS)
def test_no_link_leads_an_export_out_of_its_folder(labels: LabelSet, tmp_path: Path, name: str) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    inners = {"yolo": "labels", "png": "deep", "datasets": "data", "coco folder": "images"}
    inner = inners.get(name, "photographs")
    (out / inner).symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"leads out of the folder .* by a link"):
        EXPORTS[name](labels, out)
    assert not any(elsewhere.iterdir())


@pytest.mark.parametrize("first", FOLDERS)
@pytest.mark.parametrize("second", FOLDERS)
def test_two_kinds_of_export_are_not_mixed(labels: LabelSet, tmp_path: Path, first: str, second: str) -> None:
    if first == second:
        return
    EXPORTS[first](labels, tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(WouldReplaceError, match=r"holds another export \(.*\): give each its own folder"):
        EXPORTS[second](labels, tmp_path / "out")
    assert files(tmp_path / "out") == before


class TestPhotographsInThePlaceOfTheExport:
    def test_that_lie_in_images(self, tmp_path: Path) -> None:
        root = write_labels(tmp_path).root
        images = tmp_path / "data/images"
        Path(root).rename(tmp_path / "moved")
        (tmp_path / "data").mkdir()
        (tmp_path / "moved").rename(images)
        before = files(tmp_path / "data")
        labels = moved(LabelSet(tmp_path / "labels"), images)
        with pytest.raises(WouldReplaceError, match=r"images/\S+\.png exists, and fmbseg did not write it"):
            EXPORTS["yolo"](labels, tmp_path / "data")
        assert files(tmp_path / "data") == before

    @pytest.mark.parametrize("copy", [True, False])
    def test_that_an_earlier_export_put_there(self, labels: LabelSet, tmp_path: Path, copy: bool) -> None:
        from fmbseg.labels.formats.yolo import export_yolo

        out = tmp_path / "out"
        export_yolo(labels, out, copy=copy)
        before = files(out)
        again = moved(labels, out / "images")
        for val in (0, 0.5):  # in their place, and beside them, where the former would be removed
            with pytest.raises(WouldReplaceError, match="has it from an earlier export: give another folder"):
                export_yolo(again, out, val=val)
        assert files(out) == before
        export_yolo(again, tmp_path / "other")
        assert files(tmp_path / "other") == before


def moved(labels: LabelSet, root: Path) -> LabelCollection:
    """The same set with its photographs in another place."""

    class Moved(ChangedLabels):
        @property
        def root(self) -> Path:
            return root

    return Moved(labels, lambda image: image, {})
