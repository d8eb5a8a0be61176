"""Templates that turn a word into sentences, by name."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

SIMPLE = ("a photo of a {}.",)
NAMES = ("simple", "clip80")


def templates_of(source: str | Sequence[str]) -> tuple[str, ...]:
    """Return the templates of a name, or those that are given.

    Args:
        source: ``"simple"`` (one, the paper's), ``"clip80"`` (the 80 that CLIP was evaluated on ImageNet
            with, Radford et al. 2021, arXiv 2103.00020), or sentences with ``{}`` for the word.

    Raises:
        UnknownNameError: there are none of that name.
        ValueError: a sentence stands in the place of a list of them.

    Example:
        >>> templates_of("simple"), len(templates_of("clip80")), templates_of(["the {}"])
        (('a photo of a {}.',), 80, ('the {}',))
    """
    if not isinstance(source, str):
        return tuple(source)
    if source == "simple":
        return SIMPLE
    if source == "clip80":
        text = files("fmbseg.vocabularies").joinpath("clip_templates.txt").read_text("utf-8")
        return tuple(text.splitlines())
    if "{}" in source:
        raise ValueError(f"templates is a list; write [{source!r}]")
    raise UnknownNameError("list of templates", source, NAMES)
