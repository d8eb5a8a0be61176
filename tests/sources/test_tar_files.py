"""Photographs within tar files: found, read at random, and what is wrong told."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tarfile
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from fmbseg import storage
from fmbseg.images import ImageError, load_image
from fmbseg.sources.contract import StoredImage
from fmbseg.sources.opened import open_root, open_source
from tests.sources.places import png, web_dataset, write_tar

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cloud import Bucket


def test_photographs_are_found_in_order_and_read_at_random(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", web_dataset(3))
    write_tar(tmp_path / "a.tar", [("./deep/z.png", png(9)), ("._z.png", b"macOS"), ("y.png", png(8))])
    source = open_source([tmp_path / "b.tar", tmp_path / "a.tar"])
    assert source.root == str(tmp_path)
    assert list(source.keys()) == [f"b.tar/00{number}.png" for number in range(3)] + [
        "a.tar/deep/z.png",
        "a.tar/y.png",
    ]
    assert [int(load_image(StoredImage(source, key))[0, 0, 0]) for key in reversed(source.keys())] == [
        *(8, 9, 2, 1, 0)
    ]
    assert list(source.sizes()) == [len(png(number)) for number in (0, 1, 2, 9, 8)]
    assert source.told() == ""


def test_a_source_is_opened_again_elsewhere_and_read_by_root_and_key(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", web_dataset(2))
    source = open_source(tmp_path / "a.tar")
    again = pickle.loads(pickle.dumps(source))
    assert list(again.keys()) == list(source.keys())
    assert open_root(tmp_path).read("a.tar/001.png") == png(1)


def test_braces_and_wildcards_stand_for_tars_of_object_storage(tmp_path: Path, bucket: Bucket) -> None:
    content = write_tar(tmp_path / "a.tar", web_dataset(2))
    for name in ("008", "009", "010", "011"):
        bucket.put(f"shards/{name}.tar", content)
    source = open_source(f"{bucket.uri}/shards/{{009..010}}.tar")
    assert source.root == f"{bucket.uri}/shards"
    assert list(source.keys()) == [f"{tar}.tar/{key}.png" for tar in ("009", "010") for key in ("000", "001")]
    assert source.read("010.tar/001.png") == png(1)
    assert len(open_source(f"{bucket.uri}/shards/01*.tar").keys()) == 4
    assert len(open_source(f"{bucket.uri}/shards").keys()) == 8
    with pytest.raises(ImageError, match=r"stands for no file: 4 in .* do not match"):
        open_source(f"{bucket.uri}/shards/2*.tar")


@pytest.mark.parametrize(
    ("length", "whole"),
    [
        (4 * 512, 1),  # after a photograph and the file beside it: at a boundary
        (5 * 512, 1),  # behind the second one's header
        (5 * 512 + 30, 1),  # within its bytes
        (4 * 512 + 100, 1),  # within its header
    ],
)
def test_of_a_tar_cut_short_the_photographs_so_far_count(tmp_path: Path, length: int, whole: int) -> None:
    content = write_tar(tmp_path / "a.tar", web_dataset(3))
    (tmp_path / "a.tar").write_bytes(content[:length])
    source = open_source(tmp_path / "a.tar")
    assert len(source.keys()) == whole
    assert f"a.tar is cut short or damaged: its {whole} whole photographs count" in source.told()
    assert source.read("a.tar/000.png") == png(0)


def test_a_damaged_header_ends_a_tar_and_is_told(tmp_path: Path) -> None:
    content = bytearray(write_tar(tmp_path / "a.tar", web_dataset(3)))
    content[4 * 512 : 4 * 512 + 40] = b"x" * 40
    (tmp_path / "a.tar").write_bytes(content)
    assert "its 1 whole photographs count" in open_source(tmp_path / "a.tar").told()


def test_a_photograph_that_comes_twice_is_refused_and_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [*web_dataset(3), ("001.png", png(5))])
    with pytest.raises(ImageError, match=r"a\.tar holds 001\.png twice, as its photographs 2 and 4"):
        open_source(tmp_path / "a.tar")


def test_what_is_no_tar_or_is_compressed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(ImageError, match=r"a\.tar is not a tar file"):
        open_source(tmp_path / "a.tar")
    with pytest.raises(ImageError, match=r"b\.tar\.gz is compressed"):
        open_source(f"memory://sources/{'b.tar.gz'}")


def test_a_member_that_leads_elsewhere_is_never_read_from_there(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("../../etc/passwd.png", png(1)), ("b.png", png(2))])
    source = open_source(tmp_path / "a.tar")
    assert list(source.keys()) == ["a.tar/../../etc/passwd.png", "a.tar/b.png"]
    with pytest.raises(ValueError, match="leads out of"):
        source.read("a.tar/../../etc/passwd.png")


# In a process of its own: threads that other tests left in this one would be counted as well.
_MEASURE = """
import json, pathlib, sys, tracemalloc
from hashlib import sha256
from fmbseg.sources.opened import open_source
from fmbseg.sources.tar_files import tar_index

small, big = sys.argv[1:]
tar_index(small)  # what it imports is no memory of the tar
tracemalloc.start()
index = tar_index(big)
_, peak = tracemalloc.get_traced_memory()
# Python's table of names that pathlib has seen grows in one step, whoever is next.
others = tracemalloc.Filter(inclusive=False, filename_pattern=pathlib.__file__)
kept = sum(one.size for one in tracemalloc.take_snapshot().filter_traces([others]).statistics("filename"))
source = open_source(big)
held, read = [], []
for number, key in enumerate(source.keys()):
    content = source.read(key)
    if number in (100, len(index.names) - 1):
        held.append(tracemalloc.get_traced_memory()[0])
        read.append(sha256(content).hexdigest())
tracemalloc.stop()
names, keys = list(index.names), list(source.keys()[4321:4323])
print(json.dumps({"names": names, "keys": keys, "kept": kept, "peak": peak, "held": held, "read": read}))
"""


def test_ten_thousand_photographs_take_little_memory_in_the_order_of_the_tar(tmp_path: Path) -> None:
    """The index alone is kept: a name and two numbers a photograph, whatever is read."""
    picture, count = png(3) + bytes(4000), 10_000
    names = [f"{(number * 7919) % count:05}.png" for number in range(count)]  # in no order of names
    about = tarfile.TarInfo()
    with (tmp_path / "big.tar").open("wb") as file:
        for name in names:
            about.name, about.size = name, len(picture)
            file.write(about.tobuf() + picture + bytes(-len(picture) % 512))
        file.write(bytes(1024))
    write_tar(tmp_path / "a.tar", web_dataset(1))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path / "a.tar"), str(tmp_path / "big.tar")],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["names"] == names
    assert told["keys"] == [f"big.tar/{name}" for name in names[4321:4323]]
    assert told["kept"] < 1_000_000
    assert told["peak"] < 5_000_000  # the photographs are 41 million bytes
    assert told["held"][1] - told["held"][0] < 100_000
    assert told["read"] == [sha256(picture).hexdigest()] * 2


def test_a_tar_in_storage_is_read_by_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write_tar(
        tmp_path / "a.tar", [*web_dataset(2), ("big.png", bytes(3_000_000)), ("z.png", png(7))]
    )
    storage.put("memory://sources-tar/a.tar", content)
    asked: list[int] = []
    read = storage.read

    def counted(uri: str, start: int = 0, end: int = 0, **more: int) -> bytes:
        asked.append(end - start)
        return read(uri, start, end, **more)

    monkeypatch.setattr(storage, "read", counted)
    source = open_source("memory://sources-tar/a.tar")
    assert sum(asked) < 2_200_000  # two blocks of a mebibyte and the end: not the large one's middle
    asked.clear()
    assert source.read("a.tar/z.png") == png(7)
    assert asked[-1] == len(png(7))
