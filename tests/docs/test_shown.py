"""What a reader sees of a page, made by the extensions that make the site."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import markdown
import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["markdown_extensions"]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def shown(page: str) -> str:
    """The HTML of a page, without its frame."""
    names: list[str] = []
    options: dict[str, dict[str, Any]] = {}
    for extension in EXTENSIONS:
        name, given = next(iter(extension.items())) if isinstance(extension, dict) else (extension, {})
        names.append(name)
        options[name] = {**given, "base_path": [str(ROOT)]} if name == "pymdownx.snippets" else given
    html: str = markdown.markdown(
        (ROOT / "docs" / page).read_text("utf-8"), extensions=names, extension_configs=options
    )
    return html


def code_in(html: str) -> list[str]:
    """The text of every block of code."""
    blocks = re.findall(r"<pre[^>]*>(.*?)</pre>", html, re.DOTALL)
    return [unescape(re.sub(r"<[^>]+>", "", block)).strip() for block in blocks]


def test_every_script_is_shown_whole() -> None:
    code = code_in(shown("examples.md"))
    assert len(SCRIPTS) == 5
    assert sorted(code) == sorted(script.read_text("utf-8").strip() for script in SCRIPTS)


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_no_marker_is_left_over(page: str) -> None:
    text = re.sub(r"<[^>]+>", "", shown(page))
    assert not re.search(r"--\s*8\s*<|&lt;\s*--", text)


def test_the_formatter_leaves_the_markers_alone() -> None:
    page = (ROOT / "docs" / "examples.md").read_bytes()
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", "docs/examples.md", "-"],
        input=page,
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    assert found.stdout == page


def test_the_site_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    one_page = load_config(
        "mkdocs.yml", site_dir=str(tmp_path), exclude_docs="*.md\n!examples.md", strict=False
    )
    build(one_page)
    code = code_in((tmp_path / "examples" / "index.html").read_text("utf-8"))
    assert sorted(code) == sorted(script.read_text("utf-8").strip() for script in SCRIPTS)
