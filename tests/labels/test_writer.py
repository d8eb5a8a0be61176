"""Writing labels: going on after a stop at any point, and refusing what would mix two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fmbseg.files import DamagedFileError
from fmbseg.labels.claimed import JOURNAL, LOCK
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.shards import shard_name
from fmbseg.labels.writer import LabelWriter
from fmbseg.part import Part
from tests.labels.examples import empty_record, manifest, record

if TYPE_CHECKING:
    from fmbseg.labels.record import LabeledImage

PHOTOGRAPHS: list[LabeledImage | str] = [
    record("0.jpg"),
    "1.jpg",
    empty_record("2.jpg"),
    record("3.jpg"),
    "4.jpg",
    "5.jpg",
    record("6.jpg"),
]


def write(
    folder: Path | str, stop_after: int | None = None, *, part: Part | None = None, **changes: Any
) -> None:
    """Write what is missing, as a run does; stop after so many photographs."""
    with LabelWriter(folder, manifest(len(PHOTOGRAPHS), **changes), part) as writer:
        for count, position in enumerate(writer.positions()):
            if count == stop_after:
                return
            one = PHOTOGRAPHS[position]
            if isinstance(one, str):
                writer.append_error(one, f"{one} is damaged")
            else:
                writer.append(one)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    write(tmp_path / "whole")
    return files(tmp_path / "whole")


def test_an_uninterrupted_run(whole: dict[str, bytes], tmp_path: Path) -> None:
    assert sorted(whole) == ["manifest.json", *map(shard_name, range(4))]
    assert [image.path for image in LabelSet(tmp_path / "whole")] == ["0.jpg", "2.jpg", "3.jpg", "6.jpg"]
    errors = LabelSet(tmp_path / "whole").errors
    assert [(row["shard"], row["path"]) for row in errors] == [(0, "1.jpg"), (2, "4.jpg"), (2, "5.jpg")]


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_runs_that_stop_every_few_photographs_end_the_same(
    whole: dict[str, bytes], tmp_path: Path, step: int
) -> None:
    folder = tmp_path / "parts"
    for _ in range(-(-len(PHOTOGRAPHS) // step)):
        write(folder, stop_after=step)
    assert files(folder) == whole


def test_a_finished_folder_is_left_alone(whole: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != LOCK}
    write(folder)
    assert {name: (folder / name).stat().st_mtime_ns for name in times} == times
    with (
        LabelWriter(folder, manifest(len(PHOTOGRAPHS))) as writer,
        pytest.raises(ValueError, match="all 7 photographs are already in"),
    ):
        writer.append(record())


def test_a_line_cut_short_by_a_kill_is_written_again(whole: dict[str, bytes], tmp_path: Path) -> None:
    line = len(journal_of(tmp_path / "line", stop_after=3))
    for cut in (1, line // 2, line - 1):
        folder = tmp_path / f"cut{cut}"
        journal = journal_of(folder, stop_after=3)
        (folder / JOURNAL).write_bytes(journal[:cut])
        write(folder)
        assert files(folder) == whole


def journal_of(folder: Path, stop_after: int) -> bytes:
    write(folder, stop_after=stop_after)
    return (folder / JOURNAL).read_bytes()


def test_a_kill_between_the_shard_and_the_new_journal(whole: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    journal = journal_of(folder, stop_after=3)
    write(folder, stop_after=1)  # shard 1 is there now
    (folder / JOURNAL).write_bytes(journal)  # of shard 1
    write(folder)
    assert files(folder) == whole


def test_a_leftover_journal_of_a_finished_run_goes(whole: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "whole" / JOURNAL).write_text('{"shard": 3, "row": {}}\n')
    write(tmp_path / "whole")
    assert files(tmp_path / "whole") == whole


def test_temporary_files_of_a_kill_do_no_harm(whole: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    write(folder, stop_after=1)
    (folder / ".shard-00000.1-2-0123abcd.tmp.parquet").write_bytes(b"half a sha")
    write(folder)
    assert files(folder) == whole


@pytest.mark.parametrize("shard", [0, 1, 2, 3])
def test_a_deleted_shard_alone_is_made_again(whole: dict[str, bytes], tmp_path: Path, shard: int) -> None:
    folder = tmp_path / "whole"
    (folder / shard_name(shard)).unlink()
    write(folder)
    assert files(folder) == whole


def test_a_shard_deleted_from_an_unfinished_run(whole: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    write(folder, stop_after=5)
    (folder / shard_name(0)).unlink()
    with LabelWriter(folder, manifest(len(PHOTOGRAPHS))) as writer:
        assert (writer.position, len(writer.positions()), writer.done) == (0, 5, False)
    write(folder)
    assert files(folder) == whole


def test_errors_that_are_gone_are_no_longer_listed(tmp_path: Path) -> None:
    for error in ("damaged", None):
        with LabelWriter(tmp_path, manifest(1)) as writer:
            for _ in writer.positions():
                if error:
                    writer.append_error("0.jpg", error)
                else:
                    writer.append(record("0.jpg"))
        assert len(LabelSet(tmp_path).errors) == (1 if error else 0)
        if error:
            (tmp_path / shard_name(0)).unlink()


def test_a_shard_of_errors_only(tmp_path: Path) -> None:
    with LabelWriter(tmp_path, manifest(2)) as writer:
        writer.append_error("0.jpg", "damaged")
        assert (writer.position, len(writer.positions())) == (1, 1)
        writer.append_error("1.jpg", "damaged")
        assert (writer.position, len(writer.positions()), writer.done) == (2, 0, True)
    assert list(LabelSet(tmp_path)) == []
    assert len(LabelSet(tmp_path)) == 0
    assert len(LabelSet(tmp_path).errors) == 2


def test_another_configuration_is_refused_and_says_how_it_differs(tmp_path: Path) -> None:
    write(tmp_path, stop_after=1)
    before = files(tmp_path)
    other = {"seed": 3, "min_crops": 2}
    with pytest.raises(ValueError, match=r"another configuration: settings\.seed is 0, now 3\. Use another"):
        write(tmp_path, settings=other)
    with pytest.raises(ValueError, match=r"models\.mask_generator is 'superpixels', now 'mobilesam'"):
        write(tmp_path, models={"image_text": "conse", "mask_generator": "mobilesam", "mask_options": {}})
    with pytest.raises(ValueError, match="shard_size is 2, now 5"):
        write(tmp_path, shard_size=5)
    assert files(tmp_path) == before


def test_the_same_settings_as_a_tuple_are_the_same(tmp_path: Path) -> None:
    for scales in ((100.0, 300.0), [100.0, 300.0]):
        write(tmp_path, settings={"scales": scales})


def test_photographs_that_were_moved_are_found(tmp_path: Path) -> None:
    write(tmp_path, stop_after=3)
    write(tmp_path, root="/moved")
    assert LabelSet(tmp_path).root == Path("/moved")


def test_a_second_writer_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    with LabelWriter(tmp_path, manifest(7)) as writer:
        writer.append(record("0.jpg"))
        with pytest.raises(ValueError, match=r"another run is writing to .*; wait for it"):
            write(tmp_path)
    write(tmp_path)
    assert len(LabelSet(tmp_path)) == 4


def test_a_refused_writer_lets_go_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, stop_after=1)
    with pytest.raises(ValueError, match="another configuration"):
        write(tmp_path, shard_size=3)
    write(tmp_path)


def test_a_failure_inside_keeps_what_was_written(tmp_path: Path, whole: dict[str, bytes]) -> None:
    def fail() -> None:
        with LabelWriter(tmp_path / "failed", manifest(7)) as writer:
            writer.append(record("0.jpg"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with LabelWriter(tmp_path / "failed", manifest(7)) as writer:
        assert writer.position == 1
    write(tmp_path / "failed")
    assert files(tmp_path / "failed") == whole


class TestNothingOfAnotherRunIsTaken:
    """Whole files that do not belong where they lie; nothing is written, and the message says what to do."""

    @pytest.fixture
    def parts(self, tmp_path: Path) -> Path:
        """Two of four shards, and one of two photographs of the third."""
        write(tmp_path / "parts", stop_after=5)
        return tmp_path / "parts"

    @pytest.fixture
    def other(self, tmp_path: Path) -> Path:
        write(tmp_path / "other", stop_after=5, settings={"seed": 1, "min_crops": 2})
        return tmp_path / "other"

    def refused(self, folder: Path, message: str) -> None:
        before = files(folder)
        with pytest.raises(DamagedFileError, match=message):
            write(folder)
        assert files(folder) == before

    def test_shards_that_were_swapped(self, parts: Path) -> None:
        (parts / shard_name(0)).rename(parts / "aside")
        (parts / shard_name(1)).rename(parts / shard_name(0))
        (parts / "aside").rename(parts / shard_name(1))
        self.refused(
            parts, r"shard-00000\.parquet was written as shard 1: delete it and run the same labelling"
        )

    @pytest.mark.parametrize("name", [shard_name(1), "journal.jsonl"])
    def test_a_file_of_another_set(
        self, parts: Path, other: Path, whole: dict[str, bytes], name: str
    ) -> None:
        (parts / name).write_bytes((other / name).read_bytes())
        self.refused(parts, rf"{name}.* belongs to another label set[:.] .*run the same labelling again")
        (parts / name).unlink()
        write(parts)
        assert files(parts) == whole

    def test_a_damaged_journal(self, parts: Path, whole: dict[str, bytes]) -> None:
        journal = parts / JOURNAL
        content = journal.read_bytes()
        for position in range(0, len(content) - 1, 29):
            journal.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
            self.refused(
                parts, r"journal\.jsonl, line 1, is damaged.*Delete it and run the same labelling again"
            )
        journal.write_bytes(content * 2)
        self.refused(parts, r"journal\.jsonl, line 2, is damaged")
        journal.unlink()
        write(parts)
        assert files(parts) == whole

    def test_a_damaged_shard(self, parts: Path) -> None:
        shard = parts / shard_name(1)
        content = shard.read_bytes()
        shard.write_bytes(content[:-90] + b"0" + content[-89:])
        self.refused(parts, r"shard-00001\.parquet is damaged")

    @pytest.mark.parametrize("name", ["journal.jsonl", shard_name(3), "manifest.json"])
    def test_a_file_that_fmbseg_did_not_write(self, tmp_path: Path, name: str) -> None:
        """A folder may hold a user's own files under these names."""
        (tmp_path / name).write_text('{"mine": 1}\n')
        (tmp_path / ".lock").write_text("mine, too")
        with pytest.raises(ValueError, match=name):
            write(tmp_path)
        left = {path.name: path.read_text() for path in tmp_path.iterdir() if path.name != LOCK}
        assert left == {name: '{"mine": 1}\n', ".lock": "mine, too"}


class TestParts:
    """Runs that make every n-th shard of one label set."""

    @pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
    def test_one_after_another_in_one_folder_they_end_as_one_run(
        self, whole: dict[str, bytes], tmp_path: Path, order: tuple[int, ...]
    ) -> None:
        folder = tmp_path / "parts"
        for index in order:
            write(folder, part=Part(index, 3))
        assert files(folder) == whole

    def test_a_part_makes_its_own_shards_and_resumes(self, whole: dict[str, bytes], tmp_path: Path) -> None:
        folder = tmp_path / "second"
        for _ in range(4):  # photographs 2, 3 and 6
            write(folder, stop_after=1, part=Part(2, 2))
        mine = [shard_name(1), shard_name(3)]
        assert {name: whole[name] for name in mine} == {
            name: content for name, content in files(folder).items() if name.startswith("shard")
        }
        with LabelWriter(folder, manifest(len(PHOTOGRAPHS)), Part(2, 2)) as writer:
            assert (writer.done, writer.count, writer.positions()) == (True, 3, [])
        with pytest.raises(FileNotFoundError, match="2 of 4 shards are missing"):
            LabelSet(folder)

    def test_a_part_without_a_shard_is_done(self, tmp_path: Path) -> None:
        with LabelWriter(tmp_path / "fifth", manifest(len(PHOTOGRAPHS)), Part(5, 5)) as writer:
            assert (writer.done, writer.count) == (True, 0)

    def test_the_begun_shard_of_another_part_is_not_lost(self, tmp_path: Path) -> None:
        folder = tmp_path / "parts"
        write(folder, stop_after=1, part=Part(1, 2))
        begun = files(folder)
        with pytest.raises(ValueError, match=r"begun shard 0, which is not of part 2/2: finish the part"):
            write(folder, part=Part(2, 2))
        assert files(folder) == begun
