"""What the page's process frees goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fmbseg.app.place import REMEMBERED_BYTES, Place

WORK = """
import numpy as np
from pathlib import Path
from fmbseg.app.freed import give_back_freed_memory

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

np.ones(2**22, np.uint8)  # freed at once: glibc takes what is smaller from its heap from now on
kept, large = [], []
for _ in range(64):
    large.append(np.ones(2**21, np.uint8))
    kept.append(np.ones(2**16, np.uint8))
before = resident()
large.clear()
if {told}:
    give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their own ways")
@pytest.mark.parametrize("told", [True, False])
def test_what_is_freed_between_what_is_kept_goes_back_to_the_system(told: bool) -> None:
    command = [sys.executable, "-c", WORK.format(told=told)]
    freed = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (freed > 110) is told  # of 128 MB


ONE_HEAP = """
import ctypes, threading
from pathlib import Path
from fmbseg.app.freed import keep_one_heap

if {told}:
    keep_one_heap()
ready, libc = threading.Barrier(5), ctypes.CDLL(None)

def use():
    ctypes.create_string_buffer(1000)
    libc.malloc.restype = ctypes.c_void_p
    found.append(libc.malloc(5000))
    ready.wait()

found = []
threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
ready.wait()
heap = next(line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[heap]"))
start, end = (int(one, 16) for one in heap.split()[0].split("-"))
print(sum(start <= place < end for place in found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their own ways")
@pytest.mark.parametrize(("told", "expected"), [(True, 4), (False, 0)])
def test_all_threads_are_served_from_one_heap(told: bool, expected: int) -> None:
    command = [sys.executable, "-c", ONE_HEAP.format(told=told)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(found) == expected


def test_no_more_is_remembered_than_is_said(place: Place) -> None:
    memory = place.pool.memory
    images = [object() for _ in range(6)]
    for image in images:
        memory.turn_to(image)
        for key in ("a", "b"):
            memory.get((key,), lambda: np.empty(150 * 2**20, np.uint8))  # never touched: takes no memory
            assert memory.size <= REMEMBERED_BYTES
    assert memory.size > REMEMBERED_BYTES - 150 * 2**20
    for _ in range(4):
        memory.turn_to(object())
    assert memory.size == 0
