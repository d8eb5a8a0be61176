"""Nothing that fmbseg did not write is replaced, emptied or removed."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from fmbseg.checksums import encode_row
from fmbseg.written import (
    MARKER,
    OwnResults,
    WouldReplaceError,
    WrittenFiles,
    check_folder,
    check_single,
    read_marker,
    single_file,
)

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, files: dict[str, bytes], kind: str = "export") -> None:
    with WrittenFiles(folder, kind) as out:
        out.check(files)
        for name, content in files.items():
            out.write(name, content)


def names(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {name for name in found if not name.startswith(".")}


def test_a_file_of_the_users_stops_everything_before_the_first_write(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"mine")
    with pytest.raises(WouldReplaceError, match=r"b\.txt exists, and fmbseg did not write it"):
        write(tmp_path, {"a.txt": b"1", "b.txt": b"2"})
    assert names(tmp_path) == {"b.txt"}
    assert (tmp_path / "b.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("other", ["folder", "dangling link"])
def test_so_does_whatever_else_has_the_name(tmp_path: Path, other: str) -> None:
    if other == "folder":
        (tmp_path / "a.txt").mkdir()
    else:
        (tmp_path / "a.txt").symlink_to("nowhere")
    with pytest.raises(WouldReplaceError, match=r"a\.txt exists"):
        write(tmp_path, {"a.txt": b"1"})


def test_a_second_run_replaces_the_first_and_removes_what_it_no_longer_has(tmp_path: Path) -> None:
    write(tmp_path, {"labels/x/a.txt": b"1", "labels/b.txt": b"2", "c.txt": b"3"})
    (tmp_path / "labels" / "mine.txt").write_bytes(b"mine")
    write(tmp_path, {"labels/b.txt": b"4"})
    assert names(tmp_path) == {"labels", "labels/b.txt", "labels/mine.txt"}  # x is empty, and went
    assert (tmp_path / "labels/b.txt").read_bytes() == b"4"


def test_what_the_user_edited_is_the_users(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"1", "b.txt": b"2"})
    (tmp_path / "a.txt").write_bytes(b"corrected by hand")
    with pytest.raises(WouldReplaceError, match=r"a\.txt was changed since fmbseg wrote it"):
        write(tmp_path, {"a.txt": b"3"})
    with pytest.warns(UserWarning, match=r"a\.txt was written by an earlier export but changed"):
        write(tmp_path, {"b.txt": b"2"})
    assert (tmp_path / "a.txt").read_bytes() == b"corrected by hand"


def test_another_command_neither_replaces_nor_removes(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"1"})
    write(tmp_path, {"b.txt": b"1"}, kind="report")
    assert names(tmp_path) == {"a.txt", "b.txt"}
    with pytest.raises(WouldReplaceError, match=r"written by another command \(export\)"):
        write(tmp_path, {"a.txt": b"1"}, kind="report")


def test_after_a_stop_at_any_moment_the_same_run_goes_through(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"old", "gone.txt": b"old"})
    with pytest.raises(KeyboardInterrupt), WrittenFiles(tmp_path, "export") as out:  # noqa: PT012
        out.write("a.txt", b"new")
        raise KeyboardInterrupt
    assert names(tmp_path) == {"a.txt", "gone.txt"}  # nothing is removed on an error
    write(tmp_path, {"a.txt": b"newer"})
    assert names(tmp_path) == {"a.txt"}


def test_a_damaged_marker_makes_files_untouchable_rather_than_free(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"1"})
    marker = bytearray((tmp_path / MARKER).read_bytes())
    marker[10] ^= 1
    (tmp_path / MARKER).write_bytes(marker)
    with pytest.raises(WouldReplaceError, match="fmbseg did not write it"):
        write(tmp_path, {"a.txt": b"2"})


def test_links_to_photographs_are_made_anew_and_the_photographs_stay(tmp_path: Path) -> None:
    photograph = tmp_path / "photos" / "a.jpg"
    photograph.parent.mkdir()
    photograph.write_bytes(b"pixels")
    for _ in range(2):
        with WrittenFiles(tmp_path / "out", "export") as out:
            out.link("images/a.jpg", photograph)
    assert (tmp_path / "out/images/a.jpg").readlink() == photograph
    # The folder's own link as the photograph: it leads to the file itself, never to itself.
    with WrittenFiles(tmp_path / "out", "export") as out:
        out.link("images/a.jpg", tmp_path / "out/images/a.jpg")
    assert (tmp_path / "out/images/a.jpg").read_bytes() == b"pixels"
    with pytest.raises(WouldReplaceError), WrittenFiles(tmp_path, "export") as out:
        out.link("photos/a.jpg", photograph)
    assert photograph.read_bytes() == b"pixels"
    assert not photograph.is_symlink()


def test_a_folder_that_is_a_link_out_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="by a link"):
        write(tmp_path / "out", {"labels/a.txt": b"1"})
    assert not list((tmp_path / "elsewhere").iterdir())


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        WrittenFiles(tmp_path, "export"),
        pytest.raises(WouldReplaceError, match="another run is writing"),
        WrittenFiles(tmp_path, "export"),
    ):
        pass


def test_a_single_file_may_be_replaced_by_what_wrote_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "sheet.jpg"
    for content in (b"1", b"2"):
        check_single(path, "sheet")
        with single_file(path, "sheet") as temporary:
            temporary.write_bytes(content)
    assert path.read_bytes() == b"2"
    with pytest.raises(WouldReplaceError, match="did not write it as this"):
        check_single(path, "report")
    path.write_bytes(b"a photograph")
    with pytest.raises(WouldReplaceError, match="was changed"), single_file(path, "sheet"):
        pass
    assert path.read_bytes() == b"a photograph"


def test_own_results_are_known_and_copies_of_photographs_are_none(tmp_path: Path) -> None:
    photograph = tmp_path / "a.jpg"
    photograph.write_bytes(b"pixels")
    with WrittenFiles(tmp_path / "r", "segmentation") as out:
        out.write("overlays/a.jpg", b"overlay")
        out.copy("images/a.jpg", photograph)
    own = OwnResults()
    assert tmp_path / "r/overlays/a.jpg" in own
    assert tmp_path / "r/images/a.jpg" not in own
    assert photograph not in own
    (tmp_path / "r/overlays/a.jpg").write_bytes(b"a photograph of that name")
    assert tmp_path / "r/overlays/a.jpg" not in OwnResults()


def test_what_is_kept_is_not_removed_and_what_is_discarded_is(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"a", "b": b"b", "c": b"c"})
    with WrittenFiles(tmp_path, "export") as out:
        assert out.keep("a")
        assert out.keep("b")
        assert not out.keep("none")
        out.discard("b")
    assert names(tmp_path) == {"a"}  # and c, of which nothing was said, is gone
    with WrittenFiles(tmp_path, "another") as out:
        assert not out.keep("a")


def test_what_was_changed_is_neither_kept_nor_discarded(tmp_path: Path) -> None:
    with WrittenFiles(tmp_path, "export") as out:
        out.write("a", b"a")
        (tmp_path / "a").write_text("edited")
        with pytest.warns(
            UserWarning, match="a was written by an earlier export but changed since: it is kept"
        ):
            out.discard("a")
    with WrittenFiles(tmp_path, "export") as out:
        assert not out.keep("a")
    assert (tmp_path / "a").read_text() == "edited"


@pytest.mark.parametrize("name", ["../mine.txt", "{root}/mine.txt", "a/../../mine.txt"])
def test_a_marker_of_others_removes_nothing_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    out = tmp_path / "out"
    out.mkdir()
    entry = {
        "name": name.format(root=tmp_path),
        "kind": "export",
        "sha256": sha256(b"mine").hexdigest(),
    }
    (out / MARKER).write_bytes(encode_row(entry)[0])
    assert read_marker(out) == {}
    write(out, {"a.txt": b"1"})
    assert (tmp_path / "mine.txt").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "export", "sha256": "0"},
        {"name": "a.txt", "sha256": "0"},
        {"name": "a.txt", "kind": "export"},
        {"name": 5, "kind": "export", "sha256": "0"},
        {"name": "a.txt", "kind": "export", "link": 5},
    ],
)
def test_entries_that_lack_something_are_not_believed(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / MARKER).write_bytes(encode_row(entry)[0])
    assert read_marker(tmp_path) == {}


def test_what_lies_behind_a_folder_that_became_a_link_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, {"deep/a.txt": b"1"})
    (out / "deep").rename(tmp_path / "moved")
    (out / "deep").symlink_to(tmp_path / "moved")
    with pytest.warns(UserWarning, match="leads out of the folder .* by a link.*: what is there stays"):
        write(out, {"b.txt": b"2"})
    assert (tmp_path / "moved" / "a.txt").read_bytes() == b"1"


@pytest.mark.parametrize("other", ["link", "folder", "pipe"])
def test_a_marker_that_is_something_else_is_neither_read_nor_written(tmp_path: Path, other: str) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine.txt"
    out.mkdir()
    mine.write_bytes(b"mine\n")
    if other == "link":
        (out / MARKER).symlink_to(mine)
    elif other == "folder":
        (out / MARKER).mkdir()
    else:
        os.mkfifo(out / MARKER)
    with pytest.raises(WouldReplaceError, match="is no list of what fmbseg wrote"):
        write(out, {"a.txt": b"1"})
    with pytest.raises(WouldReplaceError, match="is no list of what fmbseg wrote"):
        check_folder(out, "export", ["a.txt"])
    with pytest.raises(WouldReplaceError, match="is no list of what fmbseg wrote"):
        check_single(out / "a.txt", "export")
    assert out / "a.txt" not in OwnResults()
    assert mine.read_bytes() == b"mine\n"


@pytest.mark.parametrize("name", ["mine.txt", "mine.txt/out"])
def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with pytest.raises(WouldReplaceError, match=r"mine\.txt.* cannot be a folder, for a file is there"):
        write(tmp_path / name, {"a.txt": b"1"})
    assert (tmp_path / "mine.txt").read_bytes() == b"mine"
