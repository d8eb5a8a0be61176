"""How long a teacher will take over a long vocabulary, reported once its first words are answered."""

from __future__ import annotations

import warnings
from threading import Lock

MANY_WORDS = 250
"""From this many words on, a teacher's time is worth a warning."""
SAMPLE = 64
"""How many words the forecast is made from."""


class Forecast:
    """Warns once how long all photographs will take.

    Args:
        words: how many are asked of a photograph.
        photographs: how many there are.

    Example:
        >>> told = Forecast(5000, 1200).message(sample_seconds=1.6)
        >>> told.partition(". ")[0]
        '5000 words are asked of each of 1200 photographs: about 2 min each and 42 h in all'
    """

    def __init__(self, words: int, photographs: int) -> None:
        self._words, self._photographs = words, photographs
        self._open = words >= MANY_WORDS
        self._lock = Lock()

    def answered(self, count: int, seconds: float) -> None:
        """Note how many words of a photograph were answered, and in how many seconds."""
        if count != SAMPLE or not self._open:
            return
        with self._lock:
            told, self._open = not self._open, False
        if not told:
            warnings.warn(self.message(seconds), stacklevel=2)

    def message(self, sample_seconds: float) -> str:
        """The warning, if the first words took so many seconds."""
        each = sample_seconds * self._words / SAMPLE
        return (
            f"{self._words} words are asked of each of {self._photographs} photographs: about "
            f"{_duration(each)} each and {_duration(each * self._photographs)} in all. Fewer words take "
            "less, and so do image_labels or a prefilter"
        )


def _duration(seconds: float) -> str:
    """In the largest unit of which there are two or more."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
