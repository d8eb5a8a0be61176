"""Data flows one way: who may import whom, read from the source of every module."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fmbseg

PACKAGE = Path(fmbseg.__file__).parent
STAGES = {"labeling", "alignment", "segmentation", "evaluation"}
ABOVE = {"methods", "reproduce", "cli", "demo", "app"}
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


def module_of(path: Path) -> str:
    """The full name of a file's module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it, those imported from their folder too."""
    named = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    return imports_of(path) | named


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


def test_only_one_module_of_the_page_knows_gradio() -> None:
    wrong = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "gradio" in {name.split(".")[0] for name in imports_of(path)}
        or 'require("gradio"' in path.read_text()
    }
    assert wrong == {"app/widgets.py"}


def test_nothing_but_its_command_knows_of_the_page() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "app"]
    assert [path.name for path in others if "app" in rooms_of(path)] == ["app.py"]


DOWNLOADS = {"snapshot_download", "hf_hub_download", "get_hf_file_metadata", "hf_hub_url", "cached_download"}
OF_OTHER_LIBRARIES = {
    "timm": {
        "forward_intermediates",
        "feature_info",
        "norm",
        "num_prefix_tokens",
        "num_reg_tokens",
        "pos_embed",
    },
    "timm within open_clip": {"output_fmt", "set_input_size"},
    "open_clip": {"normalized_shape", "batch_first", "gate"},
    "transformers": {
        "reshaped_hidden_states",
        "num_register_tokens",
        "window_size",
        "image_size",
        "num_patches",
        "is_native",
    },
    "pillow": {"filename", "tile"},
    "requests": {"response", "status_code"},
    "yaml": {"problem", "problem_mark"},
    "functions": {"__qualname__"},
}
"""Attributes that objects of other libraries have in some versions or for some models only."""
CIRCLES = {"fmbseg.labels.collection": {"fmbseg.labels.formats.hf_datasets"}}
"""Imports that close a circle, each with its reason beside it; `fmbseg` itself names all it offers."""


def test_only_the_folder_for_loading_downloads_from_the_hub() -> None:
    wrong = {
        path.relative_to(PACKAGE).as_posix(): found
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "models" / "loading")
        if (found := DOWNLOADS & names_in(path))
    }
    assert not wrong
    assert any(DOWNLOADS & names_in(path) for path in (PACKAGE / "models" / "loading").glob("*.py"))


def test_loading_knows_no_kind_of_model() -> None:
    kinds = {"backbones", "image_text", "mask_generators"}
    wrong = {
        path.name: found
        for path in (PACKAGE / "models" / "loading").glob("*.py")
        if (
            found := {
                name
                for name in imports_of(path)
                if name.startswith("fmbseg.models.") and name.split(".")[2] in kinds
            }
        )
    }
    assert not wrong


def test_nothing_of_fmbsegs_own_is_asked_for_by_getattr() -> None:
    """What only some models, heads, labels or segmenters have is a protocol, asked for by isinstance."""
    asked = {path.relative_to(PACKAGE).as_posix(): asked_by_getattr(path) for path in PACKAGE.rglob("*.py")}
    foreign = {name for names in OF_OTHER_LIBRARIES.values() for name in names}
    assert not {path: names - foreign for path, names in asked.items() if names - foreign}
    assert foreign == {name for names in asked.values() for name in names}


def test_no_two_public_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module_of(path))
    assert not {name: modules for name, modules in homes.items() if len(modules) > 1}


def test_modules_do_not_import_one_another_in_circles() -> None:
    """Those that are there for a reason, which the code gives, are left out."""
    paths = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    del paths["fmbseg"]
    graph = {
        name: {other for other in imported_modules(path) if other in paths} - CIRCLES.get(name, set())
        for name, path in paths.items()
    }
    for name, others in CIRCLES.items():
        assert others <= imported_modules(paths[name])
    TopologicalSorter(graph).prepare()  # raises CycleError, which names a circle


def test_packages_that_may_be_missing_are_asked_for_in_one_place() -> None:
    wrong = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        if {"ImportError", "ModuleNotFoundError"}
        & {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    }
    # The registry names the plugin that imports what is not there; `lack_of` reports any such error.
    assert wrong == {"missing_package.py", "registry.py", "models/loading/create.py"}


def names_in(path: Path) -> set[str]:
    """Every name and imported name in a file."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {
        name
        for node in tree
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else [node.id]
            if isinstance(node, ast.Name)
            else [node.attr]
            if isinstance(node, ast.Attribute)
            else []
        )
    }


def asked_by_getattr(path: Path) -> set[str]:
    """Names that a file asks for by ``getattr`` or ``hasattr``."""
    return {
        str(node.args[1].value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr")
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    }
