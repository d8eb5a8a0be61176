"""A head that somebody pushed, in the hands of somebody who has nothing but its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from skimage import data

from fmbseg import OpenVocabSegmenter
from fmbseg.models.registries import BACKBONES
from tests.hub import newcomer
from tests.hub.heads import WORDS, make_encoder
from tests.models.backbones.tiny_models import dinov2_folder

if TYPE_CHECKING:
    from tests.hub.server import Hub


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """A shell's, with a client that has never been used; its log-in and ours are gone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "FMBSEG"))}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "FMBSEG_HOME": str(home / "fmbseg"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def test_the_class_map_is_the_same_bit_for_bit_and_nothing_else_is_touched(hub: Hub, tmp_path: Path) -> None:
    hub.put(
        "bob/encoder", {path.name: path.read_bytes() for path in dinov2_folder(tmp_path / "dinov2").iterdir()}
    )
    backbone = BACKBONES.create("timm:hf-hub:bob/encoder")
    segmenter = OpenVocabSegmenter(make_encoder(backbone=backbone))
    image = np.asarray(data.chelsea())[:160, :240]  # type: ignore[no-untyped-call]
    labels = segmenter.segment(image, WORDS).labels
    assert len(np.unique(labels)) > 1
    segmenter.push_to_hub("alice/head")
    np.save(tmp_path / "photograph.npy", image)

    home = tmp_path / "newcomer"
    arguments = ["alice/head", str(tmp_path / "photograph.npy"), str(tmp_path / "map.npy"), *WORDS]
    done = subprocess.run(
        [sys.executable, newcomer.__file__, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(hub, home),
        cwd=tmp_path,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    pulled = np.load(tmp_path / "map.npy")
    assert (pulled.dtype, pulled.shape) == (labels.dtype, labels.shape)
    np.testing.assert_array_equal(pulled, labels)

    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"]
    assert found["text_encoder"] == "str"  # never made: the words are the head's own
    assert found["connected"] == []
    assert found["written"] == []
    cache = home / "hf" / "hub"
    wanted = {
        name: {"config.json", "model.safetensors"} | more
        for name, more in (("models--alice--head", {"README.md"}), ("models--bob--encoder", set()))
    }
    for path in map(Path, found["opened"]):
        repository, *inside = path.relative_to(cache).parts
        if inside[0] == "snapshots":
            assert path.name in wanted[repository]
        else:  # which commit a branch is, and what files it has: the client's own notes
            assert inside[0] in ("refs", "trees", "blobs")
