"""Bars are shown on standard error where they are wanted, and items pass through in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
