"""Opening a folder of labels: what is read, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmbseg.files import DamagedFileError
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import manifest_hash
from fmbseg.labels.shards import read_facts, read_shard, shard_name, write_shard
from fmbseg.labels.verification import verify
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
    with pytest.raises(ValueError, match=r"manifest\.json has schema version 3; this fmbseg reads 4"):
        LabelSet(folder)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"{}", b"null", b'"text"', b"\xff\xfe", b'{"schema_version": NaN}'),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"manifest\.json is not a label set's manifest") as error:
        LabelSet(folder)
    assert "\n" not in str(error.value)
    assert len(verify(folder)) == 1


WORDS = manifest(1)["vocabulary"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": None}, "vocabulary is None: it must be a JSON object"),
        ({"vocabulary": {"names": ["a"]}}, "a saved vocabulary lacks background, prompts, templates"),
        ({"vocabulary": {**WORDS, "names": "abcde"}}, "names of a saved vocabulary is a list"),
        ({"vocabulary": {**WORDS, "background": ["x"]}}, "background"),
        ({"vocabulary": {**WORDS, "templates": [1]}}, "template"),
        ({"models": []}, r"models is \[\]: it must be a JSON object"),
        ({"models": {"image_text": 1}}, r"models\.image_text is 1: it must be text"),
        ({"models": {"mask_options": "x"}}, r"models\.mask_options is 'x': it must be a JSON object"),
        ({"settings": "x"}, "settings is 'x': it must be a JSON object"),
        ({"settings": {"certainty": 2}}, r"settings\.certainty is 2\.0: it must be a number from 0 to 1"),
        ({"settings": {"certainty": []}}, r"settings\.certainty cannot be read"),
        ({"images": 5}, "images is 5: it must be a JSON object"),
        ({"images": {}}, r"images\.count is None: it must be the number of photographs"),
        ({"images": {"count": -1}}, r"images\.count is -1"),
        ({"images": {"count": True}}, r"images\.count is True"),
        ({"images": {"count": 10**12}}, r"images\.count is 1000000000000: .* at most 1000000 shards"),
        ({"shard_size": 0}, "shard_size is 0: it must be 1 or more"),
        ({"shard_size": 2.0}, r"shard_size is 2\.0: it must be 1 or more"),
        ({"root": ["/"]}, r"root is \['/'\]: it must be text"),
        ({"root": ""}, "root is '': it must be the photographs' folder, a whole path or a URI"),
        ({"root": "photographs"}, "root is 'photographs': it must be the photographs' folder"),
        ({"root": "/a\0b"}, "root is .*: it must be the photographs' folder"),
        ({"fmbseg": 1}, "fmbseg is 1: it must be a version"),
        ({"source": 1}, "source is 1: it must be a hash or a JSON object"),
        ({"steps": {}}, r"steps is \{\}: it must be a list"),
        ({"merged": "x"}, "merged is 'x': it must be a list"),
        ({"image_labels": 1}, "image_labels is 1: it must be a JSON object"),
        ({"models": {"image_text": "x" * 1000}, "settings": 1}, "settings is 1"),
    ],
)
def test_a_manifest_whose_hash_fits_is_checked_field_by_field(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    content = {**json.loads((folder / "manifest.json").read_text()), **changes}
    change_manifest(folder, **changes, hash=manifest_hash(content))
    with pytest.raises(DamagedFileError, match=rf"manifest\.json is not a label set's manifest: .*{message}"):
        LabelSet(folder)
    assert message.split(":", maxsplit=1)[0].replace("\\", "").split(" is ")[0] in str(verify(folder)[0])
    with pytest.raises(ValueError, match=message):
        LabelWriter(folder, {**manifest(5), **changes})


@pytest.mark.parametrize("name", ["fmbseg", "vocabulary", "models", "images", "shard_size", "root"])
def test_a_manifest_without_a_field(folder: Path, name: str) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content[name]
    path.write_text(json.dumps({**content, "hash": manifest_hash(content)}))
    with pytest.raises(DamagedFileError, match=f"it lacks {name}"):
        LabelSet(folder)


def test_no_byte_of_a_manifest_changes_what_is_read(folder: Path) -> None:
    """But for ``root``, which a user may set: then the photographs are not found, or are others."""
    path = folder / "manifest.json"
    whole, sound = path.read_bytes(), LabelSet(folder)
    found = json.loads(whole)
    silent = 0
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        try:
            again = LabelSet(folder)
        except ValueError as error:
            assert "manifest.json" in str(error)  # noqa: PT017 - either may happen
            continue
        silent += {**again.manifest, "root": ""} != {**found, "root": ""}
        silent += again.fingerprint != sound.fingerprint
    assert silent == 0


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / shard_name(1)).unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 shards are missing \(shard-00001\.parquet first\)"):
        LabelSet(folder)


def damaged(folder: Path) -> DamagedFileError:
    with pytest.raises(
        DamagedFileError, match=r"shard-00001\.parquet is damaged.*Delete it and run"
    ) as error:
        list(LabelSet(folder))
    return error.value


def test_no_byte_of_a_shard_can_change(folder: Path) -> None:
    """Of the footer it is found on opening, without reading the rest."""
    shard = folder / shard_name(1)
    whole = shard.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for position in [*range(0, footer, 17), *range(footer, len(whole), 17), len(whole) - 1]:
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        shard.write_bytes(changed)
        with pytest.raises(DamagedFileError, match=r"shard-00001\.parquet is damaged.*Delete it and run"):
            read_facts(shard) if position >= footer else next(read_shard(shard))
    shard.write_bytes(whole)
    assert len(list(LabelSet(folder))) == 4


def test_a_shard_that_was_cut_short_is_named(folder: Path) -> None:
    shard = folder / shard_name(1)
    whole = shard.read_bytes()
    for length in (0, 3, 8, 100, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:length])
        damaged(folder)
    for swapped in (whole[:500] + whole[600:700] + whole[500:600] + whole[700:], whole[:900] + whole[800:]):
        shard.write_bytes(swapped)
        damaged(folder)


def test_another_table_is_no_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"path": ["0.jpg"], "masks": [1]}), folder / shard_name(1))
    assert "its footer is not as fmbseg wrote it" in str(damaged(folder))
    schema = pa.schema([("path", pa.string())])
    monkeypatch.setattr("fmbseg.labels.shards.SCHEMA", schema)
    write_shard(folder / shard_name(1), [{"path": "0.jpg"}], manifest="", shard=1)
    monkeypatch.undo()
    assert "its columns are not those of a shard: path)" in str(damaged(folder))


class TestMixedUp:
    """Shards that are whole, but not those that belong there."""

    def other(self, folder: Path) -> LabelSet:
        """The same photographs with other settings: the shards lie as in the first."""
        with LabelWriter(folder, manifest(5, settings={"seed": 1, "min_crops": 2})) as writer:
            for index in range(5):
                writer.append(record(f"{index}.jpg"))
        return LabelSet(folder)

    def test_swapped_within_a_set(self, folder: Path) -> None:
        one, two = folder / shard_name(0), folder / shard_name(1)
        first = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(first)
        with pytest.raises(DamagedFileError, match=r"shard-00000\.parquet was written as shard 1: delete it"):
            LabelSet(folder)

    def test_doubled_within_a_set(self, folder: Path) -> None:
        shutil.copy(folder / shard_name(0), folder / shard_name(2))
        with pytest.raises(DamagedFileError, match=r"shard-00002\.parquet was written as shard 0: delete it"):
            LabelSet(folder)

    def test_copied_from_another_set(self, folder: Path, tmp_path: Path) -> None:
        other = self.other(tmp_path / "other")
        shutil.copy(other.folder / shard_name(1), folder / shard_name(1))
        with pytest.raises(
            DamagedFileError, match=r"shard-00001\.parquet belongs to another label set: delete it"
        ):
            LabelSet(folder)


def test_fingerprints_are_of_the_labels(tmp_path: Path) -> None:
    """Two sets of one manifest with other labels: of other photographs with the same names and sizes."""
    found = []
    for name, similarity in (("one", 0.5), ("two", 0.25), ("three", 0.5)):
        with LabelWriter(tmp_path / name, manifest(3)) as writer:
            for index in range(3):
                writer.append(record(f"{index}.jpg", similarities=np.full(3, similarity, np.float32)))
        found.append(LabelSet(tmp_path / name))
    one, two, three = found
    assert one.manifest == two.manifest
    assert one.fingerprint == three.fingerprint != two.fingerprint
    assert one.stage(11).fingerprint == three.stage(11).fingerprint != two.stage(11).fingerprint
    change_manifest(tmp_path / "one", root="/moved")
    assert LabelSet(tmp_path / "one").fingerprint == three.fingerprint
