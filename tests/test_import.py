"""Importing the package is light, and its names lead somewhere."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

import fmbseg

HEAVY = ["torch", "timm", "transformers", "open_clip", "segment_anything", "onnxruntime"]
LIGHT_MODULES = [
    "fmbseg",
    "fmbseg.images",
    "fmbseg.masks",
    "fmbseg.drawing.classes",
    "fmbseg.registry",
    "fmbseg.results",
    "fmbseg.vocabulary",
]


def run(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return finished.stdout.strip()


@pytest.mark.parametrize("modules", [LIGHT_MODULES[:1], LIGHT_MODULES], ids=["package", "light modules"])
def test_import_loads_no_model_library(modules: list[str]) -> None:
    loaded = run(
        f"import sys, {', '.join(modules)}; print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert loaded == "[]"


def test_the_libraries_that_must_not_be_loaded_are_installed() -> None:
    # Otherwise the test above would pass wherever they are missing.
    assert find_spec("torch") is not None
    assert run("import sys, torch; print('torch' in sys.modules)") == "True"


def test_names_are_loaded_when_first_used() -> None:
    assert fmbseg.Vocabulary.of(["dog"]).names == ("dog",)
    assert set(fmbseg.__all__) <= set(dir(fmbseg))


def test_unknown_attribute_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Segmenter'.*OpenVocabSegmenter"):
        _ = fmbseg.Segmenter


def test_version_is_numbers() -> None:
    assert all(part.isdigit() for part in fmbseg.__version__.split(".")[:2])
