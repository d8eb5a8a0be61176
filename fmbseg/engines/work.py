"""What is worked on elsewhere, what comes back, and what is said when it does not."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UnitT_contra = TypeVar("UnitT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Worker(Protocol[UnitT_contra, ResultT_co]):
    """Works on units, one after the other, with what it has loaded."""

    def __call__(self, unit: UnitT_contra, tell: Callable[[int], None]) -> ResultT_co:
        """Work on a unit, as often as it is asked to: a unit that was lost is given again.

        Args:
            unit: small, and picklable.
            tell: called with a number of photographs whenever so many more are done.

        Returns:
            What the one who asked needs to know, small and picklable.
        """
        ...


MakeWorker: TypeAlias = "Callable[[], Worker[UnitT_contra, ResultT_co]]"
"""Makes a worker, once in each process; picklable."""

Kind = Literal["ready", "done", "failed", "lost", "unfit"]


class News(NamedTuple):
    """What became of a worker.

    Attributes:
        worker: its number, from 0.
        kind: ``ready`` for units, with its versions; ``done`` with a result; ``failed`` with the error's
            text; ``lost`` with its unit, and another is started in its place; ``unfit`` to start at all.
        value: what goes with the kind.
    """

    worker: int
    kind: Kind
    value: Any = None


class Team(Protocol):
    """Workers, wherever they are.

    Attributes:
        most: how many there may be.
        least: with how many the work begins.
    """

    most: int
    least: int

    def give(self, worker: int, unit: Any) -> None:
        """Give a unit to a worker that is ready and has none."""
        ...

    def news(self, seconds: float) -> Sequence[News]:
        """Wait for news, for so long at most."""
        ...

    def told(self) -> Mapping[int, int]:
        """Photographs done so far of the unit that each worker has."""
        ...

    def waiting_for(self) -> str:
        """What is known of why workers have not come."""
        ...

    def close(self) -> None:
        """End all workers, whatever they do."""
        ...


def packed(make_worker: Callable[[], Any], dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """What makes a worker, to be sent.

    Args:
        make_worker: that is sent.
        dumps: pickles it.

    Raises:
        ValueError: something in it cannot be sent.
    """
    try:
        return dumps(make_worker)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the work cannot be sent to other processes ({error}): give models by spec, or as objects of a "
            "module that can be imported there"
        ) from error


class EngineError(RuntimeError):
    """The workers cannot do any work; the message says why, and what to do."""


class WorkFailedError(RuntimeError):
    """Units of work failed each time they were tried; all others are done.

    Attributes:
        failed: the last error of each unit that failed, in the order in which they were given up.
    """

    def __init__(self, failed: Sequence[str], tries: int, *, stopped: bool) -> None:
        self.failed = tuple(failed)
        reasons = Counter(self.failed).most_common(_SHOWN)
        shown = "; ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in reasons)
        end = "No unit has come through of late: the work was stopped" if stopped else "All else is done"
        super().__init__(
            f"{len(failed)} units of work failed, each on {tries} tries: {shown}. {end}; the same command "
            "tries those that are missing again"
        )


_SHOWN = 3
