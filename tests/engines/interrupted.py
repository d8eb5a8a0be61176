"""``fmbseg label`` with models of colours, to be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import fmbseg.labeling.labeler as place
from fmbseg.cli.main import main
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models.mask_generators.superpixels import superpixels
from tests.engines.cluster import shards
from tests.engines.kills import COLOURS, Run, files
from tests.engines.slow_colours import SlowColours
from tests.labeling.runs import pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SETTINGS = LabelingSettings(short_side=32, min_crops=1, batch_size=4)


def interrupt(folder: Path, workers: Callable[[subprocess.Popen[str]], list[int]], *engine: str) -> str:
    """Press Ctrl-C half-way through a run on an engine, and see to all that follows; what it printed.

    Args:
        folder: empty, for photographs and labels.
        workers: the processes that work for the command.
        engine: options of the command.
    """
    source, out = folder / "photographs", folder / "out"
    pictures(source, 24)
    Run(source, shard=2).label(folder / "whole")
    given = ["label", str(source), "--classes", ",".join(COLOURS), "--out", str(out), "--shard-size", "2"]
    command = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.interrupted", *given, *engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while shards(out) < 3 and command.poll() is None:
        time.sleep(0.01)
    at_work = workers(command)
    assert at_work
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does: all processes of the command
    printed, _ = command.communicate(timeout=60)
    assert command.returncode not in (0, -signal.SIGKILL)
    there = {name: content for name, content in files(out).items() if name.startswith("shard-")}
    assert 3 <= len(there) < 12, printed
    until = time.monotonic() + 20
    while any(map(lives, at_work)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(lives, at_work))
    assert files(out).items() >= there.items()  # nobody writes on
    Run(source, shard=2).label(out)
    assert files(out) == files(folder / "whole")
    assert files(out).items() >= there.items()
    return printed


def lives(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _main() -> None:
    plain = place.label_elsewhere

    def of_colours(engine: Any, given: object, *rest: Any, **run: Any) -> Any:
        del given
        models = {"image_text": SlowColours(0.2), "mask_generator": superpixels(scales=(200.0,))}
        return plain(engine, {**models, "settings": _SETTINGS}, *rest, **run)

    place.label_elsewhere = of_colours
    main()


if __name__ == "__main__":
    _main()
