import csv
import errno
import io
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fmbseg.alignment import reports
from fmbseg.alignment.reports import TrainingLog, check_logs
from fmbseg.alignment.trainer import EpochRecord, Step
from fmbseg.files import DiskFullError
from fmbseg.missing_package import MissingPackageError
from fmbseg.written import WouldReplaceError


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(log: TrainingLog, epochs: range, batches: int = 2) -> None:
    with closing(log):
        for epoch in epochs:
            for batch in range(1, batches + 1):
                log.step(Step(epoch, batch, 5, 2.0 / epoch + batch, 0.1))
            log.epoch(EpochRecord(epoch, 2.0 / epoch, 0.1, 90, validation_miou=0.25))


def test_each_batch_and_each_epoch_is_a_row(tmp_path: Path) -> None:
    write(TrainingLog(tmp_path / "logs"), range(1, 3))
    steps = rows(tmp_path / "logs" / "steps.csv")
    assert [(row["epoch"], row["batch"], row["loss"]) for row in steps] == [
        ("1", "1", "3.0"),
        ("1", "2", "4.0"),
        ("2", "1", "2.0"),
        ("2", "2", "3.0"),
    ]
    assert all(float(row["seconds"]) >= 0 for row in steps)
    epochs = rows(tmp_path / "logs" / "epochs.csv")
    assert [(row["epoch"], row["patches"], row["validation_miou"]) for row in epochs] == [
        ("1", "90", "0.25"),
        ("2", "90", "0.25"),
    ]
    assert epochs[0]["validation_loss"] == ""


def test_a_row_is_there_while_the_training_runs(tmp_path: Path) -> None:
    with closing(TrainingLog(tmp_path)) as log:
        log.step(Step(1, 1, 5, 3.0, 0.1))
        assert len(rows(tmp_path / "steps.csv")) == 1


def test_going_on_removes_what_is_done_again(tmp_path: Path) -> None:
    write(TrainingLog(tmp_path), range(1, 3))
    with (tmp_path / "steps.csv").open("a") as file:
        file.write("3,1,5,9.0")  # cut short by a kill
    with closing(TrainingLog(tmp_path, epoch=2, batches=1)) as log:
        log.step(Step(2, 2, 5, 7.0, 0.1))
    found = [(row["epoch"], row["batch"], row["loss"]) for row in rows(tmp_path / "steps.csv")]
    assert found == [("1", "1", "3.0"), ("1", "2", "4.0"), ("2", "1", "2.0"), ("2", "2", "7.0")]
    assert [row["epoch"] for row in rows(tmp_path / "epochs.csv")] == ["1"]


def test_a_new_training_begins_the_files_anew(tmp_path: Path) -> None:
    write(TrainingLog(tmp_path), range(1, 3))
    TrainingLog(tmp_path).close()
    assert rows(tmp_path / "steps.csv") == rows(tmp_path / "epochs.csv") == []


@pytest.mark.parametrize("name", ["steps.csv", "epochs.csv"])
@pytest.mark.parametrize("content", ["x", "day,photographs\n1,2\n", "epoch\n"])
def test_a_file_of_someone_elses_is_left_alone(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(WouldReplaceError, match=f"{name} is damaged, or is not the log of a training: move"):
        TrainingLog(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize("row", [b"\xff,1,5,1,1,1", b"one,1,5,1,1,1", b"1,1,5", b"1,1,5,1,0,0,0"])
def test_a_damaged_row_is_told_before_anything_is_written(tmp_path: Path, row: bytes) -> None:
    write(TrainingLog(tmp_path), range(1, 3))
    content = (tmp_path / "steps.csv").read_bytes() + row + b"\n"
    (tmp_path / "steps.csv").write_bytes(content)
    with pytest.raises(WouldReplaceError, match=r"steps.csv is damaged"):
        TrainingLog(tmp_path, epoch=2)
    assert (tmp_path / "steps.csv").read_bytes() == content


class Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"no room to write .*steps.csv"):
        reports._Table(Full(), tmp_path / "steps.csv", ("epoch",)).row({"epoch": 1})


def test_tensorboard_reads_the_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(TrainingLog(tmp_path, per_epoch=2, tensorboard=True), range(1, 3))
    events = EventAccumulator(str(tmp_path)).Reload()
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    assert found == [(1, 3.0), (2, 4.0), (3, 2.0), (4, 3.0)]
    assert [event.step for event in events.Scalars("epoch/validation_miou")] == [2, 4]
    assert "epoch/validation_loss" not in events.Tags()["scalars"]


def test_tensorboard_that_cannot_be_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need a folder: give `logs`"):
        check_logs(None, tensorboard=True)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'fmbseg\[train\]'"):
        TrainingLog(tmp_path, tensorboard=True)
