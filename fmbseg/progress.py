"""Progress bars for everything that takes more than two seconds; plain lines where there is no terminal."""

from __future__ import annotations

import sys
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from rich import progress as rich
from rich.console import Console
from rich.table import Column
from rich.text import Text

from fmbseg.escaping import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_T = TypeVar("_T")

# A step may take minutes, and the time left is wanted all the same.
_SPEED_OVER_SECONDS = 3600.0


class _Rate(rich.ProgressColumn):
    """Images per second."""

    def render(self, task: rich.Task) -> Text:
        """Empty until there is a rate to show."""
        return Text("" if task.speed is None else _rate(task.speed))


def _rate(speed: float) -> str:
    return f"{speed:.{0 if speed >= 100 else 2}f} images/s"


def _plain_line(task: rich.Task) -> str:
    """Where a task stands, as a line of text."""
    parts = [f"{task.description}: {task.completed:.0f} of {task.total:.0f}"]
    if task.speed is not None:
        parts.append(_rate(task.speed))
    if task.time_remaining is not None:
        parts.append(f"{timedelta(seconds=int(task.time_remaining))} left")
    if task.fields["detail"]:
        parts.append(task.fields["detail"])
    return ", ".join(parts)


class Progress:
    """Bars with images done, images per second and the time left; silent if not wanted.

    Where the console is no terminal (``nohup``, a batch system's log), a line says the same every 30 seconds.

    Args:
        shown: whether to show anything.
        console: where to show the bars; by default standard error.
        every: seconds between two lines where the console is no terminal.

    Example:
        >>> with Progress(shown=False) as bars:
        ...     list(bars.track([1, 2], "counting", total=2))
        [1, 2]
    """

    def __init__(self, shown: bool = True, console: Console | None = None, *, every: float = 30.0) -> None:
        self._shown, self._every = shown, every
        self._stopped, self._lines = Event(), Thread(target=self._print_lines, daemon=True)
        self._bars = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(),
            # On a narrow terminal the bar alone gives way: figures that are cut short say nothing.
            rich.MofNCompleteColumn(table_column=Column(no_wrap=True)),
            _Rate(table_column=Column(no_wrap=True)),
            rich.TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
            rich.TextColumn("{task.fields[detail]}", markup=False),
            console=console or Console(stderr=True),
            disable=not shown,
            redirect_stdout=False,  # it would break long lines; see `result`
            speed_estimate_period=_SPEED_OVER_SECONDS,
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        if self._shown and not self._bars.console.is_terminal:
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._lines.ident is not None:
            self._lines.join()
        self._bars.stop()

    def _print_lines(self) -> None:
        while not self._stopped.wait(self._every):
            for task in self._bars.tasks:
                if not task.finished:
                    self._above(_plain_line(task))

    def result(self, text: str) -> None:
        """Print a line on standard output; where both are one terminal, above the bars."""
        # None where it is closed.
        if sys.stdout is not None and sys.stdout.isatty() and self._bars.console.is_terminal and self._shown:
            self._above(text)
        else:
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        if self._shown:
            self._above(terminal(text))

    def _above(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def track(self, items: Iterable[_T], description: str, total: int, *, done: int = 0) -> Iterator[_T]:
        """Iterate over items under a bar.

        Args:
            items: what is still to do.
            description: of the work, in one word or two.
            total: number of items, including those done before.
            done: number of items done before.
        """
        bar = self.bar(description, total, done=done)
        for item in items:
            yield item
            bar.advance(1)

    def bar(self, description: str, total: int, *, done: int = 0) -> Bar:
        """Add a bar that the caller moves."""
        return Bar(
            self._bars, self._bars.add_task(terminal(description), total=total, completed=done, detail="")
        )


class Bar:
    """One bar of a :class:`Progress`."""

    def __init__(self, bars: rich.Progress, task: rich.TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, images: int, *, description: str | None = None, detail: str = "") -> None:
        """Advance the bar, and update its texts."""
        shown = None if description is None else terminal(description)
        self._bars.update(self._task, advance=images, description=shown, detail=terminal(detail))
