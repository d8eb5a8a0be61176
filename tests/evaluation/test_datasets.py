"""Tiny copies of each data set's layout through the real readers, and folders that are half there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg.evaluation.datasets import data_names, open_data
from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.images import ImageError
from fmbseg.sources.stored_path import local
from fmbseg.unknown_name import UnknownNameError
from tests.evaluation import layouts
from tests.evaluation.test_mask_folder import folder  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import partial
    from pathlib import Path
else:
    from functools import partial


@pytest.mark.parametrize(
    ("name", "write", "names", "target"),
    [
        ("voc20", layouts.voc, ("aeroplane", "tvmonitor"), [[-1, 0, -1], [19, -1, -1]]),
        ("voc21", layouts.voc, ("background", "tvmonitor"), [[0, 1, -1], [20, 0, 0]]),
        ("context59", layouts.context, ("aeroplane", "wood"), [[-1, 0, 58], [1, -1, -1]]),
        ("context60", layouts.context, ("background", "wood"), [[0, 1, 59], [2, 0, 0]]),
        *(
            (name, partial(layouts.coco, ending=ending), names, target)
            for name, names, target, endings in (
                ("coco_object80", ("person", "toothbrush"), [[0, 11, 79], [-1, -1, -1]], 3),
                ("coco_object81", ("background", "toothbrush"), [[1, 12, 80], [0, 0, 0]], 3),
                ("coco_stuff171", ("person", "wood"), [[0, 11, 79], [80, 170, -1]], 2),
            )
            for ending in ("", "_labelTrainIds", "_instanceTrainIds")[:endings]
        ),
        (
            "cityscapes19",
            partial(layouts.cityscapes, kind="labelIds"),
            ("road", "bicycle"),
            [[0, 18, -1], [-1, -1, 13]],
        ),
        (
            "cityscapes19",
            partial(layouts.cityscapes, kind="labelTrainIds"),
            ("road", "bicycle"),
            [[0, 18, -1], [-1, -1, 13]],
        ),
        (
            "cityscapes30",
            partial(layouts.cityscapes, kind="labelIds"),
            ("static", "bicycle"),
            [[3, 29, 0], [-1, -1, 22]],
        ),
        ("ade20k150", layouts.ade20k, ("wall", "flag"), [[-1, 0, 149], [7, -1, -1]]),
    ],
)
def test_the_layout_is_read(
    tmp_path: Path,
    name: str,
    write: Callable[[Path], None],
    names: tuple[str, str],
    target: list[list[int]],
) -> None:
    write(tmp_path)
    data = open_data(name, tmp_path)
    assert (data.names[0], data.names[-1]) == names
    assert len(data.names) == len(data.clean_names) == int(name[-2:] if name[-3] not in "1" else name[-3:])
    assert data.has_background == (names[0] == "background")
    image, found = data.load(data.samples[0])
    assert image.shape == (2, 3, 3)
    assert found.tolist() == target


def test_the_set_may_be_its_own_root_and_have_other_splits(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    base = tmp_path / "VOCdevkit" / "VOC2012"
    keys = [sample.key for sample in open_data("voc21", base).samples]
    assert keys == ["2007_000033", "2007_000042"]
    layouts.write_listing(base / "ImageSets/Segmentation/train.txt", "2007_000042")
    assert [sample.key for sample in open_data("voc21", tmp_path, split="train").samples] == keys[1:]
    layouts.cityscapes(tmp_path, "labelIds")
    city = open_data("cityscapes19", tmp_path / "cityscapes")
    assert city.samples[0].key == "frankfurt/frankfurt_000000_000294"


def test_a_set_that_is_half_there_says_what_is_missing_and_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"nowhere does not exist. Get it here: .*pascal/VOC"):
        open_data("voc21", tmp_path / "nowhere")
    with pytest.raises(DataSetError, match=r"VOC2012/ImageSets/Segmentation/val.txt.*Get it here"):
        open_data("voc21", tmp_path)
    layouts.voc(tmp_path)
    base = tmp_path / "VOCdevkit/VOC2012"
    (base / "SegmentationClass/2007_000042.png").unlink()
    with pytest.raises(DataSetError, match=r"SegmentationClass/2007_000042.png is missing \(1 files"):
        open_data("voc21", tmp_path)
    (base / "SegmentationClass/2007_000033.png").unlink()
    with pytest.raises(DataSetError, match=r"2007_000033.png is missing"):
        open_data("voc20", tmp_path)
    (base / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(DataSetError, match=r"val.txt is empty"):
        open_data("voc20", tmp_path)
    (tmp_path / "ade/ADEChallengeData2016/images/validation").mkdir(parents=True)
    with pytest.raises(DataSetError, match=r"no image .*images/validation/\*\.jpg.*sceneparsing"):
        open_data("ade20k150", tmp_path)


def test_thirty_classes_need_the_label_ids(tmp_path: Path) -> None:
    layouts.cityscapes(tmp_path, "labelTrainIds")
    with pytest.raises(DataSetError, match=r"gtFine_labelIds\.png is missing.*cityscapes-dataset"):
        open_data("cityscapes30", tmp_path)


def test_wrong_masks_and_images_are_named(tmp_path: Path) -> None:
    layouts.ade20k(tmp_path)
    data = open_data("ade20k150", tmp_path)
    (sample,) = data.samples
    layouts.write_mask(local(sample.mask), [[0, 151, 0], [200, 0, 0]])
    with pytest.raises(DataSetError, match=r"00000001\.png has the values \[151, 200\], which the set"):
        data.load(sample)
    layouts.write_mask(local(sample.mask), [[0, 1]])
    with pytest.raises(DataSetError, match=r"has size \(1, 2\), but .*\(2, 3\)"):
        data.load(sample)
    Image.new("I;16", (3, 2)).save(local(sample.mask))
    with pytest.raises(DataSetError, match=r"00000001\.png is of mode I"):
        data.load(sample)
    local(sample.image).write_text("no image")
    with pytest.raises(ImageError, match=r"ADE_val_00000001\.jpg is not an image"):
        data.load(sample)


def test_unknown_sets_offer_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'voc21'"):
        open_data("voc-21", ".")
    assert {"voc20", "cityscapes30", "folder", "folder_background"} <= set(data_names())


def test_any_folder_with_a_file_of_names(folder: Path) -> None:  # noqa: F811
    data = open_data("folder", folder)
    assert (data.split, data.names, data.has_background) == ("val", ("cat", "dining table"), False)
    assert data.load(data.samples[0])[1].tolist() == [[-1, 0, 1], [-1, 0, -1]]
    counted = open_data("folder_background", folder, split="train")
    assert counted.names == ("background", "cat", "dining table")
    assert counted.load(counted.samples[0])[1].tolist() == [[2, 2]]
    one = open_data("folder_background", folder)
    assert one.load(one.samples[0])[1].tolist() == [[0, 1, 2], [-1, 1, 0]]
    (folder / "manifest.csv").write_text("id,fold\none,a\ntwo,b\n")
    with pytest.raises(DataSetError, match=r"folds \['a', 'b'\]: say which with split"):
        open_data("folder", folder)
    (folder / "classes.txt").write_text("0\tignore\n7\tcat\n3\tdining table\n255\tignore (crowd)\n")
    with pytest.raises(DataSetError, match="names no 'background'"):
        open_data("folder_background", folder, split="a")


@pytest.mark.parametrize("key", ["../../../elsewhere", "a/../../b", "a\0"])
def test_listed_keys_that_lead_out(tmp_path: Path, key: str) -> None:
    layouts.voc(tmp_path)
    listing = tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    listing.write_text(f"2007_000033\n{key}\n")
    with pytest.raises(DataSetError, match="names no image of the set"):
        open_data("voc21", tmp_path)


def test_listings_that_repeat_or_are_no_text(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    listing = tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    listing.write_text("2007_000033\n2007_000033\n")
    with pytest.raises(DataSetError, match="lists '2007_000033' twice"):
        open_data("voc21", tmp_path)
    listing.write_bytes(b"\xff\xfe")
    with pytest.raises(DataSetError, match=r"val\.txt cannot be read"):
        open_data("voc21", tmp_path)


def test_background_of_another_tool_may_count(folder: Path) -> None:  # noqa: F811 - the fixture
    (folder / "classes.txt").write_text("0\t_background_\n7\tcat\n3\ttable\n255\tvoid\n")
    data = open_data("folder_background", folder)
    assert data.names == ("background", "cat", "table")
    assert data.load(data.samples[0])[1].tolist() == [[0, 1, 2], [-1, 1, 0]]
