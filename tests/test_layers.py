"""Data flows one way: who may import whom, read from the source of every module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fmbseg

PACKAGE = Path(fmbseg.__file__).parent
STAGES = {"labeling", "alignment", "segmentation", "evaluation"}
ABOVE = {"cli", "demo"}
MODEL_LIBRARIES = {"timm", "transformers", "open_clip", "segment_anything", "onnxruntime", "skimage"}


def imports_of(path: Path) -> set[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def rooms_of(path: Path) -> set[str]:
    """Folders and modules of fmbseg that a file imports from."""
    parts = (name.split(".") for name in imports_of(path))
    return {part[1] for part in parts if part[0] == "fmbseg" and len(part) > 1}


def modules(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(STAGES))
def test_stages_do_not_import_one_another_nor_what_is_above(room: str) -> None:
    assert modules(room)
    wrong = {path.name: rooms_of(path) & (STAGES - {room} | ABOVE) for path in modules(room)}
    assert not {name: rooms for name, rooms in wrong.items() if rooms}


@pytest.mark.parametrize("room", ["models", "labels", "aligned"])
def test_what_stages_share_knows_nothing_of_them(room: str) -> None:
    assert modules(room)
    wrong = {path.name: rooms_of(path) & (STAGES | ABOVE) for path in modules(room)}
    assert not {name: rooms for name, rooms in wrong.items() if rooms}


def test_drawing_knows_of_nothing_but_names_to_escape() -> None:
    assert modules("drawing")
    wrong = {path.name: rooms_of(path) - {"drawing", "escaping"} for path in modules("drawing")}
    assert not {name: rooms for name, rooms in wrong.items() if rooms}


def test_nothing_outside_drawing_draws() -> None:
    """Pillow's pencil and fonts are drawing's alone; others open and save pictures."""
    others = [path for path in PACKAGE.rglob("*.py") if "drawing" not in path.relative_to(PACKAGE).parts]
    source = {path.name: path.read_text(encoding="utf-8") for path in others}
    assert not [name for name, text in source.items() if "ImageDraw" in text or "ImageFont" in text]


def test_nothing_outside_models_names_a_model_library() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if "models" not in path.relative_to(PACKAGE).parts]
    wrong = {
        path.name: {name.split(".")[0] for name in imports_of(path)} & MODEL_LIBRARIES for path in others
    }
    assert not {name: libraries for name, libraries in wrong.items() if libraries}
