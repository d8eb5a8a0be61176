"""A store of texts that gives back what it was given or nothing, whatever happens to its file."""

from __future__ import annotations

import sqlite3
import warnings
from typing import TYPE_CHECKING

import pytest

from fmbseg.models.mask_generators.row_store import RowStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = RowStore(tmp_path / "a.sqlite", "masks")
    store.write("one", "1")
    store.write("two", "2")
    store.close()
    return store.path


def change(path: Path, statement: str) -> None:
    """Change the file as somebody else would."""
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


def test_texts_come_back(path: Path) -> None:
    store = RowStore(path, "masks")
    assert (store.read("one"), store.read("two"), store.read("three")) == ("1", "2", None)
    store.write("one", "11")
    assert store.read("one") == "11"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE kept SET value='3' WHERE key='one'",
        "UPDATE kept SET value=x'ff' WHERE key='one'",
        "UPDATE kept SET sha256='' WHERE key='one'",
        "UPDATE kept SET (value, sha256)=(SELECT value, sha256 FROM kept WHERE key='two') WHERE key='one'",
    ],
)
def test_a_changed_row_is_told_and_not_believed(path: Path, statement: str) -> None:
    change(path, statement)
    store = RowStore(path, "masks")
    with pytest.warns(UserWarning, match=r"a\.sqlite is damaged in one place: masks of one image"):
        assert store.read("one") is None
    assert store.read("two") == "2"
    store.write("one", "1")
    assert store.read("one") == "1"


def test_a_file_that_is_damaged_as_a_whole_is_renamed(path: Path) -> None:
    damaged = path.read_bytes()[:100] + b"\xff" * 4000
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match=r"a\.sqlite is damaged .* and was renamed to a\.sqlite\.damaged"):
        store = RowStore(path, "masks")
    store.write("one", "1")
    assert store.read("one") == "1"
    assert path.with_name("a.sqlite.damaged").read_bytes() == damaged


def test_damage_that_is_met_later_and_by_two_processes(path: Path) -> None:
    one, other = RowStore(path, "masks"), RowStore(path, "masks")
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 12188)
    with pytest.warns(UserWarning, match="renamed"):
        one.write("one", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert other.read("one") == "1"  # it goes on with the other's new file
    assert one.read("one") == "1"


def test_a_full_disk_is_told_once_and_done_without(path: Path) -> None:
    store = RowStore(path, "masks")
    assert store._database is not None
    store._database.execute("PRAGMA max_page_count=4")  # SQLite's own way to say that a disk is full
    with pytest.warns(UserWarning, match=r"masks are no longer kept in .*\(database or disk is full\)"):
        store.write("long", "x" * 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.write("four", "4")
        assert store.read("one") is None
    assert RowStore(path, "masks").read("one") == "1"


def test_an_older_store_of_another_form_is_set_aside(path: Path) -> None:
    change(path, "DROP TABLE kept")
    change(path, "CREATE TABLE kept (key TEXT PRIMARY KEY, masks TEXT)")
    store = RowStore(path, "masks")
    with pytest.warns(UserWarning, match="renamed"):
        store.write("one", "1")
    assert store.read("one") == "1"


def test_what_is_no_database_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("my notes")
    (tmp_path / "b.sqlite").mkdir()
    for name in ("a.sqlite", "b.sqlite"):
        with pytest.raises(ValueError, match=rf"{name} is not a store of masks, or is damaged: move it away"):
            RowStore(tmp_path / name, "masks")
    assert (tmp_path / "a.sqlite").read_text() == "my notes"
