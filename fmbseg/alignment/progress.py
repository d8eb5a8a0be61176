"""What is shown and kept of a training while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.alignment.logs import TrainingLog
from fmbseg.alignment.trainer import EpochRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from fmbseg.alignment.checkpoint import TrainingState
    from fmbseg.alignment.trainer import Step
    from fmbseg.progress import Progress


def training_bar(bars: Progress, epochs: int, images: int, *, done: int = 0) -> Callable[[Step], None]:
    """Add the bar of a training of ``epochs`` passes over ``images`` photographs; call it with each step.

    Args:
        bars: to add it to.
        epochs: in all.
        images: that each goes through.
        done: images of all epochs that were done before, by a training that goes on.
    """
    bar = bars.bar("training", epochs * images, done=done)

    def show(step: Step) -> None:
        bar.advance(
            step.images,
            description=f"epoch {step.epoch}/{epochs}",
            detail=f"loss {step.loss:.4f}  lr {step.learning_rate:.2e}",
        )

    return show


class TrainingReports:
    """The bar, the log files and the history of a training, from where it starts.

    Args:
        bars: to show the training in.
        epochs: in all.
        images: that each goes through.
        batch: images of a batch.
        start: where a training goes on that was stopped.
        logs: folder for log files, if they are wanted.
        tensorboard: also write events for TensorBoard.

    Attributes:
        history: a record of each epoch that is done, those before ``start`` included.
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
        self._bar = training_bar(bars, epochs, images, done=done)
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
        self._bar(step)
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
