"""Threads at work, results in order."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import torch

from fmbseg.ahead import ordered_map, readers

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


def test_an_interruption_of_the_items_waits_for_what_is_in_hand() -> None:
    def items() -> Iterator[int]:
        yield from (0, 1)
        raise KeyboardInterrupt

    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        done.extend(result for _, result in ordered_map(lambda item: item, items(), workers=2, in_hand=5))
    assert done == [0, 1]


def test_few_threads_read_where_the_cpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    assert (readers(torch.device("cpu")), readers(torch.device("cuda")), readers()) == (3, 6, 3)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert readers(torch.device("cpu")) == 1
