"""A kill at every single step of writing decisions, before it and after it: what was told is kept."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmbseg.checksums import read_rows
from fmbseg.review.session import Review
from tests.labels.pictures import write_labels
from tests.labels.test_kill_points import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
A = "a.png"


def decide(folder: Path) -> None:
    """Decide one thing after another, and note each as soon as the call returned."""
    review = Review(folder, "Anna")
    told = folder / "told"
    steps: tuple[Callable[[], object], ...] = (
        lambda: review.accept(A, "m0"),
        lambda: review.draw(A, np.ones((24, 36), bool), "dog"),
        lambda: review.rename(A, "grass", "m1", "m2"),
        lambda: review.undo(A),
        lambda: review.done(A),
    )
    for number, step in enumerate(steps, start=1):
        step()
        told.write_text(str(number))


@pytest.mark.parametrize("after", [False, True])
def test_any_step_may_be_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    labels = write_labels(tmp_path).folder
    whole = tmp_path / "whole"
    shutil.copytree(labels, whole)
    assert in_child(whole, monkeypatch, None, after=after, work=decide) == 0
    steps = int((tmp_path / "steps").read_text())
    lines = [(row["does"], row.get("mask")) for row in read_rows(whole / "review/Anna.jsonl")]
    assert lines == [
        ("accept", "m0"), ("draw", None), ("rename", "m1"), ("rename", "m2"), ("undo", None), ("done", None),
    ]  # fmt: skip
    assert steps == len(lines)  # each is flushed before its call returns
    told_by = {0: 0, 1: 1, 2: 2, 3: 4, 4: 5, 5: 6}  # lines that were written once so many calls returned
    for step in range(1, steps + 1):
        folder = tmp_path / f"killed{step}"
        shutil.copytree(labels, folder)
        status = in_child(folder, monkeypatch, step, after=after, work=decide)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        told = int((folder / "told").read_text()) if (folder / "told").exists() else 0
        kept = [(row["does"], row.get("mask")) for row in read_rows(folder / "review/Anna.jsonl")]
        assert kept == lines[: len(kept)]
        assert told_by[told] <= len(kept) <= told_by[told] + 2
        review = Review(folder, "Anna")  # and it goes on
        review.accept(A, "m4")
        assert [row["does"] for row in read_rows(folder / "review/Anna.jsonl")][len(kept) :] == ["accept"]


def test_a_line_that_was_cut_short_is_not_there(tmp_path: Path) -> None:
    folder = write_labels(tmp_path).folder
    Review(folder, "Anna").accept(A, "m0", "m1")
    path = folder / "review/Anna.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in {first, first + 1, *range(first, len(whole), 29), len(whole) - 1}:
        path.write_bytes(whole[:cut])
        review = Review(folder, "Anna")
        assert [one.mask for one in review.layer().decisions[A]] == ["m0"]
        review.accept(A, "m1")
        assert [one.mask for one in Review(folder, "Anna").layer().decisions[A]] == ["m0", "m1"]
