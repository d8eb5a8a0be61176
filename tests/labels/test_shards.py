"""Rows keep every bit through JSON and Parquet; files are written whole."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.labels.shards import (
    SCHEMA,
    encode_row,
    from_row,
    read_facts,
    read_shard,
    shard_name,
    to_row,
    write_shard,
)
from tests.labels.examples import ARRAYS, assert_equal, boxes, empty_record, record

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from fmbseg.labels.record import LabeledImage

ORIGIN: dict[str, Any] = {"manifest": "ef" * 32, "shard": 3}
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def records(draw: st.DrawFn) -> LabeledImage:
    count = draw(st.integers(0, 4))
    corners = [(0, 0, draw(st.integers(1, 4)), draw(st.integers(1, 6))) for _ in range(count)]
    points = tuple(
        np.array(draw(st.lists(st.tuples(numbers, numbers), max_size=3)), np.float32).reshape(-1, 2)
        for _ in range(count)
    )
    return record(
        draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)),
        boxes(*corners),
        detected=tuple(draw(st.lists(st.integers(0, 2**31 - 1), max_size=3))),
        class_ids=np.array([draw(st.integers(0, 2**31 - 1)) for _ in range(count)], np.int32),
        stages=np.array([draw(st.sampled_from([11, 12])) for _ in range(count)], np.int8),
        similarities=np.array([draw(numbers) for _ in range(count)], np.float32),
        kept=np.array([draw(st.booleans()) for _ in range(count)], np.bool_),
        points=points,
    )


@given(records())
@settings(deadline=None, max_examples=60)
def test_a_row_through_json_and_parquet(
    tmp_path_factory: pytest.TempPathFactory, image: LabeledImage
) -> None:
    through_json = json.loads(json.dumps(to_row(image)))
    assert_equal(from_row(through_json), image)
    path = tmp_path_factory.mktemp("shard") / "one.parquet"
    write_shard(path, [through_json], **ORIGIN)
    assert_equal(from_row(pq.read_table(path).to_pylist()[0]), image)
    content = json.dumps(to_row(image), sort_keys=True, separators=(",", ":")).encode() + b"\n"
    facts = read_facts(path)
    assert facts == ("ef" * 32, 3, sha256(content).hexdigest(), 1, 0)
    assert list(map(encode_row, read_shard(path))) == [content]


def test_the_types_of_a_record_that_was_read() -> None:
    for image in (record(), empty_record()):
        found = from_row(json.loads(json.dumps(to_row(image))))
        assert [getattr(found, name).dtype for name in ARRAYS] == [
            *(np.int32, np.int8, np.float32, np.bool_, np.float32, np.float32)
        ]


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    rows = [to_row(record()), to_row(empty_record()), to_row(record("später/犬.jpg"))]
    write_shard(tmp_path / "one", rows, **ORIGIN)
    write_shard(tmp_path / "two", json.loads(json.dumps(rows)), **ORIGIN)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    write_shard(tmp_path / "three", rows[:2], **ORIGIN)
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


def test_a_shard_without_rows_has_its_columns(tmp_path: Path) -> None:
    write_shard(tmp_path / "none", [], **ORIGIN)
    table = pq.read_table(tmp_path / "none")
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA)


def test_names_sort_like_numbers() -> None:
    assert shard_name(3) == "shard-00003.parquet"
    assert sorted([shard_name(10), shard_name(9)]) == [shard_name(9), shard_name(10)]


def test_the_hash_is_of_the_rows_however_they_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [to_row(record(f"{index}.jpg")) for index in range(5)]
    write_shard(tmp_path / "one", rows, **ORIGIN)
    monkeypatch.setattr("fmbseg.labels.shards.ROW_GROUP", 2)
    write_shard(tmp_path / "groups", rows, **ORIGIN)
    write_shard(tmp_path / "other", [*rows[:4], rows[3]], **ORIGIN)
    one, groups, other = (read_facts(tmp_path / name) for name in ("one", "groups", "other"))
    assert (tmp_path / "one").read_bytes() != (tmp_path / "groups").read_bytes()
    assert one == groups
    assert one.content != other.content
    assert list(read_shard(tmp_path / "one")) == list(read_shard(tmp_path / "groups")) == rows
