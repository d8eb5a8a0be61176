"""Hands units of work to workers, in any order; what failed or was lost is done again elsewhere."""

from __future__ import annotations

import warnings
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg.engines.versions import differing, versions
from fmbseg.engines.work import EngineError, WorkFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from fmbseg.engines.work import News, Team

TRIES = 4
"""How often a unit is tried. A node that dies costs the units on it a try each, so one try is too few."""
_GIVE_UP = 10
_SECONDS = 1.0
_PATIENCE = 30


class _Unit(NamedTuple):
    """A unit with its history."""

    content: Any
    tried: int = 0
    last: int = -1


class Crew:
    """Workers that take units until none is left; use it as a context manager, which ends them.

    One unit is at each worker, and of those that wait none is held: memory does not grow with their number.

    Args:
        team: the workers.
        moved: called with the photographs done of the units that are worked on, about once a second.
        note: called with a line for people.
        tries: how often a unit is tried, on another worker each time where there is one.
    """

    def __init__(
        self,
        team: Team,
        *,
        moved: Callable[[int], None] | None = None,
        note: Callable[[str], None] | None = None,
        tries: int = TRIES,
    ) -> None:
        self._team, self._tries = team, tries
        self.moved, self.note = moved or _ignore, note or _ignore
        self._idle: dict[int, None] = {}  # a set in order
        self._busy: dict[int, _Unit] = {}
        self._unfit: dict[int, str] = {}
        self._began = False
        self._waited = 0.0

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._team.close()

    @property
    def size(self) -> int:
        """Workers that are here."""
        return len(self._idle) + len(self._busy)

    def map(self, units: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield each unit with its result, as they come.

        Args:
            units: taken when a worker is free.

        Raises:
            WorkFailedError: units failed on every try; raised when all others are done, or when ten have
                failed and none has been done in between.
            EngineError: no worker is fit.
        """
        round_ = _Round(iter(units), self._tries)
        while True:
            self._hand_out(round_)
            if not self._busy and round_.empty:
                break
            for news in self._team.news(_SECONDS):
                if news.kind == "done":
                    round_.since = 0
                    self._idle[news.worker] = None
                    yield self._busy.pop(news.worker).content, news.value
                else:
                    self._hear(news, round_)
            if round_.since >= _GIVE_UP:
                raise WorkFailedError(round_.failed, self._tries, stopped=True)
            told = self._team.told()
            self.moved(sum(told.get(worker, 0) for worker in self._busy))
        if round_.failed:
            raise WorkFailedError(round_.failed, self._tries, stopped=False)

    def _hand_out(self, round_: _Round) -> None:
        if not self._began and self.size < self._team.least:
            self._say_what_is_awaited()
            return
        for worker in list(self._idle):
            others = self.size > 1
            unit = round_.next_for(worker, others=others)
            if unit is not None:
                self._began = True
                del self._idle[worker]
                self._busy[worker] = unit
                self._team.give(worker, unit.content)

    def _say_what_is_awaited(self) -> None:
        self._waited += _SECONDS
        if self._waited % _PATIENCE == 0:
            self.note(f"{self.size} of {self._team.least} workers are here{self._team.waiting_for()}")

    def _hear(self, news: News, round_: _Round) -> None:
        worker = news.worker
        if news.kind == "ready":
            self._welcome(worker, news.value)
        elif news.kind == "unfit":
            self._send_away(worker, news.value)
        else:
            unit = self._busy.pop(worker, None)
            self._idle.pop(worker, None)
            if news.kind == "failed":
                self._idle[worker] = None
            if unit is not None:
                round_.again(unit._replace(tried=unit.tried + 1, last=worker), news.value)

    def _welcome(self, worker: int, theirs: dict[str, str]) -> None:
        differs = differing(versions(), theirs)
        if differs:
            self._send_away(
                worker, f"{theirs.get('where', 'a worker')} has {differs}: install the same on every node"
            )
        else:
            self._idle[worker] = None

    def _send_away(self, worker: int, why: str) -> None:
        self._unfit[worker] = why
        # Before the work all must fit; later, what an autoscaler brings must not end it.
        if not self._began or len(self._unfit) == self._team.most:
            raise EngineError(f"worker {worker}: {why}")
        warnings.warn(f"worker {worker} is not used: {why}", stacklevel=3)


class _Round:
    """The units of one :meth:`Crew.map`: those still to be taken, those to be tried again, those given up."""

    def __init__(self, units: Iterator[Any], tries: int) -> None:
        self._units, self._tries = units, tries
        self._again: deque[_Unit] = deque()
        self._ended = False
        self.failed: list[str] = []
        self.since = 0  # units given up since one was done

    @property
    def empty(self) -> bool:
        return self._ended and not self._again

    def next_for(self, worker: int, *, others: bool) -> _Unit | None:
        """A unit that this worker did not just fail at, unless there is no other worker."""
        for unit in self._again:
            if unit.last != worker or not others:
                self._again.remove(unit)
                return unit
        if not self._ended:
            for content in self._units:
                return _Unit(content)
            self._ended = True
        return None

    def again(self, unit: _Unit, why: str) -> None:
        if unit.tried < self._tries:
            self._again.append(unit)
        else:
            self.failed.append(why)
            self.since += 1


def _ignore(_: object) -> None:
    """Nobody listens."""
