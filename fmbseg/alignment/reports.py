"""What is shown and kept of a training: a bar, and files that other programs read (CSV, TensorBoard)."""

from __future__ import annotations

import csv
import io
import time
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fmbseg.alignment.trainer import EpochRecord, Step
from fmbseg.files import check_regular, telling_of_a_full_disk, write_text
from fmbseg.missing_package import require
from fmbseg.written import WouldReplaceError

if TYPE_CHECKING:
    from types import TracebackType

    from fmbseg.alignment.checkpoint import TrainingState
    from fmbseg.progress import Progress

STEPS_FILE = "steps.csv"
EPOCHS_FILE = "epochs.csv"
_STEP_COLUMNS = (*Step._fields, "seconds")
_EPOCH_COLUMNS = tuple(field.name for field in fields(EpochRecord))


class TrainingReports:
    """The bar, the log files and the history of a training, from where it starts.

    Args:
        bars: where to show the training.
        epochs: how many in all.
        images: how many each epoch goes through.
        batch: images in a batch.
        start: where a training that was stopped continues.
        logs: folder for log files, if they are wanted.
        tensorboard: also write events for TensorBoard.

    Attributes:
        history: a record of each finished epoch, including those before ``start``.
    """

    def __init__(
        self,
        bars: Progress,
        epochs: int,
        images: int,
        batch: int,
        *,
        start: TrainingState | None = None,
        logs: str | Path | None = None,
        tensorboard: bool = False,
    ) -> None:
        epoch, batches = (1, 0) if start is None else (start.epoch, start.batches)
        self.history = [] if start is None else [EpochRecord(**record) for record in start.history]
        self._bars = bars
        done = (epoch - 1) * images + min(batches * batch, images)
        self._epochs = epochs
        self._bar = bars.bar("training", epochs * images, done=done)
        if done:
            bars.note(f"going on after epoch {epoch - 1}, batch {batches} of the next")
        self._log: TrainingLog | None = None
        if logs is not None:
            per_epoch = -(-images // batch)
            self._log = TrainingLog(
                logs, epoch=epoch, batches=batches, per_epoch=per_epoch, tensorboard=tensorboard
            )

    def __enter__(self) -> TrainingReports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log is not None:
            self._log.close()

    def step(self, step: Step) -> None:
        """Report one batch."""
        self._bar.advance(
            step.images,
            description=f"epoch {step.epoch}/{self._epochs}",
            detail=f"loss {step.loss:.4f}  lr {step.learning_rate:.2e}",
        )
        if self._log is not None:
            self._log.step(step)

    def epoch(self, record: EpochRecord) -> None:
        """Report one epoch."""
        self.history.append(record)
        if record.validation_loss is not None:
            self._bars.note(
                f"epoch {record.epoch}: held out loss {record.validation_loss:.4f}, "
                f"accuracy {record.validation_accuracy:.3f}, mIoU {record.validation_miou:.3f}"
            )
        if self._log is not None:
            self._log.epoch(record)


class TrainingLog:
    """Writes each batch to ``steps.csv`` and each epoch to ``epochs.csv``, as soon as it is done.

    Args:
        folder: made if it does not exist.
        epoch: where the training begins; if it continues an earlier one, rows of what is
            done again are removed. With 1, the files start anew.
        batches: how many of that epoch are already done.
        per_epoch: batches in an epoch, to number the steps of TensorBoard.
        tensorboard: also write events for TensorBoard to ``folder``.

    Raises:
        WouldReplaceError: a file of one of these names is there that is not such a log.
        MissingPackageError: TensorBoard is asked for and not installed.
        OSError: a file cannot be written; a full disk is reported with the file's name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = TrainingLog(folder)
        ...     log.step(Step(epoch=1, batch=1, images=5, loss=2.5, learning_rate=0.1))
        ...     log.close()
        ...     print((Path(folder) / "steps.csv").read_text().split(",")[:3])
        ['epoch', 'batch', 'images']
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        epoch: int = 1,
        batches: int = 0,
        per_epoch: int = 1,
        tensorboard: bool = False,
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._per_epoch = per_epoch
        self._start = time.monotonic()
        self._files = ExitStack()
        self._events: Any = None
        check_logs(folder, tensorboard=tensorboard)
        if tensorboard:
            done = (epoch - 1) * per_epoch + batches
            self._events = self._files.enter_context(_events(folder, done + 1))
        self._steps = self._table(folder / STEPS_FILE, _STEP_COLUMNS, (epoch, batches + 1))
        self._epochs = self._table(folder / EPOCHS_FILE, _EPOCH_COLUMNS, (epoch, 0))

    def close(self) -> None:
        """Close the files."""
        with telling_of_a_full_disk(self._folder):
            self._files.close()

    def step(self, step: Step) -> None:
        """Write one batch."""
        self._steps.row({**step._asdict(), "seconds": f"{time.monotonic() - self._start:.3f}"})
        if self._events is not None:
            number = (step.epoch - 1) * self._per_epoch + step.batch
            self._events.add_scalar("loss", step.loss, number)
            self._events.add_scalar("learning_rate", step.learning_rate, number)

    def epoch(self, record: EpochRecord) -> None:
        """Write one epoch."""
        values = asdict(record)
        self._epochs.row(values)
        if self._events is not None:
            for name, value in values.items():
                if name != "epoch" and value is not None:
                    self._events.add_scalar(f"epoch/{name}", value, record.epoch * self._per_epoch)

    def _table(self, path: Path, columns: tuple[str, ...], first: tuple[int, int]) -> _Table:
        kept = [row for number, row in _rows(path, columns) if number < first]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        write_text(path, text.getvalue())
        return _Table(self._files.enter_context(path.open("a", newline="", encoding="utf-8")), path, columns)


class _Table:
    """A CSV file that can be read while it is written."""

    def __init__(self, file: TextIO, path: Path, columns: tuple[str, ...]) -> None:
        self._file, self._path = file, path
        self._writer = csv.DictWriter(file, columns, lineterminator="\n")

    def row(self, values: dict[str, Any]) -> None:
        with telling_of_a_full_disk(self._path):
            self._writer.writerow(values)
            self._file.flush()


def check_logs(folder: str | Path | None, *, tensorboard: bool = False) -> None:
    """Refuse logs that could not be written; writes nothing.

    Args:
        folder: to write to, if any.
        tensorboard: whether events for TensorBoard are wanted as well.

    Raises:
        WouldReplaceError: a file of one of the logs' names is there that is not such a log.
        ValueError: events without a folder for them.
        MissingPackageError: tensorboard is not installed.
    """
    if tensorboard:
        _require_tensorboard(folder)
    if folder is not None:
        for name, columns in ((STEPS_FILE, _STEP_COLUMNS), (EPOCHS_FILE, _EPOCH_COLUMNS)):
            _rows(Path(folder) / name, columns)


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[tuple[int, int], dict[str, str]]]:
    """The complete rows of a log with their epoch and batch; a kill may have cut the last one short.

    Raises:
        WouldReplaceError: it is not a log of these columns.
        OSError: it cannot be read, or is not a regular file.
    """
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8") as file:
            lines = file.readlines()
        reader = csv.DictReader(line for line in lines if line.endswith("\n"))
        rows = list(reader)
        whole = all(None not in (*row, *row.values()) for row in rows)
        numbers = [(int(row["epoch"]), int(row.get("batch", 0))) for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, LookupError, TypeError, csv.Error) as error:
        raise _no_log(path) from error
    # The header is written together with the file, so a file that has anything has its header.
    if path.is_symlink() or not whole or (lines and tuple(reader.fieldnames or ()) != columns):
        raise _no_log(path)
    return list(zip(numbers, rows, strict=True))


def _no_log(path: Path) -> WouldReplaceError:
    return WouldReplaceError(
        f"{path} is damaged, or is not the log of a training: move it away, or give another folder"
    )


def _require_tensorboard(folder: str | Path | None) -> None:
    if folder is None:
        raise ValueError("TensorBoard's events need a folder: give `logs`")
    require("tensorboard", "train", "TensorBoard's events")


def _events(folder: Path, first_step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_step)
