"""Kinds of files by their first bytes, which no message shows."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg.images import ImageError, load_image
from fmbseg.signatures import kind_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera raw file"),
        (b"\0\0\0\x18ftypisom", "a video (MP4 or the like)"),
        (b"\n <!DOCTYPE html><p>404", "HTML"),
        (b"<html>", "HTML"),
        (b'{"error": 1}', "JSON"),
        ("Größe: 1\n".encode(), "text"),
        (("ö" * 300).encode()[:-1] + b"\xc3\xb6", "text"),
        (b"root:x:0:0:root:/root:/bin/bash\n", "text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"),
        (bytes(600), "only zeros"),
        (b"\xde\xad\xbe\xef", None),
        (b"", None),
    ],
)
def test_kinds_by_hand(tmp_path: Path, content: bytes, kind: str | None) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert kind_of(path.read_bytes()) == kind


def test_kinds_as_other_libraries_write_them(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(b"x"))
    assert kind_of(path.read_bytes()) == "gzip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    assert kind_of(path.read_bytes()) == "zip"
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    assert kind_of(path.read_bytes()) == "an SQLite database"
    for name in ("JPEG", "PNG", "GIF", "WebP", "AVIF"):
        Image.new("RGB", (2, 2)).save(path, name)
        assert kind_of(path.read_bytes()) == name


@pytest.mark.parametrize("content", [b"root:x:0:0", b"\xde\xad\xbe\xefsecret", b"P5 secret 9"])
def test_no_message_shows_what_a_file_holds(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    (tmp_path / "a.jpg").symlink_to(tmp_path / "secret")
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / "a.jpg")
    said = str(caught.value).replace(str(tmp_path), "")
    assert not any(piece in said for piece in ("root", "ecre", "dead", r"\xde"))


def test_a_broken_png_does_not_quote_its_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (9, 9)).save(path)
    path.write_bytes(path.read_bytes().replace(b"IDAT", b"\1hid"))
    with pytest.raises(ImageError, match=r"a\.png is") as caught:
        load_image(path)
    assert "hid" not in str(caught.value)
