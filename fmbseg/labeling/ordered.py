"""Work on several items at once, results in order, a bounded number in hand."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int
) -> Generator[tuple[_Item, _Result], None, None]:
    """Apply ``function`` to every item on ``workers`` threads; yield (item, result) in the items' order.

    Only ``workers`` items are in hand beyond the one that is waited for, so that memory stays bounded. An
    exception comes out at its item's place, and the items after it are given up.

    Example:
        >>> list(ordered_map(lambda x: x * x, [3, 1, 2], workers=2))
        [(3, 9), (1, 1), (2, 4)]
    """
    waiting: deque[tuple[_Item, Future[_Result]]] = deque()
    source = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        for item in islice(source, workers + 1):
            waiting.append((item, pool.submit(function, item)))
        while waiting:
            item, future = waiting.popleft()
            result = future.result()
            for following in islice(source, 1):
                waiting.append((following, pool.submit(function, following)))
            yield item, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
