"""One door: folders, files, lists and tables, here and by URI."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmbseg import storage
from fmbseg.images import ImageError, load_image
from fmbseg.missing_package import MissingPackageError
from fmbseg.sources.contract import Source, StoredImage
from fmbseg.sources.key_list import KeyList
from fmbseg.sources.opened import open_root, open_source
from tests.sources.places import png

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cloud import Bucket


def seen(source: Source) -> list[int]:
    """The greys of all photographs."""
    return [int(load_image(StoredImage(source, key))[0, 0, 0]) for key in iter(source.keys())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs, a film and a note."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(("b.png", "deep/a.png", "a.PNG")):
        (folder / name).write_bytes(png(number))
    (folder / "film.mov").write_bytes(b"film")
    (folder / "note.txt").write_text("note")
    return folder


def test_a_folder_and_files_on_this_machine(folder: Path) -> None:
    source = open_source(folder)
    assert isinstance(source, Source)
    assert source.root == str(folder)
    assert list(source.keys()) == ["a.PNG", "b.png", "deep/a.png"]
    assert seen(source) == [2, 0, 1]
    assert "1 file was passed over (1 .mov" in source.told()
    again = pickle.loads(pickle.dumps(source))
    assert (again.root, list(again.keys())) == (source.root, list(source.keys()))
    some = open_source([folder / "deep" / "a.png", str(folder / "b.png")])
    assert (some.root, list(some.keys())) == (str(folder), ["b.png", "deep/a.png"])
    (folder / "b.png").unlink()
    with pytest.raises(ImageError, match=r"b\.png does not exist"):
        some.read("b.png")
    assert some.sizes()[0] == -1


def test_a_folder_in_object_storage_has_the_keys_of_the_same_folder_here(
    folder: Path, bucket: Bucket
) -> None:
    for path in folder.rglob("*.*"):
        bucket.put(f"x/photos/{path.relative_to(folder).as_posix()}", path.read_bytes())
    bucket.put("x/photos/.hidden/c.png", png(7))
    bucket.put("x/photos-2/c.png", png(7))
    here, there = open_source(folder), open_source(f"{bucket.uri}/x/photos/")
    assert there.root == f"{bucket.uri}/x/photos"
    assert list(there.keys()) == list(here.keys())
    assert list(there.sizes()) == list(here.sizes())
    assert seen(there) == seen(here)
    assert there.told() == here.told()
    assert pickle.loads(pickle.dumps(there)).read("b.png") == png(0)
    with pytest.raises(ImageError, match=r"photos/none\.png does not exist"):
        there.read("none.png")
    with pytest.raises(FileNotFoundError, match="holds nothing; check its spelling"):
        open_source(f"{bucket.uri}/y")
    assert load_image(f"{bucket.uri}/x/photos/b.png").shape == (4, 4, 3)


def test_lists_name_photographs_by_uri_or_by_path(folder: Path) -> None:
    for number in range(3):
        storage.put(f"memory://sources-list/{number}.png", png(number))
    uris = [f"memory://sources-list/{number}.png" for number in (2, 0, 2)]
    (folder / "uris.txt").write_text("\ufeff" + "\n\n".join(uris) + "\n", encoding="utf-8")
    listed = open_source(folder / "uris.txt")
    assert (listed.root, list(listed.keys())) == ("memory://sources-list", ["0.png", "2.png"])
    assert seen(listed) == [0, 2]
    (folder / "paths.txt").write_text(f"deep/a.png\n{folder / 'b.png'}\n")
    assert list(open_source(folder / "paths.txt").keys()) == ["b.png", "deep/a.png"]
    pq.write_table(pa.table({"url": uris, "caption": ["x", "y", None]}), folder / "list.parquet")
    for name in ("list.parquet", "list.parquet#url"):
        assert list(open_source(f"{folder}/{name}").keys()) == ["0.png", "2.png"]
    with pytest.raises(ImageError, match="has no column 'urls'; its columns are url, caption"):
        open_source(f"{folder}/list.parquet#urls")
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(ImageError, match=r"empty\.txt names no photograph"):
        open_source(folder / "empty.txt")


def test_parquet_holds_images_as_the_hub_writes_them_or_as_bytes(tmp_path: Path) -> None:
    pictures = [png(number) for number in range(7)]
    hub = pa.table({"image": [{"bytes": one, "path": None} for one in pictures], "label": list(range(7))})
    pq.write_table(hub, tmp_path / "hub.parquet", row_group_size=3)
    source = open_source(tmp_path / "hub.parquet")
    assert list(source.keys()[5:]) == ["hub.parquet/00000005", "hub.parquet/00000006"]
    assert seen(source) == list(range(7))
    plain = pa.table({"thumb": pa.array([b"no picture"]), "full": pa.array([png(9)])})
    pq.write_table(plain, tmp_path / "two.parquet")
    with pytest.raises(ImageError, match=r"which column of .*#COLUMN, with one of thumb, full"):
        open_source(tmp_path / "two.parquet")
    chosen = open_source(f"{tmp_path}/two.parquet#full")
    assert list(chosen.keys()) == ["two.parquet#full/00000000"]
    assert open_root(tmp_path).read("two.parquet#full/00000000") == png(9)
    with pytest.raises(ImageError, match="has 7 rows, and no row 7"):
        source.read("hub.parquet/00000007")
    storage.put("memory://sources-parquet/data/0.parquet", (tmp_path / "hub.parquet").read_bytes())
    far = open_source("memory://sources-parquet")
    assert (far.root, far.keys()[6]) == ("memory://sources-parquet", "data/0.parquet/00000006")
    assert seen(far) == list(range(7))
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "hub.parquet").read_bytes()[:-9])
    with pytest.raises(ImageError, match=r"torn\.parquet is not a table that can be read"):
        open_source(tmp_path / "torn.parquet")


def test_what_datasets_saves_is_read_without_it(tmp_path: Path) -> None:
    import datasets

    rows = [{"image": {"bytes": png(number), "path": None}, "label": number} for number in range(5)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows, features=features)}).save_to_disk(
        str(tmp_path / "saved")
    )
    source = open_source(tmp_path / "saved")
    assert source.keys()[0] == "train/data-00000-of-00001.arrow/00000000"
    assert seen(source) == list(range(5))


def test_places_that_do_not_go_together_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put("memory://sources-mixed/a.png", png(1))
    with pytest.raises(ValueError, match="is a path and memory://sources-mixed a URI"):
        open_source([folder, "memory://sources-mixed"])
    with pytest.raises(ValueError, match="have nothing in common"):
        open_source(["memory://sources-mixed/a.png", "s3://bucket/b.png"])
    with pytest.raises(ImageError, match="is listed twice: leave one out"):
        open_source(["memory://sources-mixed", "memory://sources-mixed/a.png"])
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    storage.forget()
    with pytest.raises(MissingPackageError, match=r"gs:// needs gcsfs: pip install 'fmbseg\[cloud\]'"):
        open_source("gs://bucket/photos")


def test_keys_take_little_memory_and_are_sorted_as_python_sorts() -> None:
    keys = KeyList.of(f"folder/{number}.jpg" for number in range(200_000))
    assert keys.values.nbytes < 6_000_000
    assert list(keys[199_998:]) == ["folder/199998.jpg", "folder/199999.jpg"]
    assert list(keys[:6:5]) == ["folder/0.jpg", "folder/5.jpg"]
    odd = ["é", "z", "Z", "\U0001f600", "\uffff", "z", ""]
    assert list(KeyList.of(odd).distinct()) == sorted(set(odd))
    assert KeyList.of(odd).first_repeated() == "z"
    assert KeyList.of(["a"]).first_repeated() is None
