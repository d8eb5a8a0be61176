"""How far a labelling is, by hand-worked times and counts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.labels.shards import shard_name
from fmbseg.labels.status import status
from fmbseg.labels.writer import LabelWriter
from tests.labels.examples import manifest, record
from tests.labels.test_writer import write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cloud import Bucket

NOON = 1_800_000_000.0


def at(folder: Path, **times: float) -> None:
    """Set when files were written, in seconds after noon."""
    for name, seconds in times.items():
        file = {"manifest": "manifest.json", "journal": "journal.jsonl"}.get(name) or shard_name(
            int(name[1:])
        )
        os.utime(folder / file, (NOON + seconds, NOON + seconds))


def test_a_run_that_goes_on(tmp_path: Path) -> None:
    """Shards of two at 100 and 300 seconds, one photograph of the third at 400: five in 400 seconds."""
    write(tmp_path, stop_after=5)
    at(tmp_path, manifest=0, s0=100, s1=300, journal=400)
    found = status(tmp_path, now=NOON + 410)
    assert (found.shards, found.all_shards, found.photographs, found.all_photographs) == (2, 4, 5, 7)
    assert (found.failed, found.reasons) == (1, {"is damaged": 1})
    assert (found.active, found.finished, found.last) == (True, False, NOON + 400)
    assert found.rate == pytest.approx(5 / 400)
    assert found.left == pytest.approx(2 / (5 / 400))
    # Usually something is written every 400 / 3 seconds: after three times that, it does not count as active.
    assert status(tmp_path, now=NOON + 400 + 399).active
    assert not status(tmp_path, now=NOON + 400 + 401).active


def test_the_rate_is_that_of_the_last_hour(tmp_path: Path) -> None:
    """A run of yesterday, continued: from the shard at 90,000 seconds on, three photographs in 60."""
    write(tmp_path)
    at(tmp_path, manifest=0, s0=100, s1=90_000, s2=90_040, s3=90_060)
    found = status(tmp_path)
    assert found.rate == pytest.approx(3 / 60)
    assert (found.finished, found.active, found.left) == (True, False, 0)


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    write(tmp_path, stop_after=0)
    found = status(tmp_path, now=NOON)
    assert (found.shards, found.photographs, found.rate, found.left, found.failed) == (0, 0, None, None, 0)
    at(tmp_path, manifest=0)
    assert status(tmp_path, now=NOON + 119).active
    assert not status(tmp_path, now=NOON + 121).active


def test_failures_are_grouped_and_named_when_asked_for(tmp_path: Path) -> None:
    with LabelWriter(tmp_path, manifest(5, shard_size=5)) as writer:
        writer.append(record("0.jpg"))
        for index in (1, 2, 3):
            writer.append_error(
                f"{index}.jpg", f"{index}.jpg is not an image (bad magic {index}); leave it out"
            )
        writer.append_error("\x1b[31m.jpg", "\x1b[31m.jpg cannot be read (Permission denied); leave it out")
    assert status(tmp_path).reasons == {"is not an image": 3, "cannot be read": 1}
    told = CliRunner().invoke(app, ["labels", "status", str(tmp_path), "--failures"])
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert lines[0] == (f"{tmp_path}: 1 of 1 shards, 5 of 5 photographs, 4 of them could not be labelled")
    assert lines[1:3] == ["  is not an image: 3", "  cannot be read: 1"]
    assert lines[3].startswith("finished; last written 20")
    assert lines[4] == "not labelled: 1.jpg: 1.jpg is not an image (bad magic 1); leave it out"
    assert len(lines) == 8
    assert "\x1b" not in told.stdout


def test_damage_is_told_and_ends_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / shard_name(1)).write_bytes(b"half")
    (tmp_path / shard_name(2)).write_bytes((tmp_path / shard_name(0)).read_bytes())
    found = status(tmp_path)
    assert list(found.damaged) == [shard_name(1), shard_name(2)]
    assert "was written as shard 0" in found.damaged[shard_name(2)]
    assert (found.shards, found.finished, found.failed) == (4, False, 1)


def test_object_storage_and_json(bucket: Bucket) -> None:
    import json

    out = f"{bucket.uri}/labels"
    write(out, stop_after=5)
    told = CliRunner().invoke(app, ["labels", "status", out, "--json"])
    found = json.loads(told.stdout)
    assert (found["shards"], found["photographs"], found["failed"]) == (2, 4, 1)
    assert (found["active"], found["finished"]) == (True, False)
    text = CliRunner().invoke(app, ["labels", "status", out]).stdout
    assert f"{out}: 2 of 4 shards, 4 of 7 photographs, 1 of them could not be labelled" in text
    missing = CliRunner().invoke(app, ["labels", "status", f"{out}-no"])
    assert missing.exit_code == 1
    assert f"error: {out}-no holds no label set: manifest.json is missing" in missing.stderr
