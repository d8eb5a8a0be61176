"""``fmbseg labels``: each command over a small label set."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from fmbseg.cli.main import app
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.record import POINT_STAGE
from fmbseg.labels.regions import class_regions
from tests.labels.examples import assert_equal
from tests.labels.pictures import SIZES, write_labels


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["labels", *map(str, arguments)])


def test_stats_as_a_table(labels: LabelSet) -> None:
    result = run("stats", labels.folder)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{labels.folder}: 4 photographs, 1 without a class, 1 without a mask; kept")
    assert any(line.split()[:2] == ["grass", "3"] for line in lines)
    assert "🐈 cat" in result.stdout


def test_stats_as_json_of_a_stage(labels: LabelSet) -> None:
    result = run("stats", labels.folder, "--stage", "1.1", "--json")
    found = json.loads(result.stdout)
    assert found == labels.stage(POINT_STAGE).statistics().to_dict()
    assert {stage for by in found["masks"].values() for stage in by} == {"1.1"}


def test_verify_tells_every_problem_on_a_line_and_fails(labels: LabelSet) -> None:
    sound = run("verify", labels.folder, "--photographs")
    assert sound.exit_code == 0
    assert sound.stdout == f"{labels.folder}: all is well; 4 photographs labelled, 0 not\n"
    shard = labels.folder / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    (labels.folder / "shard-00001.parquet").unlink()
    result = run("verify", labels.folder)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["wrong", "shard-00000.parquet"],
        ["wrong", "shard-00001.parquet"],
    ]


def test_verify_of_no_label_set(tmp_path: Path) -> None:
    result = run("verify", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {tmp_path} holds no label set: manifest.json is missing.")


def test_export_and_import(labels: LabelSet, tmp_path: Path) -> None:
    for to in ("coco", "coco-polygons"):
        file = tmp_path / f"{to}.json"
        assert run("export", labels.folder, "--to", to, "--out", file).exit_code == 0
        out = tmp_path / to
        result = run("import", file, "--photographs", labels.root, "--out", out)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"{out}: 4 photographs labelled, 0 not; ")
        for found, wanted in zip(LabelSet(out), labels, strict=True):
            assert_equal(found, replace(wanted, features=None))


@pytest.mark.parametrize(
    ("to", "file", "told"),
    [
        ("yolo", "labels/deep/b.txt", "10 masks (4670 points); left out: 5 masks not drawn for training"),
        ("png", "deep/b.png", "10 masks; left out: 5 masks not drawn for training"),
        ("datasets", "data", "15 masks"),
    ],
)
def test_export_to_folders(labels: LabelSet, tmp_path: Path, to: str, file: str, told: str) -> None:
    out = tmp_path / to
    result = run("export", labels.folder, "--to", to, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith(f": 4 photographs, {told}\n")
    assert (out / file).exists()


def test_export_of_chosen_masks(labels: LabelSet, tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    run("export", labels.folder, "--out", file, "--stage", "1.1", "--min-predicted-iou", "0.5")
    written = json.loads(file.read_text("utf-8"))["annotations"]
    wanted = labels.filter(stages=[POINT_STAGE], min_predicted_iou=0.5)
    assert len(written) == sum(len(image.masks) for image in wanted) > 0


def test_coco_as_a_folder_with_photographs_for_people(labels: LabelSet, tmp_path: Path) -> None:
    out = tmp_path / "folder"
    result = run(
        "export", labels.folder, "--to", "coco-polygons", "--out", out, "--kept", "--min-area", 30,
        "--simplify", 1.5, "--copy", "--val", 0.25, "--seed", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    again = class_regions(labels, kept_only=True, min_area=30)
    masks = sum(len(image.masks) for image in again)
    assert result.stdout.startswith(f"{out}: 4 photographs (1 for validation), {masks} masks (")
    (photograph,) = (path for path in (out / "images/val").rglob("*") if path.is_file())
    assert not photograph.is_symlink()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--out", "a.json", "--copy"], "--copy and --val need a folder: --out is 'a.json'"),
        (["--out", "a.json", "--simplify", "2"], "--simplify is for polygons: --to coco-polygons"),
        (["--out", "a", "--to", "png", "--copy"], "--copy is not for --to png"),
        (["--out", "a", "--to", "label-studio", "--val", "0.1"], "--val is for --to coco, coco-polygons"),
    ],
)
def test_options_that_a_format_does_not_have(labels: LabelSet, asked: list[str], told: str) -> None:
    result = run("export", labels.folder, *asked)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", "").split())


def test_kept_masks_and_label_studio(labels: LabelSet, tmp_path: Path) -> None:
    out = tmp_path / "tasks"
    result = run("export", labels.folder, "--to", "label-studio", "--out", out, "--kept")
    assert result.stdout == f"{out / 'tasks.json'}: 4 photographs, 10 masks\n"
    again = run("import", out / "tasks.json", "--photographs", labels.root, "--out", tmp_path / "again")
    assert again.stdout.startswith(f"{tmp_path / 'again'}: 4 photographs labelled, 0 not; ")


def test_import_under_other_words(labels: LabelSet, tmp_path: Path) -> None:
    file = tmp_path / "coco.json"
    run("export", labels.folder, "--out", file)
    result = run(
        "import", file, "--photographs", labels.root, "--out", tmp_path / "out", "--classes", "dog,grass"
    )
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert "there is no class '🐈 cat'" in result.stderr or "there is no class 'sofa/bed'" in result.stderr


def test_show_draws_every_photograph(labels: LabelSet, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "sheet.png"
    result = run("show", labels.folder, "--out", out, "--columns", 2)
    assert result.stdout == f"{out}: 4 of {len(SIZES)} photographs\n"
    with Image.open(out) as sheet:
        assert sheet.width == 2 * 288 + 8
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 100
    refused = run("show", labels.folder, "--out", tmp_path / "sheet.txt")
    assert refused.exit_code == 2


def test_show_replaces_its_own_sheet_alone(labels: LabelSet, tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"mine")
    refused = run("show", labels.folder, "--out", mine)
    assert refused.exit_code == 1
    assert "mine.png exists, and fmbseg did not write it" in refused.stderr
    assert mine.read_bytes() == b"mine"
    for count in (1, 4):
        assert run("show", labels.folder, "--out", tmp_path / "own.png", "--count", count).exit_code == 0


def test_show_of_a_replaced_photograph(labels: LabelSet, tmp_path: Path) -> None:
    shutil.copyfile(Path(labels.root) / "a.png", Path(labels.root) / "z.png")
    refused = run("show", labels.folder, "--out", tmp_path / "sheet.png")
    assert refused.exit_code == 1
    assert "z.png was changed since it was labelled" in refused.stderr
    assert not (tmp_path / "sheet.png").exists()


def test_yolo_with_copies_and_some_set_apart(labels: LabelSet, tmp_path: Path) -> None:
    out = tmp_path / "yolo"
    done = run("export", labels.folder, "--to", "yolo", "--out", out, "--copy", "--val", 0.25, "--seed", 3)
    assert done.stdout == (
        f"{out / 'data.yaml'}: 4 photographs (1 for validation), 10 masks (4670 points); left out: 5 masks "
        "not drawn for training\n"
    )
    assert len(list((out / "images/val").rglob("*.png"))) == 1
    assert not any(path.is_symlink() for path in out.rglob("*"))
    refused = run("export", labels.folder, "--to", "png", "--out", tmp_path / "png", "--copy")
    assert refused.exit_code == 2
    assert not (tmp_path / "png").exists()


def test_coco_to_a_folder_that_is_named_as_a_file_leaves_nothing_behind(
    labels: LabelSet, tmp_path: Path
) -> None:
    (tmp_path / "folder.json").mkdir()
    before = sorted(tmp_path.rglob("*"))
    refused = run("export", labels.folder, "--to", "coco", "--out", tmp_path / "folder.json")
    assert refused.exit_code == 1
    assert "folder.json is a folder: name a file" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_names_do_not_reach_the_terminal_as_commands(
    labels: LabelSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor as rich's markup."""
    monkeypatch.setenv("COLUMNS", "200")  # a narrow table breaks the name
    content = json.loads(run_to_json(labels, tmp_path).read_text("utf-8"))
    hostile = "\x1b[2J[bold]dog"
    content["categories"][0]["name"] = hostile
    del content["info"]
    for image in content["images"]:
        image["detected"] = [hostile if name == "dog" else name for name in image["detected"]]
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(content))
    told = run("import", file, "--photographs", labels.root, "--out", tmp_path / "again")
    assert told.exit_code == 0, told.stderr
    table = run("stats", tmp_path / "again")
    for result in (told, table):
        assert "\x1b" not in result.stdout
        assert r"\x1b[2J[bold]dog" in result.stdout


def run_to_json(labels: LabelSet, folder: Path) -> Path:
    run("export", labels.folder, "--out", folder / "coco.json")
    return folder / "coco.json"


def test_merge_joins_parts_and_sets(tmp_path: Path) -> None:
    first, second = write_labels(tmp_path / "a"), write_labels(tmp_path / "b", settings={"seed": 1})
    result = run("merge", first.folder, second.folder, "--out", tmp_path / "both")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{tmp_path / 'both'}: 8 photographs labelled, 0 not; ")
    assert len(LabelSet(tmp_path / "both")) == 8
    again = run("merge", first.folder, first.folder, "--out", tmp_path / "one")
    assert again.exit_code == 0
    assert (
        LabelSet(tmp_path / "one").fingerprint == first.fingerprint
    )  # the same shards twice are parts of one
    refused = run("merge", first.folder, tmp_path / "both", "--out", tmp_path / "more")
    assert refused.exit_code == 1
    assert "is in two of the label sets" in refused.stderr
    taken = run("merge", first.folder, tmp_path / "both", "--out", tmp_path / "more", "--repeated", "first")
    assert len(LabelSet(tmp_path / "more")) == 8, taken.stderr
