"""Every Python block of the pages on segmentation and evaluation runs, in order, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.evaluation.layouts import write_mask
from tests.models.photographs import photograph

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize(("page", "blocks"), [("segment.md", 5), ("evaluate.md", 1)])
def test_python_blocks_run(
    page: str,
    blocks: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText()).save_pretrained("head")
    image = Image.fromarray(photograph("chelsea.png")[::6, ::6])
    image.save("dog.jpg")
    image.save("cat.png")
    (tmp_path / "photos" / "images").mkdir(parents=True)
    image.save("photos/images/one.jpg")
    write_mask(tmp_path / "photos/masks/one.png", [[1] * image.width] * image.height)
    (tmp_path / "photos" / "classes.txt").write_text("0\tbackground\n1\tcat\n2\tdog\n")

    found = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == blocks
    exec(compile("\n".join(found), page, "exec"), {"__name__": "a page"})
    printed = capsys.readouterr().out
    if page == "segment.md":
        assert "('background', 'dog', 'couch') - 2 words mean background" in printed
        assert "True True" in printed
        assert "('dog', 'any other word')" in printed
    else:
        assert "not counted" in printed
        assert (tmp_path / "runs/mine/report.html").is_file()
