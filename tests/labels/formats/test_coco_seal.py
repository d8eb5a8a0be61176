"""A COCO file that was changed since its export is taken, and told."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import pytest

from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_import import import_coco
from tests.labels.pictures import write_labels

if TYPE_CHECKING:
    from pathlib import Path


def test_an_export_comes_back_without_a_word_and_a_correction_with_one(tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels")
    path = tmp_path / "labels.json"
    export_coco(labels, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import_coco(path, labels.root, tmp_path / "back")
    content = json.loads(path.read_text())
    content["annotations"][0]["attributes"]["kept"] = False
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"labels\.json was changed since fmbseg exported it"):
        found = import_coco(path, labels.root, tmp_path / "corrected")
    assert sum(int((~image.kept).sum()) for image in found) >= 1
