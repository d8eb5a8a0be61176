"""Label sets on a Hub: pushed, and loaded by `datasets` itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import DatasetCard
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.labels.record import POINT_STAGE
from fmbseg.models.hub_push import PushError
from tests.hub.server import Fault
from tests.hub.test_new_environment import environment
from tests.labels.pictures import NAMES, SIZES, write_labels

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.label_set import LabelSet
    from tests.hub.server import Hub

pytest.importorskip("datasets")

LOAD = """
import json, sys
import numpy as np
from datasets import load_dataset
labels = load_dataset(sys.argv[1], split="train", token=sys.argv[2] or None)
rows = [
    {
        "path": row["path"],
        "image": np.asarray(row["image"]).sum().item(),
        "label": np.asarray(row["label"]).astype(int).tolist(),
        "masks": [[mask["counts"], mask["class_id"]] for mask in row["masks"]],
    }
    for row in labels
]
print(json.dumps({"names": labels.features["masks"].feature["class_id"].names, "rows": rows}))
"""


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def load(hub: Hub, home: Path, repo: str, token: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOAD, repo, token],
        capture_output=True,
        text=True,
        check=False,
        env=environment(hub, home),
        timeout=900,
    )


def test_datasets_loads_what_was_pushed_by_name(hub: Hub, labels: LabelSet, tmp_path: Path) -> None:
    address = labels.push_to_hub("alice/labels", private=True, license="cc-by-4.0")
    repository = hub.repository("alice/labels", "dataset")
    assert address.endswith(repository.branches["main"])
    assert set(repository.files("main")) == {"README.md", "data/train-00000-of-00001.parquet"}

    done = load(hub, tmp_path / "newcomer", "alice/labels", "hf_alice")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["names"] == NAMES
    assert [row["path"] for row in found["rows"]] == list(SIZES)
    for row, image in zip(found["rows"], labels, strict=True):
        assert row["label"] == (image.label_map() + 1).tolist()
        assert [class_id for _, class_id in row["masks"]] == image.class_ids.tolist()

    without = load(hub, tmp_path / "stranger", "alice/labels")
    assert without.returncode != 0
    assert "alice/labels" in without.stderr


def test_a_second_push_leaves_no_shard_of_the_first(
    hub: Hub, labels: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmbseg.labels.formats import hf_datasets

    export = hf_datasets.export_datasets
    monkeypatch.setattr(hf_datasets, "export_datasets", lambda *a, **b: export(*a, **b, shard_size=2))
    labels.push_to_hub("alice/labels")
    monkeypatch.setattr(hf_datasets, "export_datasets", export)
    labels.push_to_hub("alice/labels")
    files = hub.repository("alice/labels", "dataset").files("main")
    assert set(files) == {"README.md", "data/train-00000-of-00001.parquet"}


def test_the_card_says_what_the_labels_are(hub: Hub, labels: LabelSet) -> None:
    labels.push_to_hub("alice/labels", license="cc-by-4.0")
    card = hub.repository("alice/labels", "dataset").files("main")["README.md"].content.decode()
    body = card.split("---\n", 2)[2]
    stated: Any = DatasetCard(card).data
    assert stated["license"] == "cc-by-4.0"
    assert stated["task_categories"] == ["image-segmentation"]
    assert stated["size_categories"] == ["n<1K"]
    for part in (*NAMES, "4 photographs", labels.fingerprint, "`conse`", "`superpixels`"):
        assert part in body


def test_a_broken_push_leaves_the_data_set_as_it_was(hub: Hub, labels: LabelSet) -> None:
    labels.push_to_hub("alice/labels")
    before = dict(hub.repository("alice/labels", "dataset").branches)
    hub.faults.append(Fault("PUT", "/upload/", after=10, times=10**6))
    with pytest.raises(PushError, match="alice/labels was not pushed"):
        labels.stage(POINT_STAGE).push_to_hub("alice/labels")
    assert hub.repository("alice/labels", "dataset").branches == before


def test_on_the_command_line(hub: Hub, labels: LabelSet) -> None:
    done = CliRunner().invoke(
        app, ["labels", "push", str(labels.folder), "alice/labels", "--branch", "draft", "--private"]
    )
    assert done.exit_code == 0, done.output
    repository = hub.repository("alice/labels", "dataset")
    assert repository.private
    assert set(repository.files("draft")) == {"README.md", "data/train-00000-of-00001.parquet"}
    assert set(repository.files("main")) == set()
