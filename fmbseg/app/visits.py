"""What a visitor of the Segment tab has before them, and brought."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.app.segmenting import OpenPhotograph, Question
    from fmbseg.results import Segmentation


class Upload(NamedTuple):
    """A photograph that a visitor brought.

    Attributes:
        path: where the server keeps it for the time being.
        thumbnail: RGB, (h, w, 3).
    """

    path: str
    thumbnail: NDArray[np.uint8]


class Visit:
    """What a visitor has before them.

    Attributes:
        photograph: the one chosen.
        path: where it is, as far as snippets can say.
        asked: the last question.
        result: its answer, at the size shown.
        files: folder of the last downloads.
        uploads: photographs that were dropped, pasted or chosen, the last ones first.
    """

    def __init__(self) -> None:
        self.path = ""
        self.photograph: OpenPhotograph | None = None
        self.asked: Question | None = None
        self.result: Segmentation | None = None
        self.files: Path | None = None
        self.uploads: list[Upload] = []

    def turn_to(self, photograph: OpenPhotograph | None, path: str) -> None:
        """Take another photograph, or none; what was known of the last one is forgotten."""
        self.forget_files()
        self.photograph, self.path = photograph, path
        self.asked = self.result = None

    def forget_files(self) -> None:
        """Remove the last downloads."""
        if self.files is not None:
            shutil.rmtree(self.files, ignore_errors=True)
            self.files = None
