from collections.abc import Iterator, Sequence

import numpy as np
import torch

from fmbseg import MaskSet
from fmbseg.models.contracts import Concept


class Primaries:
    """Finds the words red, green and blue by their colour: a concept model without weights."""

    license = "CC0-1.0"

    def __init__(self, lead: str = "60") -> None:
        self.spec = f"primaries:{lead}"
        self._lead = int(lead)

    def to(self, device: torch.device | str) -> "Primaries":
        return self

    def begin(self, image: np.ndarray) -> "PrimariesPrompter":  # once a photograph: the slow part goes here
        others = [np.delete(image, channel, axis=2).max(axis=2) for channel in range(3)]
        return PrimariesPrompter(image.astype(int) - np.stack(others, axis=2), self._lead)


class PrimariesPrompter:
    def __init__(self, leads: np.ndarray, lead: int) -> None:
        self._leads, self._lead = leads, lead

    def find(self, words: Sequence[str]) -> Iterator[Concept]:  # lazily: 5,000 words fit in memory as well
        for word in words:
            if not word.strip():
                raise ValueError(f"{word!r} is no text")
            yield self._concept(word.strip().lower())

    def _concept(self, word: str) -> Concept:
        if word not in ("red", "green", "blue"):
            return Concept(0.0, MaskSet.empty(self._leads.shape[:2]), None)
        lead = self._leads[..., ("red", "green", "blue").index(word)]
        mask = lead >= self._lead
        if not mask.any():
            return Concept(0.0, MaskSet.empty(lead.shape), None)
        score = float(lead[mask].mean()) / 255
        return Concept(1.0, MaskSet.from_masks(mask[None], [score]), None)  # no semantic map
