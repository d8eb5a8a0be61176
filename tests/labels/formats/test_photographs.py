"""Names that tools changed are found again; a photograph of another folder never stands for one."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg.labels.formats.photographs import PhotographFinder

if TYPE_CHECKING:
    from pathlib import Path


def finder(folder: Path, *names: str) -> PhotographFinder:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / name)
    return PhotographFinder(folder)


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ("cam2/0001.jpg", "0001.jpg"),
        ("cam2/0001.jpg", "images/cam2/0001.jpg"),
        ("cam2/0001.jpg", "images\\cam2\\0001.jpg"),
        ("cam2/0001.jpg", "./cam2/0001.jpg"),
        ("cam2/0001.jpg", "/home/ann/photos/cam2/0001.jpg"),
        ("cam2/0001.jpg", "C:\\photos\\cam2\\0001.jpg"),
        ("cam2/0001.jpg", "s3://bucket/cam2/0001.jpg"),
        ("cam2/0001.jpg", "mine/cam2/0001.jpg"),
        ("2024/cam2/0001.jpg", "cam2/0001.jpg"),
        ("0001.jpg", "mine/0001.jpg"),
        ("0001.jpg", "default/0001.jpg"),
        ("0001.jpg", "/home/ann/holiday/0001.jpg"),
        ("0001.jpg", "/data/upload/3/1f2e3d4c-0001.jpg"),
        ("0001.jpg", "../../label-studio/data/media/upload/3/1f2e3d4c-0001.jpg"),
        ("0001.jpg", "images/12/1f2e3d4c-0001.jpg"),
        ("a b.jpg", "/data/local-files/?d=mine%2Fa%20b.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("1f2e3d4c-0001.jpg", "images/1f2e3d4c-0001.jpg"),
    ],
)
def test_what_tools_make_of_a_name(tmp_path: Path, there: str, name: str) -> None:
    assert finder(tmp_path / "mine", there).find(name) == there


@pytest.mark.parametrize(
    ("there", "name", "folder"),
    [
        ("cam2/0001.jpg", "cam1/0001.jpg", "cam1"),
        ("cam2/0001.jpg", "images/cam1/0001.jpg", "images/cam1"),
        ("cam2/0001.jpg", "cam1\\0001.jpg", "cam1"),
        ("cam2/0001.jpg", "/data/local-files/?d=cam1%2F0001.jpg", "cam1"),
        ("cam2/0001.jpg", "/home/ann/cam1/0001.jpg", "home/ann/cam1"),
        ("cam2/0001.jpg", "cam1/1f2e3d4c-0001.jpg", "cam1"),
        ("a/cam2/0001.jpg", "a/cam1/0001.jpg", "a/cam1"),
        ("b/cam/0001.jpg", "a/cam/0001.jpg", "a/cam"),
        ("val/0001.jpg", "train/0001.jpg", "train"),
        ("images/0001.jpg", "cam1/0001.jpg", "cam1"),
        ("0001.jpg", "cam1/0001.jpg", "cam1"),
    ],
)
def test_folders_that_disagree_are_both_named(tmp_path: Path, there: str, name: str, folder: str) -> None:
    with pytest.raises(ValueError) as error:
        finder(tmp_path / "mine", there).find(name)
    assert f"{name!r} is in the folder '{folder}', but in {tmp_path / 'mine'} there is '{there}'" in str(
        error.value
    )


def test_two_folders_of_another_machine_are_not_one_here(tmp_path: Path) -> None:
    found = finder(tmp_path / "mine", "1.jpg", "2.jpg", "deep/3.jpg")
    assert found.find("/home/ann/x/1.jpg") == "1.jpg"
    assert found.find("/home/ann/x/deep/3.jpg") == "deep/3.jpg"
    with pytest.raises(
        ValueError, match=r"'/home/ann/x/1.jpg' and '/home/ann/y/2.jpg' are in different folders"
    ):
        found.find("/home/ann/y/2.jpg")


def test_names_that_lead_out(tmp_path: Path) -> None:
    found = finder(tmp_path / "mine", "a.jpg")
    finder(tmp_path / "other", "a.jpg")
    for name in ("../other/a.jpg", "..\\a.jpg", "x/../../a.jpg", "/data/local-files/?d=..%2Fa.jpg"):
        with pytest.raises(ValueError, match="leads out of "):
            found.find(name)
    with pytest.raises(ValueError, match="is there, but not in the folder of the photographs"):
        found.find(str(tmp_path / "other" / "a.jpg"))
    assert found.find(str(tmp_path / "mine" / "a.jpg")) == "a.jpg"
    for name in ("/", "a\0.jpg", "//", "..", "x" * 5000):
        with pytest.raises(ValueError):
            found.find(name)


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ("a.JPG", "a.jpg"),
        ("a.jpeg", "images/a.jpg"),
        ("A.jpg", "a.jpg"),
        ("my cat (1).jpg", "1f2e3d4c-my_cat_1.jpg"),
        ("my cat.jpg", "my_cat.jpg"),
        ("my cat.jpg", "my%20cat.jpg"),
        ("my cat.png", "my-cat_png.rf.0123456789abcdef0123456789abcdef.png"),
        (unicodedata.normalize("NFD", "bär.jpg"), unicodedata.normalize("NFC", "bär.jpg")),
    ],
)
def test_near_misses_are_offered(tmp_path: Path, there: str, name: str) -> None:
    with pytest.raises(ValueError) as error:
        finder(tmp_path / "mine", there).find(name)
    assert f"did you mean {there!r}" in str(error.value)
    assert ("another Unicode form" in str(error.value)) == ("b" in there)
