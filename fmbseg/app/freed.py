"""Memory of the page's process: what was freed is used again, or goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def keep_one_heap() -> None:
    """Have glibc serve all threads from one heap; call it before threads begin.

    By itself it gives a heap to each of the server's threads, of which now this one computes, now that: what
    one of them freed is of no use to the others, and the process grew by 500 MB over 200 segmentations with
    no more in use. (To have every large array come from the system and go back there, `M_MMAP_THRESHOLD`,
    holds it flat, too, but takes nearly half as much processor time again.)
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl has none
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Have glibc give what is free in its heaps back to the system; others do so by themselves."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)
