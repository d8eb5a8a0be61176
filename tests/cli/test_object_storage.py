"""Every command that reads or writes labels, on an S3 server: what it does in a folder, it does there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from fmbseg import storage
from fmbseg.cli.main import app
from fmbseg.labels.place import files_in, place_of, read_whole
from tests.cli.conftest import CLASSES, Chain, _Missing
from tests.cloud import only
from tests.labels.test_writer import files, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cloud import Bucket


def run(*given: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in given])


def objects(out: str) -> dict[str, bytes]:
    return {name: read_whole(place) for name, place in files_in(place_of(out)).items()}


@pytest.mark.long  # the fixture `chain` labels and trains
def test_labels_in_a_bucket_are_those_of_a_folder_byte_by_byte(
    chain: Chain, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = f"{bucket.uri}/labels"
    given = ["label", chain.photographs, "--classes", CLASSES, "--out", out, "--recipe", "offline"]
    with monkeypatch.context() as patch:
        patch.setattr("fmbseg.labeling.ways.find_card", lambda role, spec: _Missing())
        patch.setenv("FMBSEG_HOME", str(tmp_path / "home"))
        labelled = run(*given)
    assert labelled.exit_code == 0
    assert labelled.stdout == chain.label.stdout.replace(str(chain.labels), out)
    assert objects(out) == files(chain.labels)

    with monkeypatch.context() as patch:  # of the chain, with the features that it kept
        patch.setenv("FMBSEG_HOME", str(chain.labels.parent / "home"))
        head = tmp_path / "head"
        fitted = run("fit", out, "--out", head, "--from-scratch", "--epochs", "2", "--image-size", "96")
    assert fitted.exit_code == 0, fitted.stderr
    weights = "model.safetensors"
    assert (head / weights).read_bytes() == (chain.head / weights).read_bytes()


def test_what_reads_labels_reads_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    from tests.labels.pictures import write_labels

    local = write_labels(tmp_path).folder
    out = f"{bucket.uri}/labels"
    for name, content in files(local).items():
        bucket.put(f"labels/{name}", content)
    for command in (["stats"], ["stats", "--json"], ["verify", "--photographs"], ["status"]):
        here, there = (run("labels", *command, place) for place in (local, out))
        assert (there.exit_code, here.exit_code) == (0, 0)
        if command != ["status"]:
            assert there.stdout == here.stdout.replace(str(local), out)
    compared = run("labels", "compare", out, local)
    assert "100.0% of the labelled pixels agree" in compared.stdout
    for to, name in (("coco", "all.json"), ("png", "png"), ("yolo", "yolo")):
        for number, place in enumerate((local, out)):
            told = run("labels", "export", place, "--to", to, "--out", tmp_path / f"{number}{name}")
            assert told.exit_code == 0, told.stderr
    assert (tmp_path / "0all.json").read_bytes() == (tmp_path / "1all.json").read_bytes()
    assert files_below(tmp_path / "0png") == files_below(tmp_path / "1png")
    assert files_below(tmp_path / "0yolo").keys() == files_below(tmp_path / "1yolo").keys()
    assert run("labels", "show", out, "--out", tmp_path / "sheet.png").exit_code == 0
    assert run("labels", "merge", out, "--out", f"{bucket.uri}/copy").exit_code == 0
    assert objects(f"{bucket.uri}/copy") == objects(out)


def files_below(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["labels", "import", "a.json", "--photographs", "photos", "--classes", "cat"], "labels"),
        (["segment", "a.jpg", "--classes", "cat"], "masks"),
        (["fit", "labels"], "head"),
    ],
)
def test_folders_that_are_local_say_so(
    command: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = run(*command, "--out", f"s3://bucket/{name}")
    assert told.exit_code == 2
    assert f"s3://bucket/{name} is a URI: this command writes to local folders" in " ".join(
        told.stderr.replace("│", "").split()
    )
    assert list(tmp_path.iterdir()) == []


class TestBadInput:
    """One line that says what is wrong and what to do; no secret in it."""

    def test_no_credentials(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        storage.forget()
        told = run("labels", "stats", f"{bucket.uri}/labels")
        assert told.exit_code == 1
        assert "without credentials; looked for in the environment (AWS_ACCESS_KEY_ID" in told.stderr
        assert told.stderr.count("\n") == 1

    def test_no_permission(self, bucket: Bucket) -> None:
        out = f"{bucket.uri}/labels"
        write(out)
        storage.remove(f"{out}/shard-00001.parquet")
        with only(bucket, "s3:ListBucket", "s3:GetObject"):
            assert run("labels", "stats", out).exit_code == 1  # a shard is missing
            with pytest.raises(OSError, match=r"shard-00001\.parquet may not be written .* grant the perm"):
                write(out)
        with only(bucket, "s3:ListBucket"):
            told = run("labels", "verify", out)
            assert told.exit_code == 1
            assert "/labels/manifest.json may not be read with these credentials" in told.stderr
            secret = os.environ["AWS_SECRET_ACCESS_KEY"]
            assert not {secret, os.environ["AWS_ACCESS_KEY_ID"]} & set(told.stderr.split())
            assert secret not in told.output
            told = run("label", f"{out}/photos.tar", "--classes", "cat", "--out", "nowhere")
            assert (told.exit_code, told.stderr.count("\n")) == (1, 1)
            assert "/labels/photos.tar may not be read with these credentials" in told.stderr
        with only(bucket, "s3:GetObject"):
            told = run("label", bucket.uri, "--classes", "cat", "--out", "nowhere")
            assert f"{bucket.uri} may not be listed with these credentials" in told.stderr
        assert "shard-00001.parquet" not in " ".join(bucket.names())

    def test_a_bucket_or_scheme_that_is_not_there(self, bucket: Bucket) -> None:
        told = run("labels", "stats", f"{bucket.uri}-no/labels")
        assert told.exit_code == 1
        assert f"error: {bucket.uri}-no/labels holds no label set" in told.stderr
        told = run("labels", "stats", "nowhere://bucket/labels")
        assert "error: nowhere:// is not a scheme that fsspec knows" in told.stderr
