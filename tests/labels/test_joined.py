"""Parts joined are the label set of one run; what does not belong together is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmbseg.files import DamagedFileError
from fmbseg.labels.joined import are_parts, join
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.shards import shard_name
from fmbseg.labels.writer import LabelWriter
from fmbseg.part import Part
from fmbseg.written import WouldReplaceError
from tests.labels.examples import manifest, record
from tests.labels.test_writer import files, write

if TYPE_CHECKING:
    from pathlib import Path


def parts_of(tmp_path: Path, count: int) -> list[Path]:
    folders = [tmp_path / f"part{index}" for index in range(1, count + 1)]
    for index, folder in enumerate(folders, start=1):
        write(folder, part=Part(index, count))
    return folders


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_parts_joined_are_one_run_byte_by_byte(tmp_path: Path, count: int) -> None:
    write(tmp_path / "whole")
    folders = parts_of(tmp_path, count)
    assert are_parts(folders)
    joined = join(reversed(folders), tmp_path / "joined")
    assert files(tmp_path / "joined") == files(tmp_path / "whole")
    assert joined.fingerprint == LabelSet(tmp_path / "whole").fingerprint
    assert join(folders, tmp_path / "joined").fingerprint == joined.fingerprint  # again: nothing to do


def test_parts_are_joined_into_one_of_them(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    folders = parts_of(tmp_path, 3)
    join(folders, folders[1])
    assert files(folders[1]) == files(tmp_path / "whole")


def test_a_part_that_is_missing_or_not_finished_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    folders = parts_of(tmp_path, 2)
    (folders[1] / shard_name(3)).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"1 of 4 shards are in none of the parts, the first .*3\.parquet"
    ):
        join(folders, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_label_sets_of_other_settings_are_no_parts(tmp_path: Path) -> None:
    [first, second] = parts_of(tmp_path, 2)
    write(tmp_path / "other", settings={"seed": 1, "min_crops": 2})
    assert not are_parts([first, tmp_path / "other"])
    with pytest.raises(ValueError, match="seed is 1, now 0"):
        join([first, tmp_path / "other"], tmp_path / "joined")
    with pytest.raises(ValueError, match="seed is 1, now 0"):
        join([first, second], tmp_path / "other")


def test_one_shard_with_two_contents_is_refused(tmp_path: Path) -> None:
    folders = parts_of(tmp_path, 2)
    with LabelWriter(tmp_path / "again", manifest(7), Part(4, 4)) as writer:
        writer.append(record("another.jpg"))
    with pytest.raises(ValueError, match="are the same shard with different labels"):
        join([*folders, tmp_path / "again"], tmp_path / "joined")


def test_a_damaged_part_is_refused(tmp_path: Path) -> None:
    folders = parts_of(tmp_path, 2)
    shard = folders[0] / shard_name(2)
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match=r"shard-00002\.parquet is damaged"):
        join(folders, tmp_path / "joined")


def test_files_of_somebody_else_stay(tmp_path: Path) -> None:
    folders = parts_of(tmp_path, 2)
    target = tmp_path / "joined"
    target.mkdir()
    (target / shard_name(0)).write_text("mine")
    with pytest.raises(WouldReplaceError, match=r"shard-00000\.parquet is there"):
        join(folders, target)
    assert (target / shard_name(0)).read_text() == "mine"


def test_no_part(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are no parts to join"):
        join([], tmp_path)
