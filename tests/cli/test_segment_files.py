"""What ``fmbseg segment`` writes: whole or not at all, and over nothing that it did not write."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.cli.main import app
from fmbseg.written import LOCK, MARKER
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.cli.tiny_work import TinySegmentWork
from tests.forks import Forks

ROOT = Path(__file__).resolve().parents[2]
RUNNER = CliRunner()


@pytest.fixture
def head(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText()).save_pretrained(tmp_path / "head")
    return tmp_path / "head"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "o"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 255, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def segment(source: Path, head: Path, out: Path, *options: str) -> Result:
    command = ["segment", str(source), "--classes", "cat,dog", "--head", str(head), "--out", str(out)]
    return RUNNER.invoke(app, [*command, *options])


def results(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (MARKER, LOCK)
    }


def test_results_are_never_taken_for_photographs(photographs: Path, head: Path) -> None:
    for run in ("r1", "r2"):
        done = segment(photographs, head, photographs / run, "--heatmap", "cat")
        assert done.exit_code == 0, done.output
    first, second = results(photographs / "r1"), results(photographs / "r2")
    endings = ("classes.png", "overlay.jpg", "heatmap_cat.jpg")
    assert set(first) == {"classes.txt", *(f"{name}_{ending}" for name in "ab" for ending in endings)}
    assert first == second


def test_a_second_run_leaves_its_own_results_alone(photographs: Path, head: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(photographs, head, out, "--geojson").exit_code == 0
    (out / "notes.txt").write_text("mine")
    (photographs / "b.png").rename(tmp_path / "b.png")
    assert segment(photographs, head, out).exit_code == 0
    assert set(results(out)) == {"classes.txt", "a_classes.png", "a_overlay.jpg", "notes.txt"}


@pytest.mark.parametrize("name", ["classes.txt", "a_classes.png", "b_overlay.jpg", "a_outlines.geojson"])
def test_a_file_of_the_users_is_told_before_anything_is_loaded_or_written(
    photographs: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    done = segment(photographs, tmp_path / "no head is there", out, "--geojson")
    assert done.exit_code == 1
    assert f"{name} exists, and fmbseg did not write it" in done.stderr
    assert results(out) == {name: b"mine"}


def test_a_result_that_was_edited_is_kept(photographs: Path, head: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(photographs, head, out).exit_code == 0
    Image.new("P", (56, 40)).save(out / "a_classes.png")
    before = results(out)
    done = segment(photographs, head, out)
    assert done.exit_code == 1
    assert "a_classes.png was changed since fmbseg wrote it" in done.stderr
    assert results(out) == before


def test_what_is_passed_over_is_told_and_counts_for_strict(
    photographs: Path, head: Path, tmp_path: Path
) -> None:
    (photographs / "c.heic").write_bytes(b"ftypheic")
    for options, code in (((), 0), (("--strict",), 1)):
        done = segment(photographs, head, tmp_path / "out", *options)
        assert done.exit_code == code, done.output
        assert "warning: 1 file was passed over (1 .heic: c.heic)" in done.stderr
        assert "a_overlay.jpg" in results(tmp_path / "out")


def test_a_full_disk_names_the_file(
    photographs: Path, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.suffix == ".jpg":
            write(self, data[:10])
            raise OSError(28, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as context:
        context.setattr(Path, "write_bytes", full)
        done = segment(photographs, head, tmp_path / "out")
    assert done.exit_code == 1
    assert f"no room to write {tmp_path / 'out' / 'a_overlay.jpg'}" in done.stderr
    assert set(results(tmp_path / "out")) == {"classes.txt", "a_classes.png"}
    assert segment(photographs, head, tmp_path / "out").exit_code == 0


def test_processes_write_what_one_process_writes(
    photographs: Path, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photographs / "c.png").write_text("no picture", encoding="utf-8")
    alone = segment(photographs, head, tmp_path / "one", "--heatmap", "cat", "--geojson")
    monkeypatch.setattr("fmbseg.cli.segment.SegmentWork", TinySegmentWork)
    two = segment(photographs, head, tmp_path / "two", "--heatmap", "cat", "--geojson", "--processes", "1")
    assert (alone.exit_code, two.exit_code) == (0, 0), two.output
    assert results(tmp_path / "two") == results(tmp_path / "one")
    assert two.stdout == alone.stdout.replace(str(tmp_path / "one"), str(tmp_path / "two"))
    assert "not segmented:" in two.stderr


SEGMENT = (
    "from tests.aligned import tiny\nfrom fmbseg.cli.main import app\nimport fmbseg.segmentation.segmenter"
)


@pytest.mark.long
def test_killed_at_any_moment_it_leaves_no_half_and_the_same_again_goes_through(
    photographs: Path, head: Path, tmp_path: Path
) -> None:
    for seed in range(20):
        pixels = np.random.default_rng(seed).integers(0, 255, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photographs / f"{seed}.png")
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert segment(photographs, head, whole, "--geojson").exit_code == 0
    command = ["segment", str(photographs), "--classes", "cat,dog", "--geojson", "--head", str(head)]
    draw, stopped = random.Random(4), 0
    with Forks(SEGMENT) as forks:
        for _ in range(4):
            forks.start(f"app({[*command, '--out', str(out)]!r})")
            for _line in range(draw.randrange(1, 14)):  # a line for each photograph
                forks.read()
            stopped += forks.kill()
            found = {name: content for name, content in results(out).items() if ".tmp" not in name}
            assert found.items() <= results(whole).items()
    assert stopped
    assert segment(photographs, head, out, "--geojson").exit_code == 0
    assert {name for name in results(out) if ".tmp" not in name} == set(results(whole))
