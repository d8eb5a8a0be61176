"""A hundred damages and more with a fixed seed; ``python -m tests.mutations`` makes thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_damage_is_told_or_mended_and_never_believed() -> None:
    # In a process of its own: the trials fork, which one that other tests have filled with threads must not.
    command = [sys.executable, "-m", "tests.mutations", "--count", "133", "--seed", "1"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| all | 133 |" in done.stdout
