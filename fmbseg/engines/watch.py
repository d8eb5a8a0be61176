"""How far a crew has got, shown to whoever waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.reasons import Reasons

if TYPE_CHECKING:
    from fmbseg.engines.crew import Crew
    from fmbseg.progress import Bar, Progress


class Watch:
    """Moves a bar as photographs are done, those of units in hand too.

    Args:
        bars: that show notes.
        bar: that is moved.
        crew: that does the work.
    """

    def __init__(self, bars: Progress, bar: Bar, crew: Crew) -> None:
        self._bar, self._crew = bar, crew
        self._done = self._shown = 0
        self.failures = Reasons()
        crew.moved, crew.note = self._moved, bars.note

    def done(self, photographs: int, failures: Reasons | None = None) -> None:
        """Count the photographs of a unit that is done, and what failed of them."""
        self._done += photographs
        self.failures.update(failures or {})

    def _moved(self, in_hand: int) -> None:
        now = self._done + in_hand
        workers = f"{self._crew.size} worker{'' if self._crew.size == 1 else 's'}"
        self._bar.advance(now - self._shown, detail=", ".join(filter(None, (workers, str(self.failures)))))
        self._shown = now
