"""Data sets in object storage: measured there as in a folder."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fmbseg import storage
from fmbseg.cli.main import app
from fmbseg.evaluation.compare import compare
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.evaluate import evaluate
from fmbseg.evaluation.mask_files import DataSetError
from tests.cloud import Faults, point_to, unreliable
from tests.evaluation import layouts
from tests.evaluation.red_channel import RedChannel
from tests.evaluation.test_compare import Known

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.evaluation.datasets import SegmentationData
    from tests.cloud import Bucket


def copied(folder: Path, uri: str) -> str:
    for path in folder.rglob("*"):
        if path.is_file():
            storage.put(f"{uri}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return uri


@pytest.fixture
def root(data: SegmentationData, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(storage, "FIRST_WAIT", 0.001)
    return copied(data.root, f"{bucket.uri}/sets/mine")  # type: ignore[arg-type]


def test_a_bucket_is_measured_as_its_folder_is_though_it_fails_at_times(
    data: SegmentationData, root: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("sets/mine/images/image 4.png", b"no picture")
    (data.root / "images" / "image 4.png").write_bytes(b"no picture")  # type: ignore[union-attr]
    here = evaluate(RedChannel(), data, "paper")
    faults = Faults(errors=0.2, short=0.1, seed=1)
    with unreliable(bucket, faults) as proxy:
        point_to(proxy, monkeypatch)
        far = open_data("folder_background", root)
        there = evaluate(RedChannel(), far, "paper", out=tmp_path / "run", pictures=2)
        assert faults.counts["error"] > 0 < faults.counts["short"]
    point_to(bucket.endpoint, monkeypatch)
    assert there.measured == 6
    assert there.figures == here.figures
    assert there.intervals == here.intervals
    assert [one["key"] for one in there.failures] == ["image 4"]
    assert f"{root}/images/image 4.png" in there.failures[0]["error"]

    side_by_side = compare([Known("a"), Known("b")], far, "paper", out=tmp_path / "compared", pictures=1)
    assert side_by_side.first.figures == here.figures
    sent = pickle.dumps(far)  # as to a worker, which reads by name
    assert len(sent) < 10_000
    image, target = pickle.loads(sent).load(far.samples[0])
    assert (image.tolist(), target.tolist()) == tuple(one.tolist() for one in data.load(data.samples[0]))


def test_an_outage_ends_the_measuring_and_no_image_counts_as_failed(
    root: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = open_data("folder", root)
    with unreliable(bucket, Faults(errors=1)) as proxy:
        point_to(proxy, monkeypatch)
        with pytest.raises(storage.StorageError, match="5 attempts failed"):
            evaluate(RedChannel(), far, "paper")


def test_the_command_takes_the_uri(
    data: SegmentationData, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbseg.cli.eval.load_methods", lambda *_, **__: [RedChannel()])
    monkeypatch.setattr("fmbseg.cli.eval.warn_of_words_of", lambda *_: None)
    told = []
    for name, place in (("here", str(data.root)), ("there", root)):
        given = [
            "eval",
            "head",
            "--data",
            "folder_background",
            "--root",
            place,
            "--out",
            str(tmp_path / name),
        ]
        done = CliRunner().invoke(app, given)
        assert done.exit_code == 0, done.output
        told.append(done.stdout.replace(str(tmp_path / name), ""))
    assert told[0] == told[1]
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("here", "there")]
    assert reports[0]["figures"] == reports[1]["figures"]
    wrong = CliRunner().invoke(app, [*given[:5], f"{root}/images", "--out", str(tmp_path / "no")])
    assert wrong.exit_code == 1
    assert f"{root}/images/classes.txt" in wrong.stderr


@pytest.mark.parametrize("name", ["voc20", "context59", "coco_stuff171", "cityscapes19", "ade20k150"])
def test_every_layout_is_found(name: str, tmp_path: Path) -> None:
    made = {
        "voc20": layouts.voc,
        "context59": layouts.context,
        "coco_stuff171": lambda root: layouts.coco(root, "_labelTrainIds"),
        "cityscapes19": lambda root: layouts.cityscapes(root, "labelTrainIds"),
        "ade20k150": layouts.ade20k,
    }[name]
    made(tmp_path)
    here, there = open_data(name, tmp_path), open_data(name, copied(tmp_path, f"memory://sets-{name}"))
    assert [one.key for one in there.samples] == [one.key for one in here.samples]
    for one, other in zip(here.samples, there.samples, strict=True):
        found, expected = there.load(other), here.load(one)
        assert found[0].tolist() == expected[0].tolist()
        assert found[1].tolist() == expected[1].tolist()


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(DataSetError, match=r"memory://no-such-set does not exist\. Get it here"):
        open_data("voc20", "memory://no-such-set")
    storage.put("memory://half/images/a.jpg", b"")
    storage.put("memory://half/classes.txt", b"1\tcat\n")
    with pytest.raises(DataSetError, match=r"a\.jpg has no mask: memory://half/masks/a\.png is missing"):
        open_data("folder", "memory://half")
