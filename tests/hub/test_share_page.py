"""The page on sharing: its Python blocks run against a Hub on loopback, as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg import OpenVocabSegmenter
from fmbseg.models.registries import BACKBONES
from tests.hub.heads import make_encoder
from tests.models.backbones.tiny_models import dinov2_folder

if TYPE_CHECKING:
    import pytest

    from tests.hub.server import Hub

PAGE = Path(__file__).resolve().parents[2] / "docs" / "share.md"


def test_every_block_runs(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hub.put("bob/encoder", {file.name: file.read_bytes() for file in dinov2_folder(tmp_path / "m").iterdir()})
    make_encoder(backbone=BACKBONES.create("timm:hf-hub:bob/encoder")).save_pretrained("head")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert str(names["address"]).startswith(f"{hub.url}/alice/gardens/commit/")
    assert set(hub.repository("alice/gardens").branches) == {"main", "experiment"}
    segmenters = [names[name] for name in ("segmenter", "pulled", "older", "offline", "mine")]
    assert all(isinstance(one, OpenVocabSegmenter) for one in segmenters)
    heads = {one.describe()["head_sha256"] for one in segmenters if isinstance(one, OpenVocabSegmenter)}
    assert len(heads) == 1
