"""Label, train and segment with photographs in object storage: the results of a folder, to the byte."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fmbseg import Aligner, LabelSet, OpenVocabSegmenter, storage
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.cli.main import app
from fmbseg.labels.formats.yolo import export_yolo
from fmbseg.labels.record import PhotographError
from fmbseg.labels.sheets import contact_sheet
from fmbseg.labels.verification import verify
from fmbseg.sources.opened import open_source
from fmbseg.storage import StorageError
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.cloud import Faults, point_to, unreliable
from tests.labeling.colours import RGB
from tests.labeling.runs import STAND_INS, make_labeler
from tests.sources.places import write_tar

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg import PseudoLabeler
    from tests.cloud import Bucket

WORDS = ["red", "blue", "green", "white"]
COUNT = 12

pytestmark = [
    pytest.mark.filterwarnings("ignore:superpixels takes no point prompts"),
    pytest.mark.filterwarnings("ignore:.*photographs could not be labelled"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures, of which one is none."""
    folder = tmp_path_factory.mktemp("sources") / "photos"
    folder.mkdir()
    colours = [RGB[name] for name in WORDS]
    for number in range(COUNT - 1):
        picture = np.full((32, 64, 3), colours[number % 3], np.uint8)
        picture[:, 24 + number :] = colours[(number + 1) % 4]
        Image.fromarray(picture).save(folder / f"{number:04}.png")
    (folder / f"{COUNT - 1:04}.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def labeler() -> PseudoLabeler:
    return make_labeler(STAND_INS)


@pytest.fixture(scope="module")
def local(folder: Path, labeler: PseudoLabeler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labels of the folder."""
    return label(labeler, folder, tmp_path_factory.mktemp("labels") / "local")


@pytest.fixture
def photos(folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same pictures in a bucket."""
    monkeypatch.setattr(storage, "FIRST_WAIT", 0.001)
    for path in folder.iterdir():
        bucket.put(f"x/photos/{path.name}", path.read_bytes())
    return f"{bucket.uri}/x/photos"


def label(labeler: PseudoLabeler, photographs: object, out: Path) -> Path:
    labeler.label(photographs, WORDS, out, shard_size=5, progress=False)  # type: ignore[arg-type]
    return out


def content(labels: Path) -> dict[str, object]:
    """The bytes of all shards, and the manifest without the photographs' root."""
    manifest = json.loads((labels / "manifest.json").read_text())
    return {
        "manifest": {key: value for key, value in manifest.items() if key != "root"},
        **{path.name: path.read_bytes() for path in sorted(labels.glob("shard-*.parquet"))},
    }


def test_labels_are_those_of_a_folder_though_the_storage_fails(
    photos: str,
    labeler: PseudoLabeler,
    local: Path,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = Faults(errors=0.2, cut=0.04, short=0.1, delay=0.005, seed=2)
    with unreliable(bucket, faults) as proxy:
        point_to(proxy, monkeypatch)
        out = label(labeler, photos, tmp_path / "out")
        assert faults.counts["error"] > 0 < faults.counts["short"]
        assert verify(out, photographs=True) == []
    assert content(out) == content(local)
    assert json.loads((out / "manifest.json").read_text())["root"] == photos
    assert [row["path"] for row in LabelSet(out).errors] == [f"{COUNT - 1:04}.png"]


def test_a_list_gives_the_labels_of_its_folder_but_for_the_sizes(
    photos: str, labeler: PseudoLabeler, local: Path, tmp_path: Path
) -> None:
    names = [f"{photos}/{number:04}.png" for number in reversed(range(COUNT))]
    (tmp_path / "list.txt").write_text("\n".join(names))
    labels = LabelSet(label(labeler, tmp_path / "list.txt", tmp_path / "out"))
    assert labels.root == photos
    found = [(one.path, one.sha256, one.class_ids.tolist()) for one in labels]
    assert found == [(one.path, one.sha256, one.class_ids.tolist()) for one in LabelSet(local)]


def test_an_outage_stops_the_run_and_no_photograph_counts_as_failed(
    photos: str,
    labeler: PseudoLabeler,
    local: Path,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = open_source(photos)
    with unreliable(bucket, Faults(errors=1)) as proxy:
        point_to(proxy, monkeypatch)
        with pytest.raises(StorageError, match="work continues where it stopped"):
            label(labeler, source, tmp_path / "out")
    assert not list((tmp_path / "out").glob("shard-*"))
    point_to(bucket.endpoint, monkeypatch)
    assert content(label(labeler, source, tmp_path / "out")) == content(local)


def test_a_head_is_trained_on_photographs_in_storage_and_segments_them(
    photos: str, labeler: PseudoLabeler, local: Path, folder: Path, bucket: Bucket, tmp_path: Path
) -> None:
    there = label(labeler, photos, tmp_path / "there")
    settings = TrainingSettings(epochs=1, batch_size=4, image_size=32, learning_rate=0.1)
    heads = []
    for labels in (local, there):
        cache = tmp_path / labels.name  # the features of the first would serve the second
        aligner = Aligner(TinyBackbone(), TinyImageText(), settings=settings, features_dir=cache)
        heads.append(aligner.fit(labels, progress=False).encoder)
    first, second = (head.head.state_dict() for head in heads)
    assert all(torch.equal(first[name], second[name]) for name in first)
    (folder / "0011.png").replace(tmp_path / "none.png")
    bucket.client.delete_object(Bucket=bucket.name, Key="x/photos/0011.png")
    try:
        segmenter = OpenVocabSegmenter(heads[0])
        here, far = segmenter.segment(folder, WORDS), segmenter.segment(photos, WORDS)
    finally:
        (tmp_path / "none.png").replace(folder / "0011.png")
    assert len(here) == len(far) == COUNT - 1
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(here, far, strict=True))
    one = segmenter.segment(f"{photos}/0003.png", WORDS)
    assert np.array_equal(one.labels, here[3].labels)


def test_photographs_are_shown_and_exported_from_storage_and_changed_ones_refused(
    photos: str, labeler: PseudoLabeler, local: Path, bucket: Bucket, tmp_path: Path
) -> None:
    labels = LabelSet(label(labeler, photos, tmp_path / "labels"))
    sheets = [contact_sheet(one, count=4) for one in (labels, LabelSet(local))]
    assert sheets[0].tobytes() == sheets[1].tobytes()
    export_yolo(labels, tmp_path / "yolo")
    copied = list((tmp_path / "yolo" / "images").rglob("*.png"))
    assert copied
    assert all(path.read_bytes() == bucket.get(f"x/photos/{path.name}") for path in copied)
    bucket.put("x/photos/0003.png", b"another")
    with pytest.raises(PhotographError, match=r"s3://.*/0003\.png was changed since it was labelled"):
        export_yolo(labels, tmp_path / "again")
    bucket.client.delete_object(Bucket=bucket.name, Key="x/photos/0004.png")
    assert sorted(problem.file for problem in verify(tmp_path / "labels", photographs=True)) == [
        "0003.png",
        "0004.png",
    ]


def test_a_tar_that_is_cut_short_is_labelled_so_far_and_trained_on(
    labeler: PseudoLabeler, folder: Path, tmp_path: Path
) -> None:
    members = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    whole = write_tar(tmp_path / "a.tar", members)
    (tmp_path / "a.tar").write_bytes(whole[:7000])
    with pytest.warns(UserWarning, match=r"a\.tar is cut short or damaged: its \d+ whole photographs count"):
        labels = LabelSet(label(labeler, tmp_path / "a.tar", tmp_path / "out"))
    assert [one.path for one in labels] == [f"a.tar/{name}" for name, _ in members[: len(labels)]]
    assert 3 < len(labels) < COUNT - 1
    assert verify(tmp_path / "out", photographs=True) == []
    export_yolo(labels, tmp_path / "yolo")
    copied = list((tmp_path / "yolo" / "images").rglob("*.png"))
    assert copied
    assert all(path.read_bytes() == dict(members)[path.name] for path in copied)


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    return done.exit_code, done.output


def test_the_command_line_takes_uris(
    photos: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmbseg.aligned.encoder import AlignedEncoder
    from fmbseg.aligned.head import AlignmentHead

    encoder = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText())
    encoder.save_pretrained(tmp_path / "head")
    words = ("--classes", "red,blue", "--out", tmp_path / "out")
    code, told = run("segment", f"{photos}/000[0-2].png", "--head", tmp_path / "head", *words)
    assert code == 0, told
    assert f"{photos}/0001.png: " in told
    names = {path.name for path in (tmp_path / "out").glob("*_classes.png")}
    assert names == {f"000{number}_classes.png" for number in range(3)}
    shutil.rmtree(tmp_path / "out")
    code, told = run("label", f"{bucket.uri}/nothing", *words)
    assert (code, told.count("\n")) == (1, 1)
    assert "holds nothing; check its spelling" in told
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    point_to(bucket.endpoint, monkeypatch)
    code, told = run("label", photos, *words)
    assert (code, told.count("\n")) == (1, 1)
    assert "without credentials; looked for in the environment" in told
    assert "not-a-real-secret" not in told
