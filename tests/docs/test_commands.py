"""Every command of every page is one that fmbseg takes: its name, its options, the words it wants."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from fmbseg.cli.main import app
from tests.docs.test_pages import PAGES, ROOT, _name

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = re.compile(r"^(?P<indent> *)```console\n(?P<lines>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)

_COMMENT = re.compile(r"(^|\s)#.*")  # a "#" inside a word is part of it


def commands_of(page: Path) -> list[list[str]]:
    """The words of each `fmbseg ...` in the page's console blocks."""
    lines = "\n".join(block["lines"] for block in _BLOCK.finditer(page.read_text("utf-8")))
    split = (shlex.split(_COMMENT.sub("", line)) for line in lines.replace("\\\n", " ").splitlines())
    found = [words[words.index("fmbseg") + 1 :] for words in split if "fmbseg" in words]
    # A folder may have that name, too; a shell takes a last "&" for itself.
    return [[word for word in words if word != "&"] for words in found if words and words[0] != "&&"]


def refusal(words: list[str]) -> str | None:
    """What the command line has against a command, which is read and not run."""
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        if words[0] not in command.commands:
            return f"no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    try:
        command.make_context(command.name, list(words))
    except Exception as error:  # noqa: BLE001 - typer's own click is not public
        return str(error) or repr(error)
    return None


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_is_one_that_there_is(page: Path) -> None:
    wrong = {" ".join(words): refusal(words) for words in commands_of(page)}
    assert {command: why for command, why in wrong.items() if why} == {}


def test_commands_are_found_and_slips_are_told() -> None:
    assert sum(len(commands_of(page)) for page in PAGES) > 80
    assert ["segment", "--example", "--classes", "cat", "--out", "results/"] in commands_of(
        ROOT / "README.md"
    )
    assert refusal(["labels", "stats", "labels/"]) is None
    assert "No such option" in str(refusal(["label", "photos/", "--out", "labels/", "--clases", "cat"]))
    assert "Missing parameter: out" in str(refusal(["label", "photos/"]))
    assert refusal(["labell", "photos/"]) == "no command 'labell'"
