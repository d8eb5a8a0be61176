"""The example scripts, one after another, and the notebooks run on the offline recipe, made tiny."""

from __future__ import annotations

import ast
import json
import runpy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.docs.conftest import tiny_recipe
from tests.evaluation.layouts import write_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def _script(name: str) -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    return main


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, home: Path, photographs: Path) -> Iterator[Path]:
    """A folder in which the first two scripts have written `labels/` and `head/`; the recipe stays tiny."""
    folder = tmp_path_factory.mktemp("chain")
    with tiny_recipe(home):
        _script("label")(str(photographs), str(folder / "labels"), "cat", "coffee cup", "rocket")
        _script("align")(str(folder / "labels"), str(folder / "head"))
        yield folder


def test_label_and_align_write_what_the_others_read(chain: Path) -> None:
    assert (chain / "labels/manifest.json").is_file()
    assert (chain / "labels.jpg").is_file()
    assert {path.name for path in (chain / "head").iterdir()} >= {"config.json", "model.safetensors"}


def test_segment(chain: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _script("segment")(str(chain / "head"), str(photographs), str(chain / "results"), "kitten", "mug")
    said = capsys.readouterr().out
    for name in ("chelsea", "coffee", "rocket"):
        assert f"{name}.png {{" in said
        assert (chain / f"results/{name}.jpg").is_file()
        with Image.open(chain / f"results/{name}_classes.png") as classes:
            assert classes.size == (240, 160)
            assert set(np.unique(np.asarray(classes)).tolist()) <= {0, 1, 2, 255}  # background first


def test_evaluate(chain: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = chain / "data"
    (data / "images").mkdir(parents=True)
    shutil.copy(photographs / "chelsea.png", data / "images")
    write_mask(data / "masks/chelsea.png", [[1] * 240] * 160)
    (data / "classes.txt").write_text("0\tbackground\n1\tcat\n2\trocket\n")
    _script("evaluate")(str(chain / "head"), "folder", str(data), str(chain / "run"))
    assert "1 images; report in" in capsys.readouterr().out
    assert (chain / "run/report.html").is_file()


def test_share(chain: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(photographs / "chelsea.png")
    _script("share")(str(chain / "head"), str(chain / "shared"), image, "cat", "coffee cup", "mug")
    said = capsys.readouterr().out
    assert "model.safetensors: " in said
    assert said.endswith("the same class map and scores\n")


def test_there_are_five_scripts_and_three_notebooks() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"label", "align", "segment", "evaluate", "share"}
    assert len(NOTEBOOKS) == 3


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
def test_a_notebook_runs(path: Path, workspace: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in _cells(path) if cell["cell_type"] == "code"]
    shown = [_run_cell("".join(cell["source"]), names) for cell in cells]
    assert any(isinstance(value, Image.Image) for value in shown), "a notebook shows a picture"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    for cell in _cells(path):
        assert cell["cell_type"] == "markdown" or cell["outputs"] == []
        assert cell.get("execution_count") is None


def _cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells: list[dict[str, Any]] = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    return cells


def _run_cell(source: str, names: dict[str, Any]) -> object:
    """Run a cell as a kernel does: the value of a last expression is what it shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
