"""Opening a folder of labels: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import manifest_hash
from fmbseg.labels.shards import SCHEMA, shard_name
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import assert_equal, empty_record, manifest, record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photographs in shards of two; the second cannot be read."""
    with LabelWriter(tmp_path, manifest(5)) as writer:
        writer.append(record("0.jpg"))
        writer.append_error("1.jpg", "1.jpg is damaged; get it again")
        writer.append(empty_record("2.png"))
        writer.append(record("3.jpg"))
        writer.append(record("4.jpg"))
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    labels = LabelSet(folder)
    assert len(labels) == 4
    expected = [record("0.jpg"), empty_record("2.png"), record("3.jpg"), record("4.jpg")]
    for found, wanted in zip(labels, expected, strict=True):
        assert_equal(found, wanted)
    assert [image.path for image in labels] == [image.path for image in labels]  # twice
    assert labels.vocabulary.names == ("a", "b", "c", "d", "e")
    assert labels.image_path(next(iter(labels))) == Path("/photographs/0.jpg")
    assert labels.errors == [{"shard": 0, "path": "1.jpg", "error": "1.jpg is damaged; get it again"}]


def test_the_fingerprint_is_that_of_all_but_the_root() -> None:
    plain = manifest(5)
    assert manifest_hash(plain) == manifest_hash({**plain, "root": "/elsewhere", "hash": "any"})
    assert manifest_hash(plain) != manifest_hash({**plain, "shard_size": 3})
    assert manifest_hash(plain) != manifest_hash({**plain, "settings": {"seed": 1, "min_crops": 2}})


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_manifest_changed_by_hand_is_refused(folder: Path) -> None:
    change_manifest(folder, settings={"seed": 7, "min_crops": 2})
    with pytest.raises(ValueError, match=r"manifest\.json was changed after it was written"):
        LabelSet(folder)


def test_a_folder_may_be_told_where_the_photographs_are_now(folder: Path) -> None:
    change_manifest(folder, root="/moved")
    assert LabelSet(folder).root == Path("/moved")


def test_another_version_is_refused(folder: Path) -> None:
    change_manifest(folder, schema_version=3)
    with pytest.raises(ValueError, match=r"manifest\.json has schema version 3; this fmbseg reads 2"):
        LabelSet(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '"text"'])
def test_what_is_no_manifest_is_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json is not a label set's manifest"):
        LabelSet(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / shard_name(1)).unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 shards are missing \(shard-00001\.parquet first\)"):
        LabelSet(folder)


def damaged(folder: Path) -> ValueError:
    with pytest.raises(ValueError, match=r"shard-00001\.parquet is damaged.*Delete it and run") as error:
        list(LabelSet(folder))
    return error.value


def test_a_shard_that_was_cut_short_is_named(folder: Path) -> None:
    shard = folder / shard_name(1)
    shard.write_bytes(shard.read_bytes()[:-30])
    damaged(folder)
    shard.write_bytes(b"")
    damaged(folder)


def test_a_flipped_bit_in_any_column_is_noticed(folder: Path) -> None:
    shard = folder / shard_name(1)
    whole = shard.read_bytes()
    group = pq.ParquetFile(shard).metadata.row_group(0)
    assert group.num_columns == 14
    for column in map(group.column, range(group.num_columns)):
        first = column.dictionary_page_offset or column.data_page_offset
        last = first + column.total_compressed_size - 1  # of a page's content, whatever its header's length
        shard.write_bytes(whole[:last] + bytes([whole[last] ^ 1]) + whole[last + 1 :])
        damaged(folder)
    shard.write_bytes(whole)
    assert len(list(LabelSet(folder))) == 4


def test_another_table_is_no_shard(folder: Path) -> None:
    pq.write_table(pa.table({"path": ["0.jpg"], "masks": [1]}), folder / shard_name(1))
    assert "its columns are not those of a shard: path, masks" in str(damaged(folder))
    assert SCHEMA.names[0] == "path"
