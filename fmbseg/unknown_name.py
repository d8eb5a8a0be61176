"""The error for unknown names: what was asked for, near misses, and what is available."""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LISTED = 40
_NEAR = 3


def near_misses(name: str, available: Iterable[str]) -> list[str]:
    """Names that may have been meant, likeliest first, at most three.

    If some differ only in case, spaces, hyphens, underscores or Unicode form, only those are returned.

    Example:
        >>> near_misses("Hot_Dog", ["dog", "hot dog"]), near_misses("dgo", ["cat", "dog"])
        (['hot dog'], ['dog'])
    """
    names = list(available)
    same = [other for other in names if _folded(other) == _folded(name)]
    return same[:_NEAR] or get_close_matches(name, names, n=_NEAR, cutoff=0.6)


class UnknownNameError(KeyError, ValueError):
    """A name is not among the known ones.

    Args:
        kind: what the name should have named, for example ``"backbone"``.
        name: the name as it was given.
        available: every known name.

    Example:
        >>> print(UnknownNameError("class", "dgo", ["cat", "dog"]))
        there is no class 'dgo'; did you mean 'dog'? Available: cat, dog
        >>> print(UnknownNameError("class", "TV", ["cat", "tv"]))
        there is no class 'TV'; did you mean 'tv'? Available: cat, tv
    """

    def __init__(self, kind: str, name: str, available: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(available))

    def __str__(self) -> str:
        # KeyError would print the repr of its argument, quotes and all.
        kind, name, available = self.args
        near = near_misses(name, available)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
        if any(_composed(other) == _composed(name) for other in near):
            meant += " It looks the same, but its letters have another Unicode form."
        listed = ", ".join(available[:_LISTED]) or "nothing"
        more = f" and {len(available) - _LISTED} more" if len(available) > _LISTED else ""
        return f"there is no {kind} {name!r}{meant} Available: {listed}{more}"


def check_names(kind: str, names: Iterable[str], available: Iterable[str]) -> None:
    """Refuse the first of some names that is not among the known ones.

    Args:
        kind: what the names should name.
        names: as they were given.
        available: every known name.

    Raises:
        UnknownNameError: names it, and what there is.
    """
    known = list(available)
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


def _folded(name: str) -> str:
    """Equal for names that :func:`near_misses` takes for the same."""
    return re.sub(r"[\s_-]+", "", _composed(name).casefold())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
