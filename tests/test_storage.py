"""Objects by URI, against an S3 server over HTTP and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fmbseg import storage
from fmbseg.missing_package import MissingPackageError
from fmbseg.storage import StorageError
from tests.cloud import Faults, point_to, unreliable

if TYPE_CHECKING:
    from tests.cloud import Bucket


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_WAIT", 0.001)


def test_objects_are_written_listed_and_read_in_ranges(bucket: Bucket) -> None:
    for name in ("b/c.txt", "a.txt", "b/empty/"):
        bucket.put(name, name.encode())
    storage.put(f"{bucket.uri}/d.txt", b"0123456789", new=True)
    assert bucket.get("d.txt") == b"0123456789"
    assert list(storage.listed(bucket.uri)) == [("a.txt", 5), ("b/c.txt", 7), ("d.txt", 10)]
    assert list(storage.listed(f"{bucket.uri}/b/")) == [("c.txt", 7)]
    assert storage.read(f"{bucket.uri}/d.txt", 2, 5) == b"234"
    assert storage.read(f"{bucket.uri}/d.txt", -3) == b"789"
    assert storage.size_of(f"{bucket.uri}/d.txt") == 10
    assert storage.is_file(f"{bucket.uri}/d.txt")
    assert not storage.is_file(f"{bucket.uri}/b")
    storage.remove(f"{bucket.uri}/d.txt")
    storage.remove(f"{bucket.uri}/d.txt")
    assert bucket.names() == ["a.txt", "b/c.txt", "b/empty/"]


@pytest.mark.parametrize("scheme", ["s3", "memory"])
def test_what_is_there_is_not_replaced_and_what_is_missing_is_told(scheme: str, bucket: Bucket) -> None:
    place = f"{bucket.uri if scheme == 's3' else 'memory://storage-test'}/a.txt"
    storage.put(place, b"1")
    with pytest.raises(FileExistsError, match="is there already"):
        storage.put(place, b"2", new=True)
    assert storage.read(place) == b"1"
    with pytest.raises(FileNotFoundError, match=r"does not exist; check its spelling: '.*none\.txt'"):
        storage.read(place.replace("a.txt", "none.txt"))
    with pytest.raises(FileNotFoundError, match="holds nothing"):
        list(storage.listed(place.replace("a.txt", "none")))


def test_a_listing_of_many_pages_is_whole(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PAGE", 3)
    names = [f"{number:04}" for number in range(7)]
    for name in names:
        bucket.put(name, b"")
    assert [name for name, _ in storage.listed(bucket.uri)] == names


def test_failures_that_pass_are_tried_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(256)) * 8
    faults = Faults(errors=0.3, short=0.15, seed=1)
    with unreliable(bucket, faults) as proxy:
        point_to(proxy, monkeypatch)
        for number in range(8):
            storage.put(f"{bucket.uri}/{number}", content, new=True)
            assert storage.read(f"{bucket.uri}/{number}", size=len(content)) == content
            assert len(list(storage.listed(bucket.uri))) == number + 1
    assert faults.counts["error"] >= 5
    assert faults.counts["short"] >= 2


def test_a_body_that_breaks_off_is_read_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a", b"0123456789")
    faults = Faults(cut=0.7, seed=3)
    with unreliable(bucket, faults) as proxy:
        point_to(proxy, monkeypatch)
        assert storage.read(f"{bucket.uri}/a") == b"0123456789"
    assert faults.counts["cut"] >= 1


def test_failures_that_last_are_told(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a", b"0123456789")
    with unreliable(bucket, Faults(errors=1)) as proxy:
        point_to(proxy, monkeypatch)
        with pytest.raises(StorageError, match=r"/a cannot be read: 5 attempts failed, the last with"):
            storage.read(f"{bucket.uri}/a")


def test_an_object_of_another_length_is_told() -> None:
    storage.put("memory://storage-test/short", b"01234")
    with pytest.raises(StorageError, match="gave 5 of 10 bytes"):
        storage.read("memory://storage-test/short", size=10)


def test_missing_credentials_say_where_they_were_looked_for(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    point_to(bucket.endpoint, monkeypatch)
    with pytest.raises(StorageError, match=r"without credentials; looked for in the env.*profile.*role"):
        list(storage.listed(bucket.uri))


@pytest.mark.parametrize("failure", [PermissionError("Access Denied"), OSError("403, message=Forbidden")])
def test_a_refusal_is_told_at_once_and_prints_no_secret(
    failure: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    class Denied:
        def _strip_protocol(self, uri: str) -> str:
            return uri

        def cat_file(self, path: str, **_: object) -> bytes:
            calls.append(path)
            raise failure

    monkeypatch.setattr(storage, "file_system", lambda uri: Denied())
    with pytest.raises(StorageError, match=r"s3://b/a may not be read with these credentials \(from"):
        storage.read("s3://b/a")
    assert len(calls) == 1


def test_schemes_that_are_unknown_or_lack_their_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="bogus:// is not a scheme that fsspec knows"):
        storage.read("bogus://bucket/a")
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    storage.forget()
    with pytest.raises(MissingPackageError, match=r"gs:// needs gcsfs: pip install 'fmbseg\[cloud\]'"):
        storage.read("gs://bucket/a")
