"""The page on labels: its Python blocks run, one after another, as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "labels.md"


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    for made in ("labels", "labels_known", "labels_sure", "labels_corrected"):
        assert (tmp_path / made / "manifest.json").is_file()
    for made in ("sheet.jpg", "for_people.json", "yolo/data.yaml", "png/chelsea.png"):
        assert (tmp_path / made).is_file()
