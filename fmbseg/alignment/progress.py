"""What is shown while a head is trained: one bar for each stretch of work, on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from fmbseg.alignment.trainer import Step

T = TypeVar("T")


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s")


class FitProgress:
    """Bars with images done, images a second and time left; the one of the training also with its loss.

    Args:
        enabled: False shows nothing.
        console: where to; standard error if not given.
    """

    def __init__(self, enabled: bool, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console or Console(stderr=True),
            disable=not enabled,
        )
        self._enabled = enabled

    def __enter__(self) -> FitProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        if self._enabled:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Go through ``items`` under a bar."""
        task = self._progress.add_task(description, total=total, detail="")
        for item in items:
            yield item
            self._progress.advance(task)

    def training(self, epochs: int, images: int) -> TrainingBar:
        """The bar of a training of ``epochs`` passes over ``images`` photographs."""
        return TrainingBar(self._progress, epochs, images)


class TrainingBar:
    """The training's bar; call it with each step."""

    def __init__(self, progress: Progress, epochs: int, images: int) -> None:
        self._progress = progress
        self._epochs = epochs
        self._task = progress.add_task("training", total=epochs * images, detail="")

    def __call__(self, step: Step) -> None:
        """Show a batch."""
        self._progress.update(
            self._task,
            advance=step.images,
            description=f"epoch {step.epoch}/{self._epochs}",
            detail=f"loss {step.loss:.4f}  learning rate {step.learning_rate:.2e}",
        )
