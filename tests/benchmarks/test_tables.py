"""The tables on the pages say what the results say, and results of any form become tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import tables

if TYPE_CHECKING:
    from pathlib import Path


def test_no_page_is_stale() -> None:
    for (page, mark), content in tables.contents().items():
        text = (tables.ROOT / page).read_text("utf-8")
        assert tables.fill(text, mark, content) == text, f"{page}: run python benchmarks/tables.py"


def test_every_result_has_its_section() -> None:
    page = (tables.ROOT / "docs/benchmarks.md").read_text("utf-8")
    for file in tables.RESULTS.glob("*.json"):
        assert (f"*`benchmarks/results/{file.name}`" in page) == (file.stem not in tables.NO_BENCHMARKS)


def test_any_result_becomes_tables() -> None:
    result = {
        "ratio": 1.23456,
        "ours": {"seconds": 2.0, "memory": {"gb": 0.5}},
        "plain": {"seconds": 4.0, "memory": {"gb": 1.0}},
        "curve": [{"at": 8, "found": 0.5}, {"at": 16, "found": 0.75, "last": True}],
        "losses": [3.0, 2.5],
        "settings": {"seed": 0},
    }
    assert tables.plain(result).split("\n\n") == [
        "| figure | value |\n|---|---|\n| `ratio` | 1.235 |\n| `losses` | 3, 2.5 |",
        "|  | seconds | memory.gb |\n|---|---|---|\n| `ours` | 2 | 0.5 |\n| `plain` | 4 | 1 |",
        "| `curve` | at | found | last |\n|---|---|---|---|\n| `1` | 8 | 0.5 |  |\n| `2` | 16 | 0.75 | yes |",
    ]


def test_parts_with_settings_of_their_own_have_headings() -> None:
    parts = {"small": {"ratio": 2, "settings": {"seed": 0}}, "large": {"ratio": 3, "settings": {"seed": 0}}}
    assert tables.plain(parts) == (
        "### `small`\n\n| figure | value |\n|---|---|\n| `ratio` | 2 |\n\n"
        "### `large`\n\n| figure | value |\n|---|---|\n| `ratio` | 3 |"
    )


def test_a_group_of_very_many_rows_is_counted_only() -> None:
    rows = [{"seconds": number} for number in range(tables.MOST_ROWS + 1)]
    assert tables.plain({"photographs": rows}) == "`photographs`: 61 rows, in the file."


def test_a_result_of_a_new_name_comes_last_under_its_name(tmp_path: Path) -> None:
    for file in tables.RESULTS.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "a_new_one.json").write_text(json.dumps({"ratio": 2, "threads": 1}))
    page = tables.contents(tmp_path)["docs/benchmarks.md", "results"]
    assert page.endswith(
        "## a_new_one\n\n| figure | value |\n|---|---|\n| `ratio` | 2 |\n\n"
        "*`benchmarks/results/a_new_one.json`: threads 1.*"
    )


def test_marks_that_are_missing_are_told() -> None:
    with pytest.raises(ValueError, match="<!-- quality: begin --> and <!-- quality: end --> once each"):
        tables.fill("no marks", "quality", "a table")


def test_stale_pages_are_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    for page, mark in tables.contents():
        with (tmp_path / page).open("a") as file:
            file.write(f"<!-- {mark}: begin -->old<!-- {mark}: end -->")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="1"):
        tables.main(["--check"])
    assert "stale: README.md, docs/backbones.md, docs/benchmarks.md" in capsys.readouterr().out
    assert "old" in (tmp_path / "README.md").read_text()
    tables.main([])
    assert "| `dense` |" in (tmp_path / "README.md").read_text()
    tables.main(["--check"])
    assert capsys.readouterr().out.endswith("stale: none\n")
