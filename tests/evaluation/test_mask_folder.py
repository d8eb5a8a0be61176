"""Folders of photographs with masks: a tiny one written here, the real one, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.evaluation.mask_folder import MaskFolder, MaskFolderError
from fmbseg.sources.stored_path import local

CLASSES = "0\tbackground\n7\tcat\n3\tdining table\n255\tignore (crowd)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "classes.txt").write_text(CLASSES)
    (tmp_path / "manifest.csv").write_text("id,width,fold\none,3,val\ntwo,2,train\n")
    Image.new("RGB", (3, 2), "red").save(tmp_path / "images" / "one.jpg")
    Image.new("RGB", (2, 1), "blue").save(tmp_path / "images" / "two.png")
    write_mask(tmp_path, "one", [[0, 7, 3], [255, 7, 0]])
    write_mask(tmp_path, "two", [[3, 3]])
    return tmp_path


def write_mask(folder: Path, key: str, values: list[list[int]]) -> None:
    Image.fromarray(np.array(values, dtype=np.uint8)).save(folder / "masks" / f"{key}.png")


def test_classes_and_targets(folder: Path) -> None:
    data = MaskFolder(folder)
    assert data.names == ("cat", "dining table")
    assert [one.key for one in data.photographs] == ["one", "two"]
    (one,) = data.fold("val")
    image, target = data.load(one)
    assert image.shape == (2, 3, 3)
    assert target.tolist() == [[-1, 0, 1], [-1, 0, -1]]
    assert data.load(data.fold("train")[0])[1].tolist() == [[1, 1]]


def test_masks_with_a_palette_are_read_by_their_values(folder: Path) -> None:
    mask = Image.fromarray(np.array([[7, 0, 3], [3, 3, 3]], dtype=np.uint8))
    mask.putpalette([value % 256 for value in range(0, 768 * 5, 5)])
    mask.save(folder / "masks" / "one.png")
    data = MaskFolder(folder)
    assert data.load(data.fold("val")[0])[1].tolist() == [[0, -1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("classes.txt", "0 background\n", r"line 1: '0 background' is not a value"),
        ("classes.txt", "1\tcat\n300\tdog\n", "line 2"),
        ("classes.txt", "1\tcat\n1\tdog\n", "line 2.*repeats"),
        ("classes.txt", "1\tcat\n2\tcat\n", "line 2.*repeats"),
        ("classes.txt", "0\tbackground\n", "names no class"),
        ("manifest.csv", "id,split\none,val\n", "columns id and fold"),
        ("manifest.csv", "id,fold\n", "columns id and fold"),
        ("manifest.csv", "id,fold\nthree,val\n", r"'three'.*images/three\.jpg is missing"),
        ("manifest.csv", "id,fold\none,val\none,val\n", "row 2: the id 'one' is listed twice"),
        ("manifest.csv", "id,fold\none\n", "row 1 has no fold"),
        ("manifest.csv", "id,fold\n,val\n", "row 1 has no id"),
        ("manifest.csv", 'id,fold\n"one' + "x" * 200_000 + ",val\n", "is not a table that can be read"),
        ("manifest.csv", "id,fold\nONE,val\n", r"did you mean 'one'\?"),
        ("manifest.csv", "id,fold\none.jpg,val\n", r"did you mean 'one'\?"),
        ("classes.txt", "1\tcat\n" + "9" * 5000 + "\tdog\n", "line 2"),
        ("classes.txt", "0\tBackground\n1\tvoid\n", "names no class"),
    ],
)
def test_files_that_are_wrong_are_named(folder: Path, file: str, content: str, message: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(MaskFolderError, match=message) as error:
        MaskFolder(folder)
    assert str(folder / file) in str(error.value)


@pytest.mark.parametrize("key", ["../other/one", "/etc/passwd", "a/../../one", "..\\one", "one\0", "."])
def test_ids_that_lead_out(folder: Path, key: str) -> None:
    (folder / "manifest.csv").write_bytes(f'id,fold\n"{key}",val\n'.encode())
    with pytest.raises(MaskFolderError, match=r"manifest\.csv"):
        MaskFolder(folder)


def add(folder: Path, image: str, mask: str | None = None) -> None:
    for name in (f"images/{image}", f"masks/{mask}.png" if mask else None):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (3, 2), 7).save(folder / name)


def listing(folder: Path, *keys: str) -> MaskFolder:
    (folder / "manifest.csv").write_text("id,fold\n" + "".join(f"{key},val\n" for key in keys), "utf-8")
    return MaskFolder(folder)


def test_ids_with_folders(folder: Path) -> None:
    add(folder, "x/one.png", "x/one")
    add(folder, "y/one.png", "y/one")
    found = {one.key: one.image for one in listing(folder, "one", "x/one", "y/one").photographs}
    images = folder / "images"
    assert found == {
        "one": images / "one.jpg", "x/one": images / "x" / "one.png", "y/one": images / "y" / "one.png",
    }  # fmt: skip
    with pytest.raises(MaskFolderError, match=r"lists 'z/one', but .*images/z/one\.jpg is missing"):
        listing(folder, "z/one")


def test_an_id_that_may_be_two_images(folder: Path) -> None:
    add(folder, "x/deep.png", "deep")
    assert listing(folder, "deep").photographs[0].image == folder / "images" / "x" / "deep.png"
    add(folder, "y/deep.jpg")
    with pytest.raises(MaskFolderError, match=r"row 1: the id 'deep' may be .*x/deep\.png or .*y/deep\.jpg"):
        listing(folder, "deep")
    add(folder, "one.png")
    with pytest.raises(MaskFolderError, match=r"the id 'one' may be .*one\.jpg or .*one\.png"):
        listing(folder, "one")


def test_another_unicode_form_of_an_id(folder: Path) -> None:
    add(folder, "be\u0301.jpg", "be\u0301")
    with pytest.raises(MaskFolderError, match="did you mean 'be\u0301'"):
        listing(folder, "b\u00e9")


@pytest.mark.parametrize(
    ("name", "background"),
    [("Background", True), ("_background_", True), ("Ignore", False), ("__ignore__", False), ("void", False),
     ("unlabeled", False), ("IGNORE (crowd)", False)],
)  # fmt: skip
def test_names_of_other_tools_are_no_classes(folder: Path, name: str, background: bool) -> None:
    (folder / "classes.txt").write_text(f"0\t{name}\n7\tcat\n3\ttable\n255\tdontcare\n", "utf-8")
    data = MaskFolder(folder)
    assert data.names == ("cat", "table")
    assert data.background == (frozenset({0}) if background else frozenset())
    assert data.load(data.fold("val")[0])[1].tolist() == [[-1, 0, 1], [-1, 0, -1]]


def test_without_a_manifest_all_images_count(folder: Path) -> None:
    (folder / "manifest.csv").unlink()
    data = MaskFolder(folder)
    assert [(one.key, one.fold) for one in data.photographs] == [("one", "all"), ("two", "all")]
    (folder / "masks" / "two.png").unlink()
    with pytest.raises(MaskFolderError, match=r"two\.png has no mask: .*masks/two\.png is missing"):
        MaskFolder(folder)
    Image.new("RGB", (3, 2)).save(folder / "images" / "one.png")
    write_mask(folder, "two", [[3, 3]])
    with pytest.raises(MaskFolderError, match=r"one\.jpg and .*one\.png are two images with the same name"):
        MaskFolder(folder)


def test_without_images(folder: Path) -> None:
    for image in (folder / "images").iterdir():
        image.unlink()
    with pytest.raises(MaskFolderError, match="has no photographs"):
        MaskFolder(folder)


@pytest.mark.parametrize("file", ["classes.txt", "masks/two.png"])
def test_missing_files_are_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(MaskFolderError, match=Path(file).name):
        MaskFolder(folder)


def test_a_fold_that_is_not_there(folder: Path) -> None:
    with pytest.raises(MaskFolderError, match=r"fold 'test'; its folds are \['train', 'val'\]"):
        MaskFolder(folder).fold("test")


def test_masks_that_are_wrong_are_named(folder: Path) -> None:
    data = MaskFolder(folder)
    (one,) = data.fold("val")
    write_mask(folder, "one", [[0, 7]])
    with pytest.raises(DataSetError, match=r"one\.png has size \(1, 2\).*\(2, 3\)"):
        data.load(one)
    write_mask(folder, "one", [[0, 7, 9], [0, 8, 0]])
    with pytest.raises(DataSetError, match=r"values \[8, 9\], which classes.txt does not list"):
        data.load(one)
    Image.new("RGB", (3, 2)).save(folder / "masks" / "one.png")
    with pytest.raises(DataSetError, match="of mode RGB"):
        data.load(one)
    (folder / "masks" / "one.png").write_text("no mask")
    with pytest.raises(DataSetError, match=r"one\.png cannot be read"):
        data.load(one)
    whole = (folder / "masks" / "two.png").read_bytes()
    (folder / "masks" / "one.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataSetError, match=r"one\.png cannot be read"):
        data.load(one)


def test_the_development_photographs(shared_data: Path) -> None:
    data = MaskFolder(shared_data / "coco")
    assert len(data.names) == 80
    assert (data.names[0], data.names[79]) == ("person", "toothbrush")
    assert (len(data.fold("val")), len(data.fold("train"))) == (68, 34)
    first = data.fold("val")[0]
    image, target = data.load(first)
    assert first.key == "000000000790"
    assert image.shape == (422, 640, 3)
    raw = np.asarray(Image.open(local(first.mask)))
    assert np.array_equal(target == 0, raw == 1)
    assert np.array_equal(target == -1, (raw == 0) | (raw == 255))
