"""Label sets and photographs on a Hub by their URIs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmbseg import LabelSet, storage
from fmbseg.images import load_image
from fmbseg.labels.verification import verify
from fmbseg.sources.contract import stored_images
from fmbseg.sources.opened import open_source
from fmbseg.storage import StorageError
from tests.labels.pictures import write_labels
from tests.labels.test_writer import files

if TYPE_CHECKING:
    from tests.hub.server import Hub


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfFileSystem

    HfFileSystem.clear_instance_cache()
    storage.forget()
    monkeypatch.setattr(storage, "FIRST_WAIT", 0.001)


def test_labels_and_photographs_of_a_dataset_are_read_where_they_are(hub: Hub, tmp_path: Path) -> None:
    local = write_labels(tmp_path)
    photographs = {one.path: (Path(local.root) / one.path).read_bytes() for one in local}
    hub.put("alice/labels", files(local.folder), kind="dataset")
    hub.put("alice/photos", {f"data/{name}": one for name, one in photographs.items()}, kind="dataset")
    there = LabelSet("hf://datasets/alice/labels")
    assert there.fingerprint == local.fingerprint
    assert [one.path for one in there] == [one.path for one in local]
    assert verify("hf://datasets/alice/labels") == []
    source = open_source("hf://datasets/alice/photos/data")
    assert list(source.keys()) == sorted(photographs)
    assert source.read(sorted(photographs)[0]) == photographs[sorted(photographs)[0]]
    assert load_image(stored_images(source)[0]).shape[2] == 3


def test_what_may_not_be_read_is_told_without_the_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put("bob/labels", {"manifest.json": b"{}"}, kind="dataset", gated=True)
    with pytest.raises(StorageError, match=r"may not be read with these credentials \(from HF_TOKEN") as told:
        storage.read("hf://datasets/bob/labels/manifest.json")
    assert "hf_alice" not in str(told.value)
    with pytest.raises(FileNotFoundError):
        storage.read("hf://datasets/alice/nothing/manifest.json")
