"""Label sets in object storage: the same bytes as in a folder, whole or not there, whatever fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fmbseg import storage
from fmbseg.files import DamagedFileError
from fmbseg.labels.claimed import Claimed, write_whole_shard
from fmbseg.labels.joined import are_parts, join
from fmbseg.labels.label_set import LabelSet, save
from fmbseg.labels.place import Remote, check_local, files_in, place_of, read_end, read_whole
from fmbseg.labels.shards import read_facts, shard_name
from fmbseg.labels.verification import verify
from fmbseg.labels.writer import LabelWriter
from fmbseg.part import Part
from fmbseg.written import WouldReplaceError
from tests.cloud import Faults, point_to, unreliable
from tests.labels.examples import manifest, record
from tests.labels.test_claimed import MANIFEST, results
from tests.labels.test_writer import PHOTOGRAPHS, files, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cloud import Bucket


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(storage, "FIRST_WAIT", 0.001)


@pytest.fixture(params=["s3", "memory"])
def out(request: pytest.FixtureRequest) -> Iterator[str]:
    """A place of object storage: S3 over HTTP, and fsspec's memory, which is another file system."""
    if request.param == "memory":
        yield "memory://labels/set"
        storage.file_system("memory://").store.clear()
    else:
        yield f"{request.getfixturevalue('bucket').uri}/deep/labels"


def objects(out: str) -> dict[str, bytes]:
    return {name: read_whole(place) for name, place in files_in(place_of(out)).items()}


def test_a_place_holds_what_a_folder_holds(out: str, tmp_path: Path) -> None:
    write(tmp_path / "whole")
    local = LabelSet(tmp_path / "whole")
    for _ in range(3):  # stopped twice
        write(out, stop_after=3)
    assert objects(out) == files(tmp_path / "whole")
    labels = LabelSet(out)
    assert (len(labels), labels.errors, labels.fingerprint) == (4, local.errors, local.fingerprint)
    assert [image.path for image in labels] == [image.path for image in local]
    assert verify(out) == verify(tmp_path / "whole") == []
    with pytest.raises(ValueError, match="is no local folder"):
        labels.folder  # noqa: B018
    write(out)  # finished: nothing is written
    assert objects(out) == files(tmp_path / "whole")
    assert not list((tmp_path / "home").rglob("journal.jsonl"))


def test_parts_write_to_one_place_and_are_joined_from_places(out: str, tmp_path: Path) -> None:
    write(tmp_path / "whole")
    for index in (2, 1, 3):
        write(out, stop_after=1, part=Part(index, 3))  # each has a journal of its own
    for index in (3, 1, 2):
        write(out, part=Part(index, 3))
    assert objects(out) == files(tmp_path / "whole")
    assert [image.path for image in LabelSet(out, Part(2, 3))] == ["2.jpg", "3.jpg"]

    parts: list[str | Path] = [tmp_path / "first", f"{out}-second"]
    for number, part in enumerate(parts, start=1):
        write(part, part=Part(number, 2))
    assert are_parts(parts)
    for target in (tmp_path / "joined", f"{out}-joined"):
        assert join(parts, target).fingerprint == LabelSet(out).fingerprint
    assert files(tmp_path / "joined") == objects(f"{out}-joined") == files(tmp_path / "whole")


def test_labels_are_saved_from_place_to_place(out: str, tmp_path: Path) -> None:
    write(out)
    save(LabelSet(out).stage(11), tmp_path / "local", shard_size=3)
    save(LabelSet(out).stage(11), f"{out}-points", shard_size=3)
    assert files(tmp_path / "local") == objects(f"{out}-points")


def test_two_runs_at_once_count_once(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one machine a second run is refused; of two machines the first to write a shard counts."""
    write(tmp_path / "whole")
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "here"))
    with LabelWriter(out, manifest(len(PHOTOGRAPHS))) as here:
        here.append(record("0.jpg"))
        with pytest.raises(WouldReplaceError, match=f"another run is writing to {out}; wait"):
            write(out)
        monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "there"))
        write(out)  # another machine makes everything
        there = objects(out)
        for position in here.positions():
            one = PHOTOGRAPHS[position]
            here.append_error(one, f"{one} is damaged") if isinstance(one, str) else here.append(one)
        assert here.done
    assert objects(out) == there == files(tmp_path / "whole")


def test_a_shard_that_differs_is_not_replaced(out: str) -> None:
    with Claimed(out, MANIFEST) as claimed:
        write_whole_shard(out, claimed.manifest, 3, results(3))
        first = objects(out)
        write_whole_shard(out, claimed.manifest, 3, [("6.jpg", "cannot be read today")])
        assert objects(out) == first
    storage.put(f"{out}/{shard_name(0)}", b"PAR1 and nothing of a shard PAR1")
    with pytest.raises(
        DamagedFileError, match=rf"{out}/shard-00000\.parquet is damaged .* Delete it and run"
    ):
        write_whole_shard(out, claimed.manifest, 0, results(0))


def test_what_lies_there_already_stays(out: str) -> None:
    storage.put(f"{out}/{shard_name(1)}", b"mine")
    with pytest.raises(WouldReplaceError, match=r"shard-00001\.parquet is there, but there is no manifest"):
        write(out)
    assert objects(out) == {shard_name(1): b"mine"}
    storage.remove(f"{out}/{shard_name(1)}")
    write(out, stop_after=3)
    before = objects(out)
    with pytest.raises(ValueError, match=rf"{out} holds labels of another configuration: shard_size is 2"):
        write(out, shard_size=3)
    assert objects(out) == before
    with pytest.raises(FileNotFoundError, match=rf"{out} is not finished: 3 of 4 shards are missing"):
        LabelSet(out)
    with pytest.raises(FileNotFoundError, match=f"{out}/no holds no label set"):
        LabelSet(f"{out}/no")


def test_photographs_that_were_moved(out: str) -> None:
    write(out, stop_after=3)
    write(out, root="/moved")
    assert LabelSet(out).root == Path("/moved")


class TestFailures:
    """Between this process and the S3 server stands a proxy that fails."""

    def test_errors_and_broken_answers_are_tried_again(
        self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "whole")
        monkeypatch.setattr(storage, "ATTEMPTS", 12)
        faults = Faults(errors=0.25, cut=0.1, short=0.1, seed=3)
        with unreliable(bucket, faults) as proxy:
            point_to(proxy, monkeypatch)
            out = f"{bucket.uri}/labels"
            for _ in range(3):
                write(out, stop_after=3)
            labels = LabelSet(out)
            assert [image.path for image in labels] == ["0.jpg", "2.jpg", "3.jpg", "6.jpg"]
            assert verify(out) == []
        assert faults.counts["error"] > 4
        assert faults.counts["cut"] + faults.counts["short"] > 2
        assert {name.rpartition("/")[2]: bucket.get(name) for name in bucket.names()} == files(
            tmp_path / "whole"
        )

    def test_what_lasts_is_told_and_the_run_goes_on_later(
        self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "whole")
        out = f"{bucket.uri}/labels"
        write(out, stop_after=3)
        faults = Faults(errors=1.0, only=("PUT",))
        with unreliable(bucket, faults) as proxy:
            point_to(proxy, monkeypatch)
            with pytest.raises(OSError, match=rf"{out}/shard-00001\.parquet cannot be written: 5 attempts"):
                write(out)
        point_to(bucket.endpoint, monkeypatch)
        assert sorted(objects(out)) == ["manifest.json", shard_name(0)]
        done: list[int] = []
        with LabelWriter(out, manifest(len(PHOTOGRAPHS))) as writer:
            done += [position for position in range(7) if position not in writer.positions()]
        assert done == [0, 1, 2, 3]  # those that the journal held when the shard could not be sent
        write(out)
        assert objects(out) == files(tmp_path / "whole")

    def test_half_an_object_is_no_shard(self, bucket: Bucket) -> None:
        out = f"{bucket.uri}/labels"
        write(out)
        whole = bucket.get(f"labels/{shard_name(2)}")
        for length in (0, 3, len(whole) // 2, len(whole) - 1):
            bucket.put(f"labels/{shard_name(2)}", whole[:length])
            with pytest.raises(DamagedFileError, match=rf"{out}/shard-00002\.parquet is damaged"):
                LabelSet(out)
            with pytest.raises(DamagedFileError, match=r"shard-00002\.parquet is damaged"):
                write(out)


def test_footers_of_any_length_are_read_from_the_end(out: str, tmp_path: Path) -> None:
    """That of a shard whose photographs all failed is long, and asked for once more."""
    count = 900
    with Claimed(out, manifest(count, shard_size=count)) as claimed:
        failed = [(f"{index}.jpg", "x" * 100) for index in range(count)]
        write_whole_shard(out, claimed.manifest, 0, failed)
    assert read_facts(place_of(out) / shard_name(0)).failed == count
    assert LabelSet(out).errors[-1] == {"shard": 0, "path": "899.jpg", "error": "x" * 100}
    storage.put(f"{out}/few", b"0123456789")
    (tmp_path / "few").write_bytes(b"0123456789")
    for place in (place_of(f"{out}/few"), tmp_path / "few"):
        assert [read_end(place, length) for length in (0, 3, 10, 99)] == [
            b"",
            b"789",
            b"0123456789",
            b"0123456789",
        ]


def test_what_a_text_names(tmp_path: Path) -> None:
    assert place_of("s3://bucket/a/") == Remote("s3://bucket/a")
    assert (place_of("s3://bucket/a") / "b").name == "b"
    assert place_of(f"file://{tmp_path}") == place_of(tmp_path) == tmp_path
    for path in (Path("s3://bucket/a"), "s3:/bucket/a"):
        with pytest.raises(ValueError, match=r"s3:/bucket/a looks like a URI"):
            place_of(path)
    for fine in ("C:/labels", "C:\\labels", "a/s3:/b", "labels", "/a:b", "x:y"):
        check_local(fine)


def _killed_before_step(uri: str, step: int, home: str, left: Any) -> None:
    """Write in this process, which kills itself before or after a request, or a flush to the disk."""
    os.environ["FMBSEG_HOME"] = home
    steps = 0

    def counted(real: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == 2 * step:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*given, **named)
            if steps == 2 * step + 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for owner, name in ((storage, "put"), (os, "fsync"), (Path, "unlink")):
        setattr(owner, name, counted(getattr(owner, name)))
    write(uri)
    left.put(steps)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_every_step_may_be_the_last(bucket: Bucket, tmp_path: Path) -> None:
    write(tmp_path / "whole")
    fork = multiprocessing.get_context("fork")
    ended = fork.SimpleQueue()

    def run(uri: str, step: int, home: Path) -> int | None:
        child = fork.Process(target=_killed_before_step, args=(uri, step, str(home), ended))
        child.start()
        child.join()
        return child.exitcode

    assert run(f"{bucket.uri}/counted", -1, tmp_path / "counted") == 0
    steps = ended.get()
    assert steps == 1 + 7 + 4 + 1  # the manifest, the photographs, the shards, the journal goes
    for step in range(1, steps // 2):
        out = f"{bucket.uri}/killed{step}"
        assert run(out, step, tmp_path / f"home{step}") == -signal.SIGKILL
        # Whatever is there is whole, and goes on here or on a machine that has no journal.
        assert run(out, -1, tmp_path / f"home{step if step % 2 else 'new'}") == 0
        assert objects(out) == files(tmp_path / "whole")


def _written_with_another(uri: str, home: str, together: Any) -> None:
    os.environ["FMBSEG_HOME"] = home
    real = storage.put

    def put(*given: Any, **named: Any) -> None:
        together.wait(30)  # both try to write the same object at the same moment
        real(*given, **named)

    vars(storage)["put"] = put
    write(uri)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_two_machines_that_write_every_object_at_the_same_moment(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "whole")
    fork = multiprocessing.get_context("fork")
    together, out = fork.Barrier(2), f"{bucket.uri}/labels"
    with unreliable(bucket, Faults(delay=0.01)) as proxy:
        point_to(proxy, monkeypatch)
        runs = [
            fork.Process(target=_written_with_another, args=(out, str(tmp_path / name), together))
            for name in ("here", "there")
        ]
        for one in runs:
            one.start()
        for one in runs:
            one.join()
        assert [one.exitcode for one in runs] == [0, 0]
        assert objects(out) == files(tmp_path / "whole")
