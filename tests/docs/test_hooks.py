"""What the pages are made with: equations as MathML, docstrings as Markdown, commands as tables."""

from __future__ import annotations

import re
import runpy
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe
import pytest

import fmbseg

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = "\n".join(page.read_text("utf-8") for page in sorted((DOCS / "api").glob("*.md")))


def _hook(name: str) -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "hooks" / f"{name}.py"))


def test_equations_become_mathml() -> None:
    page = r'<span class="arithmatex">\(x \lt y\)</span><div class="arithmatex">\[ \frac{1}{2} \]</div>'
    made = _hook("mathml")["on_page_content"](page)
    assert "<mi>x</mi><mo>&lt;</mo><mi>y</mi>" in made.replace("&#x0003C;", "&lt;")
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>" in made
    assert "arithmatex" not in made


def test_every_command_in_the_equations_of_the_pages_is_known() -> None:
    convert = _hook("mathml")["convert"]
    equations = [
        equation
        for page in DOCS.rglob("*.md")
        for equation in re.findall(r"\$\$(.*?)\$\$|\\\((.*?)\\\)", page.read_text("utf-8"), re.DOTALL)
    ]
    assert len(equations) > 10
    for block, inline in equations:
        assert "\\" not in convert(block or inline)  # what it does not know is left as it stands


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("See :meth:`fit`.", '<autoref optional identifier="m.C.fit"><code>fit</code></autoref>'),
        ("A :class:`~other.place.Thing`.", 'identifier="other.place.Thing"><code>Thing</code>'),
        ("Of :class:`C`.", '<autoref optional identifier="m.C"><code>C</code></autoref>'),
        ("Example:\n    >>> 1\n    1", "Examples:\n    >>> 1\n    1"),
        ("So::\n\n    code()", "So:\n\n    code()"),
    ],
)
def test_docstrings_become_markdown(text: str, wanted: str) -> None:
    module = griffe.visit("m", Path("m.py"), "class C:\n    def fit(self): ...\n")
    assert wanted in _hook("docstrings")["rewrite"](text, module["C"])


def test_the_commands_are_all_there() -> None:
    made = _hook("commands")["on_page_markdown"]("# Command line\n\n<!-- commands -->\n")
    heads = re.findall(r"^## (.*)$", made, re.MULTILINE)
    assert {"fmbseg label", "fmbseg fit", "fmbseg segment", "fmbseg eval", "fmbseg labels stats"} <= set(
        heads
    )
    recipe = "| `--recipe` | Recipe: a named choice of models and settings (`fmbseg models list`); auto: "
    assert f"{recipe}the best in reach. | `auto` |" in made


@pytest.mark.parametrize("name", sorted(set(fmbseg.__all__) - {"__version__"}))
def test_every_public_name_is_in_the_reference(name: str) -> None:
    home = getattr(fmbseg, name).__module__
    assert f"::: {home}.{name}\n" in REFERENCE


def test_what_the_reference_names_is_there() -> None:
    named = re.findall(r"^::: ([\w.]+)$", REFERENCE, re.MULTILINE)
    for path in named:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name), path
    contracts = {
        f"fmbseg.models.contracts.{name}" for name in ("Backbone", "ImageTextEncoder", "MaskGenerator")
    }
    assert {*contracts, "fmbseg.registry.Registry"} <= set(named)
