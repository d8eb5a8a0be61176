"""One decision of a person about one mask or photograph, as a line of a journal."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from fmbseg.files import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

Does = Literal["accept", "reject", "rename", "delete", "draw", "done", "undo"]
How = Literal["points", "box", "brush", "mask"]
_NAME = re.compile(r"[^\W_][\w .@-]{0,63}")
_MASK = re.compile(r"m[0-9]+|[^\n]+:[0-9]+")


@dataclass(frozen=True)
class Decision:
    """What a person decided.

    Args:
        id: ``reviewer:number``, counted from 1 in each reviewer's journal.
        time: seconds since 1970; those of one reviewer ascend.
        photograph: its path in the label set.
        content: hash of the photograph's labels as the models made them, which the decision is about.
        does: ``accept``: the mask and its name are right. ``reject``: the mask is wrong, and goes.
            ``rename``: it is right, but of another class. ``delete``: it goes, without a word on whether it
            is right (one of two that are the same, or a mask that a person drew). ``draw``: a new mask.
            ``done``: the photograph is finished. ``undo``: another decision never was.
        mask: ``m`` and the position of a mask of the models, or the id of the decision that drew it.
        name: of the class that it has from then on (``accept``, ``rename``, ``draw``).
        was: of the class that the models gave it; for agreement without reading masks.
        counts: COCO's compressed run lengths of a mask that was drawn.
        how: it was drawn.
        undoes: id of the decision that never was.
    """

    id: str
    time: float
    photograph: str
    content: str
    does: Does
    mask: str | None = None
    name: str | None = None
    was: str | None = None
    counts: str | None = None
    how: How | None = None
    undoes: str | None = None

    @property
    def reviewer(self) -> str:
        """Who decided."""
        return self.id.rpartition(":")[0]

    @property
    def number(self) -> int:
        """Its place in the reviewer's journal, from 1."""
        return int(self.id.rpartition(":")[2])

    @property
    def about_models_mask(self) -> bool:
        """Whether it judges a mask that the models made, rather than one that a person drew."""
        return self.mask is not None and ":" not in self.mask

    def to_row(self) -> dict[str, Any]:
        """As plain values, without what does not apply."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Decision:
        """Check a journal's line.

        Raises:
            DamagedFileError: it lacks something, or holds what is none.
        """
        try:
            decision = cls(**row)
        except TypeError as error:
            raise DamagedFileError(f"is not a decision: {error}") from error
        for problem in _problems(decision):
            raise DamagedFileError(f"is not a decision: {problem}")
        return decision


_NEEDS: dict[str, tuple[str, ...]] = {
    "accept": ("mask", "name"),
    "reject": ("mask",),
    "rename": ("mask", "name"),
    "delete": ("mask",),
    "draw": ("name", "counts", "how"),
    "done": (),
    "undo": ("undoes",),
}


def _problems(one: Decision) -> list[str]:
    texts = {key: value for key, value in asdict(one).items() if key != "time" and value is not None}
    wrong = [key for key, value in texts.items() if not isinstance(value, str) or not value]
    if wrong or not isinstance(one.time, int | float) or isinstance(one.time, bool):
        return [f"{', '.join(wrong) or 'time'} is no text, or no number"]
    found = []
    if one.does not in get_args(Does):
        return [f"{one.does!r} is none of {', '.join(get_args(Does))}"]
    if not one.reviewer or not one.id.rpartition(":")[2].isdecimal():
        found.append(f"its id is {one.id!r}")
    missing = [name for name in _NEEDS[one.does] if name not in texts]
    if missing:
        found.append(f"{one.does} needs {', '.join(missing)}")
    if one.mask is not None and not _MASK.fullmatch(one.mask):
        found.append(f"its mask is {one.mask!r}")
    if one.how is not None and one.how not in get_args(How):
        found.append(f"it was drawn by {one.how!r}")
    return found


def check_reviewer(name: str) -> str:
    """Check a reviewer's name, which also names a file.

    Raises:
        ValueError: it has other characters than letters, digits, spaces and ``. @ - _``, or is too long.

    Example:
        >>> check_reviewer(" Anna B. ")
        'Anna B.'
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} cannot be a reviewer's name: take up to 64 letters, digits, spaces, . @ - or _, "
            "beginning with a letter or digit"
        )
    return name
