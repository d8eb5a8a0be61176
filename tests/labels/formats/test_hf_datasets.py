"""Hugging Face's `datasets` loads the shards as they are, and the export with its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fmbseg.labels.formats.hf_datasets import export_datasets
from fmbseg.labels.shards import from_row
from tests.labels.examples import assert_equal
from tests.labels.pictures import NAMES, SIZES, write_labels

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.label_set import LabelSet

datasets = pytest.importorskip("datasets")


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def load(cache: Path, *given: str, **named: Any) -> Any:
    return datasets.load_dataset(*given, split="train", cache_dir=str(cache / "cache"), **named)


def test_the_shards_load_as_they_are(labels: LabelSet, tmp_path: Path) -> None:
    found = load(tmp_path, "parquet", data_files=str(labels.folder / "shard-*.parquet"))
    assert found["path"][:] == list(SIZES)
    for row, wanted in zip(found, labels, strict=True):
        assert_equal(from_row(row), wanted)


def test_the_export_loads_with_classes_and_pictures(labels: LabelSet, tmp_path: Path) -> None:
    folder = export_datasets(labels, tmp_path / "hub", shard_size=3).path
    assert len(list((folder / "data").glob("*.parquet"))) == 2
    found = load(tmp_path, str(folder))
    classes = found.features["masks"].feature["class_id"]
    assert classes.names == NAMES
    assert found.features["detected"].feature.names == NAMES
    for row, wanted in zip(found, labels, strict=True):
        assert_equal(from_row(row), wanted)
        with Image.open(str(labels.image_path(wanted))) as photograph:
            np.testing.assert_array_equal(np.asarray(row["image"]), np.asarray(photograph))
        np.testing.assert_array_equal(np.asarray(row["label"]), wanted.label_map() + 1)


def test_without_the_package_the_error_says_what_to_install(
    labels: LabelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'fmbseg\[datasets\]'"):
        export_datasets(labels, tmp_path / "hub")
    with pytest.raises(ValueError, match="shard_size is 0"):
        export_datasets(labels, tmp_path / "hub", shard_size=0)
