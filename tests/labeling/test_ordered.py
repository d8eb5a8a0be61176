"""Threads at work, results in order."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from fmbseg.labeling.ordered import ordered_map

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_results_come_in_order_whoever_is_first() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.05 if item % 3 == 0 else 0.0)
        return item * item

    assert list(ordered_map(slow_first, range(10), workers=4)) == [(item, item * item) for item in range(10)]


def test_workers_work_at_once() -> None:
    together = threading.Barrier(3, timeout=10)  # breaks unless three wait for one another
    assert len(list(ordered_map(lambda _: together.wait(), range(6), workers=3))) == 6


def test_few_items_are_in_hand() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    for done, _ in ordered_map(lambda item: item, items(), workers=2):
        assert len(taken) <= done + 1 + 3


def test_an_error_comes_out_at_its_place_and_the_rest_is_given_up() -> None:
    started: list[int] = []

    def fails(item: int) -> int:
        started.append(item)
        return 1 // (item - 3)

    results = ordered_map(fails, range(1000), workers=2)
    assert [item for item, _ in (next(results), next(results), next(results))] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(started) < 10
