"""Writing whole or not at all, and staying within a folder."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from fmbseg.files import (
    DamagedFileError,
    DiskFullError,
    atomic_path,
    check_regular,
    inside,
    open_atomically,
    parse_json,
    read_json,
    remove_leftovers,
    sha256_of,
    write_atomically,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open_atomically(path) as outer:
        outer.write(b"outer, first half; ")
        with open_atomically(path) as inner:
            inner.write(b"inner")
        assert path.read_bytes() == b"inner"  # published
        outer.write(b"outer, second half")
        outer.flush()
        assert path.read_bytes() == b"inner"  # and not changed by who is still writing
    assert path.read_bytes() == b"outer, first half; outer, second half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, b"old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        assert temporary.suffix == ".txt"
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_innermost_file(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError, match=r"no room to write .*inner") as caught,
        open_atomically(tmp_path / "outer"),
        open_atomically(tmp_path / "inner"),
    ):
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_kill_go_and_other_files_stay(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "shard.parquet") as temporary:
        temporary.write_bytes(b"1")
        (tmp_path / temporary.name.replace("shard", "other")).write_bytes(b"left")
    (tmp_path / ".mine.tmp").write_bytes(b"the user's")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "shard.parquet"]


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../a", "a/../../b", "a/..", "", ".", "..", "C:\\a", "C:/a", "..\\a", "a\0", "\\\\h\\a"],
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"leads out of the folder|is not a path of a file"):
        inside(tmp_path, name)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a/b.jpg", "..a/b..jpg", "12:30.jpg", "a:b.jpg", "... a", "./a.jpg"]
)
def test_paths_within_are_joined(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name


def test_a_link_that_leads_out_is_no_place_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
    assert inside(tmp_path / "out", "images/a.jpg") == tmp_path / "out/images/a.jpg"
    with pytest.raises(ValueError, match="by a link"):
        inside(tmp_path / "out", "images/a.jpg", links_may_leave=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes")
def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    for read in (sha256_of, check_regular, read_json):
        with pytest.raises(OSError, match="is a pipe"):
            read(tmp_path / "x.jpg")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', b"\xff\xfe", "", '{"a": 1}}', "[-Infinity]"])
def test_what_is_no_json_is_one_error(text: str | bytes) -> None:
    with pytest.raises(DamagedFileError, match=r"a\.json cannot be read as JSON"):
        parse_json(text, "a.json")


def test_a_byte_order_mark_is_no_damage() -> None:
    assert parse_json(b"\xef\xbb\xbf[1]", "a.json") == [1]
