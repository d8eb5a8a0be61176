"""The Python blocks of a page: found, told apart into those that run and those that cannot, and checked."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = re.compile(
    r"^(?P<indent> *)```python(?P<title>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_TITLE = re.compile(r' title="(Needs [^"]+: checked, not run)"')


@dataclass(frozen=True)
class Block:
    """One block of Python.

    Attributes:
        page: it stands on.
        line: of its first line of code, from 1.
        code: without the indent that the block has on the page.
        needs: what the reader is told that it needs, so that it cannot run here; empty where it runs.
    """

    page: Path
    line: int
    code: str
    needs: str

    def compiled(self) -> ast.Module:
        """The code, its lines counted as on the page, so that a traceback points there."""
        return ast.parse("\n" * (self.line - 1) + self.code, str(self.page))


def blocks_of(page: Path) -> list[Block]:
    """The Python blocks of a page, in order.

    Raises:
        ValueError: a fence with anything after `python` but a title that says what the block needs.
    """
    text = page.read_text("utf-8")
    blocks = []
    for match in _BLOCK.finditer(text):
        title = _TITLE.fullmatch(match["title"])
        line = text[: match.start("code")].count("\n") + 1
        if match["title"] and title is None:
            raise ValueError(f'{page}, line {line - 1}: only title="Needs ...: checked, not run" may follow')
        blocks.append(Block(page, line, textwrap.dedent(match["code"]), title[1] if title else ""))
    return blocks


def run(blocks: list[Block]) -> None:
    """Run blocks one after another under shared names, as a reader would who copies them into one session."""
    names: dict[str, object] = {"__name__": "__page__"}
    for block in blocks:
        exec(compile(block.compiled(), str(block.page), "exec"), names)


def check(block: Block, names: dict[str, object] | None = None) -> list[str]:
    """What is wrong in a block that cannot run: names that are not there, calls that do not fit.

    Imports of packages that are not installed are passed over with all that is made of them.

    Args:
        block: to check.
        names: what the blocks above have imported; what this one imports is added.
    """
    names = {} if names is None else names
    tree = block.compiled()
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            wrong += list(_import(node, names))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            wrong += list(_call(node, names, tree))
    return [f"{block.page}, {each}" for each in wrong]


def _import(node: ast.Import | ast.ImportFrom, names: dict[str, object]) -> Iterator[str]:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
    if find_spec(module.partition(".")[0]) is None:
        return
    found = import_module(module)
    if isinstance(node, ast.Import):
        return
    for alias in node.names:
        if hasattr(found, alias.name):
            names[alias.asname or alias.name] = getattr(found, alias.name)
        else:
            yield f"line {node.lineno}: {module} has no {alias.name}"


def _call(node: ast.Call, names: dict[str, object], tree: ast.Module) -> Iterator[str]:
    called = _resolve(node.func, names, tree)
    if isinstance(called, str):
        yield f"line {node.lineno}: {called}"
    unbound = inspect.isfunction(called) and "." in called.__qualname__  # a method's own instance comes first
    if not callable(called):
        return
    arguments = [None] * (len(node.args) + unbound)
    keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
    try:
        inspect.signature(called).bind(*arguments, **keywords)
    except TypeError as error:
        yield f"line {node.lineno}: {ast.unparse(node.func)}: {error}"


def _resolve(function: ast.expr, names: dict[str, object], tree: ast.Module) -> object:
    """What is called: an object, None where that cannot be told, or, as text, what is wrong."""
    if isinstance(function, ast.Name):
        return names.get(function.id)
    if not isinstance(function, ast.Attribute):
        return None
    owner = _class_of(function.value, names, tree)
    if owner is None:
        return None
    return getattr(owner, function.attr, f"{owner.__name__} has no {function.attr}")


def _class_of(value: ast.expr, names: dict[str, object], tree: ast.Module) -> type | None:
    """The class that an expression is, or is made of: ``Aligner``, ``Aligner(...)``, or a name for one."""
    if isinstance(value, ast.Call):
        value = value.func
    if not isinstance(value, ast.Name):
        return None
    named = names.get(value.id)
    if isinstance(named, type):
        return named
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == value.id for target in node.targets
        ):
            made = node.value
            return _class_of(made, names, tree) if isinstance(made, ast.Call) else None
    return None
