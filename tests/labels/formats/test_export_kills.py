"""An export that is killed at any step: nothing half written has a final name, and the same goes through."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.labels.formats.everywhere import EXPORTS, files, only
from tests.labels.pictures import write_labels

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")


def killed_at(step: int | None, export: Callable[[], object], told: Path) -> int:
    """Export in a process of its own that kills itself at a step; return how it ended.

    Steps are making folders and files, flushing, renaming, linking and deleting.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        count = 0

        def counted(real: Any) -> Any:
            def one(*given: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*given, **named)

            return one

        for owner, name in (
            (os, "fsync"),
            (Path, "replace"),
            (Path, "unlink"),
            (Path, "symlink_to"),
            (Path, "write_bytes"),
            (Path, "mkdir"),
        ):
            setattr(owner, name, counted(getattr(owner, name)))
        export()
        told.write_text(str(count))
    except BaseException as error:  # noqa: BLE001 - the child must not go on as a second pytest
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def check_whole(folder: Path) -> None:
    """Every file that has its final name can be read to its end."""
    for name in files(folder):
        if name.endswith(".json"):
            json.loads((folder / name).read_text("utf-8"))
        elif name.endswith(".png"):
            with Image.open(folder / name) as image:
                image.load()
        elif name.startswith("labels/"):
            assert all(len(line.split()) % 2 == 1 for line in (folder / name).read_text().splitlines())
        else:
            assert (folder / name).read_text("utf-8").endswith("\n")


@pytest.mark.parametrize("name", ["coco", "png", "yolo"])
def test_any_step_may_be_the_last(tmp_path: Path, name: str) -> None:
    whole_set = write_labels(tmp_path)
    labels, former = only(whole_set, "deep/b.png", "none.png"), only(whole_set, "none.png")
    told, whole = tmp_path / "steps", tmp_path / "whole"
    EXPORTS[name](former, whole)
    assert killed_at(None, lambda: EXPORTS[name](labels, whole), told) == 0
    steps = int(told.read_text())
    assert steps >= 4
    for step in range(1, steps + 1, 1 if steps < 20 else 3):
        out = tmp_path / f"killed{step}"
        EXPORTS[name](former, out)
        status = killed_at(step, lambda out=out: EXPORTS[name](labels, out), told)  # type: ignore[misc]
        assert os.WIFSIGNALED(status)
        check_whole(out)
        EXPORTS[name](labels, out)
        assert files(out) == files(whole)
        if name != "coco":  # one file has no folder of its own to clear up
            hidden = {path.name for path in out.rglob(".*")}
            assert hidden <= {".fmbseg-written.jsonl", ".fmbseg-written.lock"}
