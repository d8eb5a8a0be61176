"""The Python blocks of the page on alignment run in order, with the offline models, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "align.md"


@pytest.mark.long
def test_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "home"))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    exec(compile("\n".join(blocks), PAGE.name, "exec"), {"__name__": "a page"})
    printed = capsys.readouterr().out
    assert re.search(r"^epoch 2: loss \d+\.\d+, held out \d+\.\d+$", printed, re.MULTILINE)
    assert "epoch,loss,learning_rate,patches,validation_loss" in printed
    assert "332 GB" in printed
    assert "('mug', 'saucer', 'cat', 'coffee cup', 'rocket', 'table', 'sky')" in printed
