"""Work on threads ahead of a device: results in order, a bounded number in hand.

Photographs are read on threads rather than in processes: decoding, resizing and copying leave Python's lock
free, nothing is copied between processes, and there is no worker process that could be killed.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MOST_READERS = 16


def readers(device: torch.device | None = None) -> int:
    """How many threads read photographs: half as many as cores, or as many where only a device computes.

    Args:
        device: that the photographs are for, if it is known.
    """
    only_reads = device is not None and device.type != "cpu"
    return max(1, min(cores() if only_reads else cores() // 2, _MOST_READERS))


def cores() -> int:
    """How many cores this process may use."""
    return len(usable_cores())


def onnx_threads() -> int:
    """Threads for ONNX Runtime, which does not see that a process keeps to some cores; 0: it may choose."""
    return 0 if cores() == os.cpu_count() else cores()


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use, ascending."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells
        return list(range(os.cpu_count() or 1))


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int, in_hand: int | None = None
) -> Generator[tuple[_Item, _Result], None, None]:
    """Apply ``function`` to every item on ``workers`` threads; yield (item, result) in the items' order.

    An exception, of ``function`` or of ``items``, comes out at its item's place, and the items after it are
    given up.

    Args:
        function: called on the threads.
        items: taken on the caller's thread.
        workers: number of threads.
        in_hand: items that are worked on or done beyond the one that is waited for, at most, so that memory
            stays bounded; as many as ``workers`` if not given.

    Example:
        >>> list(ordered_map(lambda x: x * x, [3, 1, 2], workers=2))
        [(3, 9), (1, 1), (2, 4)]
    """
    waiting: deque[tuple[Any, Future[_Result]]] = deque()
    source = iter(items)
    pool = ThreadPoolExecutor(workers)

    def take(count: int) -> None:
        try:
            for item in islice(source, count):
                waiting.append((item, pool.submit(function, item)))
        except BaseException as error:  # noqa: BLE001 - even an interruption waits for what is in hand
            waiting.append((None, Future()))
            waiting[-1][1].set_exception(error)

    try:
        take(1 + (workers if in_hand is None else in_hand))
        while waiting:
            item, future = waiting.popleft()
            result = future.result()
            take(1)
            yield item, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
