"""Photographs whose masks a generator begins together, each when its turn comes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fmbseg.models.contracts import BeginsSeveral, MaskGenerator, Prompter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def begun_together(generator: MaskGenerator, images: Sequence[NDArray[np.uint8]]) -> MaskGenerator:
    """A generator that encodes all of some images when it is asked for the first of them.

    Args:
        generator: encodes them; one that takes images singly is returned as it is.
        images: RGB, (H, W, 3) each.
    """
    if isinstance(generator, BeginsSeveral) and len(images) > 1:
        return _Together(generator, images)
    return generator


class _Together:
    def __init__(self, generator: MaskGenerator, images: Sequence[NDArray[np.uint8]]) -> None:
        self.spec, self.promptable, self.license = generator.spec, generator.promptable, generator.license
        self._generator, self._images = generator, images
        self._begun: Sequence[Prompter] | None = None
        self._lock = threading.Lock()

    def begin(self, image: NDArray[np.uint8]) -> Prompter:
        """One of the images, or by itself another."""
        position = next((index for index, one in enumerate(self._images) if one is image), None)
        if position is None:
            return self._generator.begin(image)
        with self._lock:
            if self._begun is None:
                assert isinstance(self._generator, BeginsSeveral)
                self._begun = self._generator.begin_all(self._images)
        return self._begun[position]
