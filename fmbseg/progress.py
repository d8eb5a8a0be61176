"""Progress bars for all that takes more than two seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich import progress as rich
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_T = TypeVar("_T")


class Progress:
    """Bars on standard error with the rate and the time left; silent where they are not wanted.

    Args:
        shown: whether to show anything.

    Example:
        >>> with Progress(shown=False) as bars:
        ...     list(bars.track([1, 2], "counting", total=2))
        [1, 2]
    """

    def __init__(self, shown: bool = True) -> None:
        self._bars = rich.Progress(
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeElapsedColumn(),
            rich.TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            disable=not shown,
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def track(self, items: Iterable[_T], description: str, total: int, *, done: int = 0) -> Iterator[_T]:
        """Go through items and show how far.

        Args:
            items: what is still to do.
            description: of the work, in one word or two.
            total: items in all, those done before included.
            done: items done before.
        """
        task = self._bars.add_task(description, total=total, completed=done, rate="")
        for item in items:
            yield item
            speed = self._bars.tasks[self._bars.task_ids.index(task)].speed
            self._bars.update(task, advance=1, rate=f"{speed:.2f}/s" if speed else "")
