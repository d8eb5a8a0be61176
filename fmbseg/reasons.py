"""Failures counted by their reason, for a line that is read while the work goes on."""

from __future__ import annotations

import re
from collections import Counter

_SHOWN = 3
_END = re.compile(r"[;:(]")


class Reasons(Counter[str]):
    """How often each reason was met; they add up as counters do.

    Example:
        >>> reasons = Reasons()
        >>> reasons.note("a.jpg", "a.jpg is damaged and cannot be decoded (OSError: ...); leave it out")
        >>> reasons.note("b.jpg", "b.jpg is damaged and cannot be decoded (SyntaxError: ...); leave it out")
        >>> str(reasons)
        '2 failed: is damaged and cannot be decoded (2)'
    """

    def note(self, path: str, error: str) -> None:
        """Count an error of a photograph, by the words that its message has in common with others."""
        said = error.replace(path, "").strip()
        self[_END.split(said, maxsplit=1)[0].strip()[:60] or said[:60]] += 1

    def __str__(self) -> str:
        if not self:
            return ""
        shown = [f"{reason} ({count})" for reason, count in self.most_common(_SHOWN)]
        more = ["..."] if len(self) > _SHOWN else []
        return f"{sum(self.values())} failed: {', '.join([*shown, *more])}"
