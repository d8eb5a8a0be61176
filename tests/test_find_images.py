"""Which files of a folder count as images, in what order, and what is said where there are none."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg.images import IMAGE_EXTENSIONS, ImageError, PassedOver, find_images, load_image, passed_over
from fmbseg.written import WrittenFiles

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["b.JPG", "a.png", "Z.tiff", "notes.txt", ".hidden.png", "deep/c.webp", "deep/er/d.Jpeg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "thumb.png").touch()
    return tmp_path


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_images_of_a_folder_in_order(tree: Path) -> None:
    assert names(find_images(tree), tree) == ["Z.tiff", "a.png", "b.JPG", "deep/c.webp", "deep/er/d.Jpeg"]
    assert names(find_images(str(tree), recursive=False), tree) == ["Z.tiff", "a.png", "b.JPG"]


def test_files_and_folders_mixed_without_repetition(tree: Path) -> None:
    found = find_images([tree / "notes.txt", tree / "deep", str(tree / "deep" / "c.webp")])
    assert names(found, tree) == ["deep/c.webp", "deep/er/d.Jpeg", "notes.txt"]
    assert find_images(tree / "a.png") == [tree / "a.png"]
    assert find_images(path for path in [tree / "a.png"]) == [tree / "a.png"]


def test_links_are_followed_once(tree: Path) -> None:
    (tree / "deep" / "loop").symlink_to(tree)
    (tree / "deep" / "again").symlink_to(tree / "deep" / "er")
    found = find_images(tree)
    assert names(found, tree) == ["Z.tiff", "a.png", "b.JPG", "deep/again/d.Jpeg", "deep/c.webp"]


def write_results(folder: Path, *names: str) -> None:
    with WrittenFiles(folder, "segment") as out:
        for name in names:
            out.write(name, b"a picture")


def test_own_results_are_no_input(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = find_images(tree)
    write_results(tree, "e.png")
    write_results(tree / "r1", "a.png", "maps/a.png")
    (tree / "deep" / "link.png").symlink_to(tree / "r1" / "a.png")
    (tree / "linked").symlink_to(tree / "r1" / "maps")
    assert find_images(tree) == before
    monkeypatch.chdir(tree)
    assert names(find_images("deep/../."), Path("deep/..")) == names(before, tree)


def test_copies_of_photographs_and_what_the_user_changed_are_input(tree: Path) -> None:
    (tree / "a.png").write_bytes(b"a photograph")
    with WrittenFiles(tree / "set", "export") as out:
        out.copy("copy.png", tree / "a.png")
        out.link("link.png", tree / "a.png")
        out.write("mask.png", b"a mask")
        out.write("drawn.png", b"a mask")
    (tree / "set" / "drawn.png").write_bytes(b"painted over")
    assert names(find_images(tree / "set"), tree / "set") == ["copy.png", "drawn.png", "link.png"]


def test_photographs_of_an_export_within_count_once(tree: Path) -> None:
    before = find_images(tree)
    with WrittenFiles(tree / "set", "export") as out:
        out.copy("images/copy.png", tree / "a.png")
        out.link("images/link.png", tree / "a.png")
    assert find_images(tree) == before
    assert names(find_images(tree / "set"), tree / "set") == ["images/copy.png", "images/link.png"]
    alone = tree / "exports"
    alone.mkdir()
    (tree / "set").rename(alone / "set")
    assert names(find_images(alone), alone) == ["set/images/copy.png", "set/images/link.png"]


def test_an_own_result_that_is_named_is_refused(tree: Path) -> None:
    write_results(tree / "r1", "a.png")
    with pytest.raises(ImageError, match=r"r1/a\.png is a result that fmbseg wrote, not a photograph; name"):
        find_images([tree / "a.png", tree / "r1" / "a.png"])
    with pytest.raises(ImageError, match=r"no image in .*r1 \(other files: 0, fmbseg's own results: 1\)"):
        find_images(tree / "r1")


def test_what_may_be_a_photograph_and_is_passed_over_is_told(tree: Path) -> None:
    for name in ["IMG_1.HEIC", "deep/IMG_2.heic", "x.CR2", "film.mp4", "scan", "README", "data.yaml", ".raw"]:
        (tree / name).touch()
    write_results(tree / "r1", "head.onnx")
    left = passed_over(tree)
    found = names([Path(path) for path in left.paths], tree)
    assert found == [
        "IMG_1.HEIC",
        "deep/IMG_2.heic",
        "film.mp4",
        "scan",
        "x.CR2",
    ]
    assert left.by_suffix() == {".heic": 2, ".cr2": 1, ".mp4": 1, "without an extension": 1}
    assert str(left).startswith(
        "5 files were passed over (2 .heic, 1 .cr2, 1 .mp4, 1 without an extension: IMG_1.HEIC, IMG_2.heic, "
        "film.mp4 and 2 more): fmbseg does not read these formats"
    )
    assert len(passed_over(tree, recursive=False)) == 4
    assert passed_over([tree / "a.png", tree / "x.CR2"]) == PassedOver()
    assert not passed_over([])
    assert str(passed_over([])) == ""


def test_every_listed_extension_is_one_that_pillow_knows() -> None:
    Image.init()
    newest = {".avif"}  # since Pillow 11.3; before, such a file is an error rather than passed over
    assert set(Image.registered_extensions()) >= IMAGE_EXTENSIONS - newest
    assert all(extension == extension.lower() for extension in IMAGE_EXTENSIONS)


def test_folder_without_images_is_named_with_the_extensions(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    with pytest.raises(ImageError, match=r"no image in the folder .*\(other files: 1\).* \.jpg .*\.png"):
        find_images(tmp_path)


def test_images_below_do_not_count_without_recursion(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.png").touch()
    with pytest.raises(ImageError, match="itself"):
        find_images(tmp_path, recursive=False)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="photos does not exist"):
        find_images(tmp_path / "photos")
    with pytest.raises(ImageError, match="does not exist"):
        find_images([tmp_path / "photos" / "a.png"])
    with pytest.raises(ImageError, match="the list of paths is empty"):
        find_images([])


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder that this process may not read, in one that it may (pytest's own are closed to others)."""
    with TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent) / "locked"
        folder.mkdir()
        (folder / "a.png").touch()
        folder.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # root may read everything
        yield folder
        os.seteuid(user)
        folder.chmod(0o700)


def test_unreadable_folder_is_named(locked: Path) -> None:
    with pytest.raises(ImageError, match=r"locked cannot be read \(Permission denied\); check its perm"):
        find_images(locked)
    with pytest.raises(ImageError, match=r"a.png cannot be read"):
        find_images(locked / "a.png")
    with pytest.raises(ImageError, match=r"a.png cannot be read.*Permission denied"):
        load_image(locked / "a.png")
