"""Photographs from a bucket, labels to a bucket, a head from both: the bytes of a run on local folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg import Aligner, LabelSet, storage
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.labels.place import files_in, place_of, read_whole
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.cloud import Faults, point_to, unreliable
from tests.labeling.runs import STAND_INS, make_labeler
from tests.labels.test_writer import files

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.label_set import LabelSet as Labels
    from tests.cloud import Bucket

WORDS = ["red", "blue", "green", "white"]


def label(photographs: str | Path, out: str | Path) -> Labels:
    return make_labeler(STAND_INS).label(photographs, WORDS, out, shard_size=4, progress=False)


def weights(labels: Labels, features: Path) -> list[bytes]:
    settings = TrainingSettings(epochs=1, batch_size=2, image_size=32, optimizer="adamw", seed=1)
    aligner = Aligner(
        TinyBackbone(), TinyImageText(), settings=settings, features_dir=features, device="cpu"
    ).fit(labels, progress=False)
    state = aligner.encoder.head.state_dict()
    return [state[name].numpy().tobytes() for name in sorted(state)]


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts", "ignore:1 of 10 photographs")
def test_from_bucket_to_bucket_over_a_bad_line(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(storage, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(storage, "ATTEMPTS", 12)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for index in range(9):
        picture = Image.new("RGB", (64, 48), WORDS[index % 4])
        picture.paste(WORDS[(index + 1) % 4], (32, 0, 64, 48))
        picture.save(photographs / f"{index}.png")
    (photographs / "9.png").write_text("no picture")
    for photograph in photographs.iterdir():
        bucket.put(f"photographs/{photograph.name}", photograph.read_bytes())
    local = label(photographs, tmp_path / "labels")
    out = f"{bucket.uri}/labels"
    with unreliable(bucket, Faults(errors=0.2, cut=0.05, short=0.05, delay=0.01, seed=1)) as proxy:
        point_to(proxy, monkeypatch)
        label(f"{bucket.uri}/photographs", out)
        remote = LabelSet(out)
        assert remote.fingerprint == local.fingerprint
        assert remote.errors == local.errors
        assert weights(remote, tmp_path / "remote") == weights(local, tmp_path / "local")
    shards = {name: content for name, content in files(tmp_path / "labels").items() if "shard" in name}
    assert len(shards) == 3
    found = {name: read_whole(place) for name, place in files_in(place_of(out)).items()}
    assert found.keys() == {"manifest.json", *shards}
    assert {name: found[name] for name in shards} == shards
