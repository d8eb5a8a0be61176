"""A part of a piece of work that several processes or machines share, as in ``--part 3/40``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")


@dataclass(frozen=True)
class Part:
    """Every ``count``-th item, starting with the ``index``-th.

    Args:
        index: from 1.
        count: number of parts.

    Raises:
        ValueError: ``index`` is not one of the parts.

    Example:
        >>> Part.of("2/3").take(["a", "b", "c", "d", "e"])
        ['b', 'e']
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"part {self}: the first number is from 1 to the second")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def of(cls, text: str) -> Part:
        """Read ``1/2``."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise ValueError(f"a part is written as 1/2, the first of two; got {text!r}")
        return cls(int(index), int(count))

    def take(self, items: Sequence[_T]) -> Sequence[_T]:
        """The items of this part; of a range, a range."""
        return items[self.index - 1 :: self.count]
