"""Damage in a file of fmbseg's own is told."""

from __future__ import annotations

import hashlib
import random
import zlib
from typing import TYPE_CHECKING

import pytest

from fmbseg.checksums import (
    RowJournal,
    encode_row,
    iterate_rows,
    read_rows,
    read_sealed_json,
    seal,
    unseal,
    write_rows,
    write_sealed_json,
)
from fmbseg.files import DamagedFileError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"key": "a", "score": 0.5}, {"key": "b", "score": 0.25}, {"key": "c", "score": 1.0}]


def test_a_seal_is_the_sha256_of_what_is_before_it() -> None:
    sealed = seal(b"abc")
    assert sealed.startswith(b"abc")
    assert sealed.endswith(hashlib.sha256(b"abc").hexdigest().encode())
    assert unseal(sealed, "x") == b"abc"


def test_every_flipped_bit_breaks_a_seal() -> None:
    sealed = seal(b"some weights")
    for bit in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFileError, match="x is damaged"):
            unseal(bytes(flipped), "x")


def test_a_rows_checksum_is_that_of_all_before_it() -> None:
    _, chain = encode_row({"a": 1})
    assert chain == zlib.crc32(b'{"a": 1')
    second, chain = encode_row({"b": 2}, chain)
    assert chain == zlib.crc32(b'{"a": 1{"b": 2')
    assert second == b'{"b": 2, "crc32": "%08x"}\n' % chain


def test_every_flipped_bit_of_a_row_is_found_or_costs_the_last_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, ROWS)
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(flipped))
        try:
            found = read_rows(path)
        except DamagedFileError:
            continue
        assert found == ROWS[:2]  # its line feed is gone: as if a kill had cut it short


@pytest.mark.parametrize("order", [[0, 2], [1, 2], [0, 0, 1, 2], [1, 0, 2]])
def test_lines_that_are_lost_doubled_or_moved_are_found(tmp_path: Path, order: list[int]) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, ROWS)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[index] for index in order))
    with pytest.raises(DamagedFileError, match=r"rows\.jsonl, line \d+, is damaged"):
        read_rows(path)


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, ROWS)
    content = path.read_bytes()
    ends = [end for _, end, _ in iterate_rows(path)]
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        assert read_rows(path) == ROWS[: sum(end <= cut for end in ends)]
    assert read_rows(tmp_path / "absent") == []


def test_a_journal_goes_on_behind_the_last_whole_line(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    write_rows(whole, ROWS)
    cut.write_bytes(whole.read_bytes()[:-5])
    with RowJournal.after(cut) as journal:
        journal.append(ROWS[2])
    assert cut.read_bytes() == whole.read_bytes()


def test_rows_keep_any_text(tmp_path: Path) -> None:
    rows = [{"path": "犬 \u2028 é\n"}, {"path": b"caf\xe9.jpg".decode("utf-8", "surrogateescape")}]
    write_rows(tmp_path / "rows", rows)
    assert read_rows(tmp_path / "rows") == rows


def test_sealed_json_comes_back_and_edits_are_found(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_sealed_json(path, {"a": [1, 2.5, "é"], "b": {"c": None}})
    assert read_sealed_json(path) == {"a": [1, 2.5, "é"], "b": {"c": None}}
    content = path.read_bytes()
    generator = random.Random(0)
    for _ in range(300):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(bytes(flipped))
        try:
            found = read_sealed_json(path)
        except DamagedFileError:
            continue
        assert found == {"a": [1, 2.5, "é"], "b": {"c": None}}  # white space
