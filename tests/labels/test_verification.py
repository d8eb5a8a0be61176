"""Every kind of damage is found, with the file it is in; a sound set has none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import read_manifest
from fmbseg.labels.shards import SCHEMA, shard_name, write_shard
from fmbseg.labels.verification import verify
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import manifest
from tests.labels.pictures import write_labels

REMEDY = "put it back, or label again"


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    """Four photographs in two shards."""
    return write_labels(tmp_path)


def problems(labels: LabelSet, **options: bool) -> list[str]:
    return [str(problem) for problem in verify(labels.folder, **options)]


def rows(labels: LabelSet, index: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(labels.folder / f"shard-{index:05d}.parquet").to_pylist()
    return found


def rewrite(labels: LabelSet, index: int, content: list[dict[str, Any]], **origin: Any) -> None:
    said = {"manifest": labels.manifest["hash"], "shard": index, **origin}
    write_shard(labels.folder / shard_name(index), content, **said)


def test_a_sound_set(labels: LabelSet) -> None:
    assert problems(labels, photographs=True) == []


def test_a_shard_that_another_program_wrote_is_not_believed(labels: LabelSet) -> None:
    table = pa.Table.from_pylist(rows(labels, 0), schema=SCHEMA)
    pq.write_table(table, labels.folder / "shard-00000.parquet")
    (found,) = problems(labels)
    assert "is damaged (its footer is not as fmbseg wrote it)" in found


def test_records_that_are_not_those_of_the_hash(labels: LabelSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that is whole by its checksums, but whose hash is of other records."""
    monkeypatch.setattr("fmbseg.labels.shards.encode_row", lambda _: b"others")
    rewrite(labels, 1, rows(labels, 1))
    monkeypatch.undo()
    (found,) = problems(labels)
    assert found.startswith("shard-00001.parquet: does not have the records that its hash is of: delete it")


def test_a_missing_shard(labels: LabelSet) -> None:
    (labels.folder / "shard-00001.parquet").unlink()
    assert problems(labels) == [
        "shard-00001.parquet: is missing: run the same labelling again, and it continues"
    ]


def test_a_shard_cut_short(labels: LabelSet) -> None:
    shard = labels.folder / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    (found,) = problems(labels)
    assert found.startswith("shard-00000.parquet: ")
    assert "is damaged" in found
    assert "only this shard is redone" in found


def test_a_shard_of_another_set_or_place(labels: LabelSet) -> None:
    content = rows(labels, 0)
    rewrite(labels, 0, content, manifest="f" * 64)
    assert "belongs to another label set" in problems(labels)[0]
    rewrite(labels, 0, content, shard=1)
    assert "was written as shard 1" in problems(labels)[0]
    rewrite(labels, 0, content)
    assert problems(labels) == []


def test_records_lost_doubled_or_too_many(labels: LabelSet) -> None:
    content = rows(labels, 0)
    rewrite(labels, 0, content[:-1])
    assert "holds 2 records and 0 failures, but it should have 3 photographs" in problems(labels)[0]
    rewrite(labels, 0, [*content[:2], content[0]])
    assert "a.png is in the label set twice" in problems(labels)[0]
    rewrite(labels, 0, [*content, content[0]])
    assert len(problems(labels)) == 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"counts": "5"}, ", mask 1: its run lengths have 5 pixels, the image 24 x 36 = 864"),
        ({"class_id": 9}, " has a class outside 0 to 3"),
        ({"stage": 3}, ", mask 1: its stage is 3"),
        ({"stage": None}, ", mask 1: it has an empty field"),
        ({"points": [1.0]}, ", mask 1: one of its query points has no y"),
        ({"points": [1.0, float("inf")]}, ", mask 1: one of its query points is not a number"),
        ({"predicted_iou": float("nan")}, ", mask 1: one of its scores is not a number"),
        ({"similarity": float("inf")}, ", mask 1: one of its scores is not a number"),
        ({"certainty": 1.5}, ", mask 1: its certainty is not from 0 to 1"),
    ],
)
def test_a_mask_that_cannot_be(labels: LabelSet, change: dict[str, Any], what: str) -> None:
    content = rows(labels, 0)
    content[0]["masks"][1] |= change
    if "class_id" in change:
        content[0] |= {
            "detected": [*content[0]["detected"], 9],
            "presences": [*content[0]["presences"], None],
        }
    rewrite(labels, 0, content)
    (found,) = problems(labels)
    assert found.startswith(f"shard-00000.parquet: a.png{what}")
    with pytest.raises(ValueError, match=r"shard-00000\.parquet is damaged \(a\.png") as error:
        list(labels)
    assert what in str(error.value)


def test_a_mask_of_a_class_that_was_not_detected(labels: LabelSet) -> None:
    content = rows(labels, 0)
    content[0]["detected"] = []
    rewrite(labels, 0, content)
    assert "has a mask of a class that is not among those detected" in problems(labels)[0]


def test_presences_that_are_not_those_of_the_classes(labels: LabelSet) -> None:
    content = rows(labels, 0)
    content[0]["presences"][0] = -0.5
    del content[1]["presences"][0]
    rewrite(labels, 0, content)
    what = "does not say of each detected class how likely it is there, 0 to 1 or null"
    assert [what in found for found in problems(labels)] == [True, True]


def test_an_unfinished_run_and_a_stray_shard(labels: LabelSet) -> None:
    (labels.folder / "journal.jsonl").write_text("")
    shutil.copy(labels.folder / "shard-00000.parquet", labels.folder / "shard-00007.parquet")
    assert problems(labels) == [
        "shard-00007.parquet: is not one of this label set's 2 shards: move it away",
        "journal.jsonl: the labelling is not finished: run it again, and it continues",
    ]


def test_photographs_that_changed_or_are_gone(labels: LabelSet) -> None:
    root = Path(labels.root)
    (root / "a.png").write_bytes((root / "z.png").read_bytes())
    (root / "z.png").unlink()
    assert problems(labels) == []
    first, last = problems(labels, photographs=True)
    assert first == f"a.png: {root / 'a.png'} was changed since it was labelled: {REMEDY}"
    assert last == f"z.png: {root / 'z.png'} cannot be read (No such file or directory): {REMEDY}"


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../../../etc/hostname", "deep/../../x", "C:\\x", "", "a\0b"]
)
def test_a_path_that_leaves_the_folder_of_the_photographs(labels: LabelSet, path: str) -> None:
    """Else an export would write there, or hand on what lies there."""
    content = rows(labels, 0)
    content[1]["path"] = path
    rewrite(labels, 0, content)
    (found,) = problems(labels, photographs=True)
    assert "the folder" in found
    with pytest.raises(ValueError, match=r"shard-00000\.parquet is damaged"):
        list(LabelSet(labels.folder))


@pytest.mark.parametrize("path", ["./a.png", "a.png/", "deep//a.png"])
def test_a_second_way_to_write_a_path(labels: LabelSet, path: str) -> None:
    """Else one photograph could be in a set twice."""
    content = rows(labels, 0)
    content[0]["path"] = path
    rewrite(labels, 0, content)
    (found,) = problems(labels)
    assert "is not the plainest form of a path" in found


@pytest.mark.parametrize(
    ("features", "what"),
    [
        (["!!", None], ", mask 0: its feature is not valid base64"),
        (["AA==", None], ", mask 0: its feature is not valid base64"),
        (["AAA=", None], " has masks with features of different lengths"),
        (["AAA=", "AAAAAA=="], " has masks with features of different lengths"),
    ],
)
def test_features_that_cannot_be(labels: LabelSet, features: list[str | None], what: str) -> None:
    content = rows(labels, 0)
    for mask, feature in zip(content[0]["masks"], features, strict=False):
        mask["feature"] = feature
    rewrite(labels, 0, content)
    assert any(what in found for found in problems(labels))
    with pytest.raises(ValueError, match=r"shard-00000\.parquet is damaged"):
        list(LabelSet(labels.folder))


@pytest.mark.parametrize("column", ["path", "sha256", "height", "detected", "masks"])
def test_an_empty_field(labels: LabelSet, column: str) -> None:
    content = rows(labels, 0)
    content[1][column] = None
    rewrite(labels, 0, content)
    assert "has an empty field" in problems(labels, photographs=True)[0]
    with pytest.raises(ValueError, match="has an empty field"):
        list(labels)


@pytest.mark.parametrize(
    ("change", "what"), [({"sha256": "ab"}, "no SHA-256"), ({"width": 0}, "24 x 0 pixels")]
)
def test_a_record_that_cannot_be(labels: LabelSet, change: dict[str, Any], what: str) -> None:
    content = rows(labels, 0)
    content[0] |= change
    rewrite(labels, 0, content)
    assert what in problems(labels)[0]


def test_errors_count_as_photographs(tmp_path: Path) -> None:
    with LabelWriter(tmp_path, manifest(2)) as writer:
        writer.append_error("0.jpg", "damaged")
        writer.append_error("1.jpg", "damaged")
    assert verify(tmp_path) == []
    said = {"manifest": read_manifest(tmp_path)["hash"], "shard": 0}
    write_shard(tmp_path / shard_name(0), [{"path": "0.jpg", "error": "x"}], **said)
    assert "holds 0 records and 1 failures, but it should have 2 photographs" in str(verify(tmp_path)[0])


def test_another_version_and_no_manifest(labels: LabelSet, tmp_path: Path) -> None:
    path = labels.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 9}))
    (found,) = problems(labels)
    assert "has schema version 9; this fmbseg reads 4" in found
    with pytest.raises(FileNotFoundError, match="holds no label set"):
        verify(tmp_path / "nothing")
