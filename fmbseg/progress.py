"""Progress bars for everything that takes more than two seconds."""

from __future__ import annotations

import sys
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


class _Rate(rich.ProgressColumn):
    """Images per second."""

    def render(self, task: rich.Task) -> Text:
        """Empty until there is a rate to show."""
        if task.speed is None:
            return Text("")
        return Text(f"{task.speed:.{0 if task.speed >= 100 else 2}f} images/s")


class Progress:
    """Bars with images done, images per second and the time left; silent if not wanted.

    Args:
        shown: whether to show anything.
        console: where to show the bars; by default standard error.

    Example:
        >>> with Progress(shown=False) as bars:
        ...     list(bars.track([1, 2], "counting", total=2))
        [1, 2]
    """

    def __init__(self, shown: bool = True, console: Console | None = None) -> None:
        self._shown = shown
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
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

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
