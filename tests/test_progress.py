"""Bars are shown on standard error where they are wanted, and items pass through in any case."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from fmbseg.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("shown", [True, False])
def test_items_pass_through_in_order(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(shown) as bars:
        assert list(bars.track(iter("abc"), "spelling", 3)) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert ("spelling" in err) is shown
    assert ("3/3" in err) is shown


def test_what_was_done_before_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as bars:
        list(bars.track([4, 5], "labelling", 5, done=3))
    assert "5/5" in capsys.readouterr().err


def test_items_are_taken_one_at_a_time() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(3):
            taken.append(item)
            yield item

    with Progress(shown=False) as bars:
        for item in bars.track(items(), "taking", 3):
            assert taken[-1] == item


def test_an_error_inside_stops_the_bars_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    def divide() -> None:
        with Progress() as bars:
            for item in bars.track([1, 0], "dividing", 2):
                assert 1 / item == 1

    with pytest.raises(ZeroDivisionError):
        divide()
    assert "1/2" in capsys.readouterr().err


def test_names_are_shown_as_they_are_and_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as bars:
        bars.note("\x1b[2J[bold]a[/].jpg")
        bar = bars.bar("[x]", 1)
        bar.advance(1, detail="[/red]\x1b[31m")
    said = capsys.readouterr().err
    assert r"\x1b[2J[bold]a[/].jpg" in said
    assert "[x]" in said
    assert "\x1b[2J" not in said
    assert "\x1b[31m" not in said


def test_without_a_terminal_lines_say_where_it_stands() -> None:
    log = io.StringIO()
    with Progress(console=Console(file=log), every=0.05) as bars:
        bar = bars.bar("[x]", 8, done=2)
        while "2 of 8" not in log.getvalue():
            time.sleep(0.01)
        for _ in range(3):
            time.sleep(0.06)
            bar.advance(1, detail="1 failed")
        while "5 of 8, " not in log.getvalue():
            time.sleep(0.01)
    lines = [line for line in log.getvalue().splitlines() if " of 8" in line]
    assert lines[0] == "[x]: 2 of 8"
    said = re.fullmatch(r"\[x\]: 5 of 8, ([\d.]+) images/s, 0:00:(\d\d) left, 1 failed", lines[-1])
    assert said is not None
    assert 0 < float(said[1]) < 1 / 0.06  # three images took at least 0.18 s
    assert abs(int(said[2]) - 3 / float(said[1])) <= 1


def test_a_short_task_adds_no_lines_without_a_terminal() -> None:
    log = io.StringIO()
    with Progress(console=Console(file=log)) as bars:
        list(bars.track("abc", "spelling", 3))
    assert " of 3" not in log.getvalue()


def test_steps_of_minutes_have_a_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    log, clock = io.StringIO(), [0.0]
    bars = Progress(console=Console(file=log, force_terminal=True, width=200))
    monkeypatch.setattr(bars._bars, "get_time", lambda: clock[0])
    with bars:
        bar = bars.bar("labelling", 10)
        for _ in range(3):
            clock[0] += 120
            bar.advance(1)
    assert "0:14:00" in log.getvalue()  # seven more, at two minutes each


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
def test_on_a_terminal_results_and_complaints_stand_on_lines_of_their_own() -> None:
    import pty

    script = """
from fmbseg.cli.friendly import complain
from fmbseg.progress import Progress
with Progress() as bars:
    for number in bars.track(range(6), "segmenting", 6):
        bars.result(f"[bold]:cat: {number}.jpg" + ", cat" * 30)
        complain(f"{number}.png", "not segmented")
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # which is how a pseudo terminal ends
            while part := os.read(ours, 4096):
                said += part
    os.close(ours)
    assert process.returncode == 0
    screen: list[str] = []
    for line in said.decode().replace("\r\n", "\n").split("\n"):
        plain = line.rpartition("\r")[2]
        screen.append(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", plain))
    assert [line for line in screen if ".jpg" in line] == [
        f"[bold]:cat: {number}.jpg" + ", cat" * 30 for number in range(6)
    ]
    assert [line for line in screen if ".png" in line] == [f"not segmented: {n}.png" for n in range(6)]
