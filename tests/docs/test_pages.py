"""Every Python block of every page and of the README runs; what cannot run says so and is checked."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.blocks import blocks_of, check, run
from tests.docs.conftest import small_teachers
from tests.evaluation.layouts import write_mask

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN_ELSEWHERE = {"docs/share.md": "tests/hub/test_share_page.py"}
"""Pages that need a server, and the tests that run them beside one."""

SAYS = {
    "docs/align.md": (
        r"^epoch 2: loss \d+\.\d+, held out \d+\.\d+$",
        "^epoch,loss,learning_rate",
        "^332 GB$",
    ),
    "docs/segment.md": (r"\('background', 'dog', 'couch'\) - 2 words mean background", "^True True$"),
    "docs/evaluate.md": ("not counted",),
    "docs/howto/distil_sam3.md": (
        "'teacher': 'hf-sam3:facebook/sam3.*'license': 'sam-license'",
        r"^\d+\.\d% of the labelled pixels agree, mIoU \d\.\d+$",
        r"^student and teacher: \d+\.\d% agree, mIoU \d\.\d+$",
    ),
}
"""What a page prints when it runs, where that tells whether it did what it says."""


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _runs_here(page: Path) -> bool:
    elsewhere = RUN_ELSEWHERE.get(_name(page))
    return elsewhere is None or not (ROOT / elsewhere).is_file()


WITH_PYTHON = [page for page in PAGES if _runs_here(page) and blocks_of(page)]

LEFT_OUT = {"docs/labels.md": ("photos", "labels", "head"), "README.md": ("labels", "head")}
"""What a page makes itself."""


def _prepare(page: str, folder: Path) -> None:
    """Take away what a page makes itself, and bring what it needs that others do not have."""
    for name in LEFT_OUT.get(page, ()):
        shutil.rmtree(folder / name)
    if page == "docs/evaluate.md":  # a folder with masks
        (folder / "photos/images").mkdir()
        (folder / "photos/chelsea.png").rename(folder / "photos/images/chelsea.png")
        with Image.open(folder / "photos/images/chelsea.png") as image:
            write_mask(folder / "photos/masks/chelsea.png", [[1] * image.width] * image.height)
        (folder / "photos/classes.txt").write_text("0\tbackground\n1\tcat\n2\tdog\n")
    if page == "docs/howto/distil_sam3.md":
        small_teachers(folder / "cache")


@pytest.mark.parametrize("page", WITH_PYTHON, ids=_name)
@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
def test_what_can_run_runs(page: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _prepare(_name(page), workspace)
    run([block for block in blocks_of(page) if not block.needs])
    said = capsys.readouterr().out
    for pattern in SAYS.get(_name(page), ()):
        assert re.search(pattern, said, re.MULTILINE), said


@pytest.mark.parametrize("page", WITH_PYTHON, ids=_name)
def test_what_cannot_run_names_what_there_is(page: Path) -> None:
    names: dict[str, object] = {}
    wrong = [(block, check(block, names)) for block in blocks_of(page)]
    assert not [each for block, found in wrong if block.needs for each in found]


def test_no_block_of_python_is_overlooked() -> None:
    fences = sum(page.read_text("utf-8").count("```python") for page in PAGES if _runs_here(page))
    assert fences == sum(len(blocks_of(page)) for page in WITH_PYTHON) > 20
