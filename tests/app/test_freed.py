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

if {told}:
    give_back_freed_memory()
np.ones(2**22, np.uint8)  # freed at once: glibc takes what is smaller from its heap from now on
kept, large = [], []
for _ in range(64):
    large.append(np.ones(2**21, np.uint8))
    kept.append(np.ones(2**16, np.uint8))
before = resident()
large.clear()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their own ways")
@pytest.mark.parametrize("told", [True, False])
def test_what_is_freed_between_what_is_kept_goes_back_to_the_system(told: bool) -> None:
    command = [sys.executable, "-c", WORK.format(told=told)]
    freed = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (freed > 110) is told  # of 128 MB


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
