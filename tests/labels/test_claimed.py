"""Shards written whole, each by any worker: the same bytes as one process that goes from start to end."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from fmbseg.files import DamagedFileError
from fmbseg.labels.claimed import Claimed, write_whole_shard
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import shard_positions
from fmbseg.labels.shards import read_about, shard_name
from fmbseg.part import Part
from fmbseg.written import WouldReplaceError
from tests.labels.examples import manifest, record
from tests.labels.test_writer import PHOTOGRAPHS, files, write

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.record import LabeledImage

MANIFEST = manifest(len(PHOTOGRAPHS))


def results(index: int) -> list[tuple[str, LabeledImage | str]]:
    """What labelling the photographs of a shard gives."""
    some = [PHOTOGRAPHS[position] for position in shard_positions(MANIFEST, index)]
    return [(one, f"{one} is damaged") if isinstance(one, str) else (one.path, one) for one in some]


def test_workers_in_any_order_and_twice_make_what_one_process_makes(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    for turn, order in enumerate(itertools.islice(itertools.permutations(range(4)), 0, None, 7)):
        out = tmp_path / str(turn)
        with Claimed(out, MANIFEST) as claimed:
            assert claimed.absent == [0, 1, 2, 3]
            for index in (*order, order[0]):
                write_whole_shard(str(out), claimed.manifest, index, results(index))
        assert files(out) == files(tmp_path / "whole")
        with Claimed(out, MANIFEST) as again:
            assert again.absent == []


def test_one_process_goes_on_with_what_workers_left(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    out = tmp_path / "out"
    write(out, stop_after=3)  # shard 0, and one photograph of shard 1
    with Claimed(out, MANIFEST) as claimed:
        assert claimed.absent == [1, 2, 3]
        assert claimed.absent_of(Part(2, 2)) == [1, 3]
        write_whole_shard(out, claimed.manifest, 2, results(2))
    write(out)
    assert files(out) == files(tmp_path / "whole")


def test_failures_are_part_of_their_shard(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_about(tmp_path / shard_name(2))[1] == [
        {"path": "4.jpg", "error": "4.jpg is damaged"},
        {"path": "5.jpg", "error": "5.jpg is damaged"},
    ]
    for name in ("a\x18\x40" + "0" * 64, 'fmbseg.footer\x18\x40"\\' + "f" * 64, "\u732b", "\udc80"):
        said = name.encode("utf-8", "backslashreplace").decode()
        write_whole_shard(
            tmp_path, LabelSet(tmp_path).manifest, 0, [("0.jpg", record("0.jpg")), (name, said)]
        )
        assert read_about(tmp_path / shard_name(0))[1] == [{"path": name, "error": said}]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_shard_of_too_few_or_too_many_is_not_written(tmp_path: Path, count: int) -> None:
    with (
        Claimed(tmp_path, MANIFEST) as claimed,
        pytest.raises(ValueError, match=f"has 2 photographs, but results of {count} were given"),
    ):
        write_whole_shard(tmp_path, claimed.manifest, 0, (results(0) * 2)[:count])
    assert list(files(tmp_path)) == ["manifest.json"]


def test_a_path_that_leads_out_is_not_written(tmp_path: Path) -> None:
    with Claimed(tmp_path, MANIFEST) as claimed, pytest.raises(ValueError, match="leads out of the folder"):
        write_whole_shard(tmp_path, claimed.manifest, 3, [("../a.jpg", record("../a.jpg"))])
    assert list(files(tmp_path)) == ["manifest.json"]


def test_a_folder_is_claimed_by_one(tmp_path: Path) -> None:
    with Claimed(tmp_path, MANIFEST), pytest.raises(WouldReplaceError, match="another run is writing to"):
        Claimed(tmp_path, MANIFEST).__enter__()
    write(tmp_path / "other", settings={"seed": 1})
    with pytest.raises(ValueError, match=r"settings\.seed is 1, now 0"):
        Claimed(tmp_path / "other", MANIFEST).__enter__()
    (tmp_path / "other" / shard_name(1)).write_bytes(b"PAR1")
    for _ in range(2):  # a refused one lets go of the folder
        with pytest.raises(DamagedFileError, match=r"shard-00001\.parquet is damaged"):
            write(tmp_path / "other", settings={"seed": 1})
