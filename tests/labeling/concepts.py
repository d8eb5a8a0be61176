"""A concept model whose concepts are colours, so that labels can be worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import label as components

from fmbseg.masks import MaskSet
from fmbseg.models.contracts import Concept
from fmbseg.models.registries import CONCEPTS
from tests.labeling.colours import RGB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray


class ColourConcepts:
    """A word that is a colour is present where the photograph has it; each connected area is an instance.

    ``crimson`` is another word for red, ``thing`` is everything that is not white. Other words are absent. Of
    each word the model says 0.9, of ``thing`` 0.6.

    Args:
        semantic: whether it also gives a semantic map: 0.5 where the colour is.
    """

    license = "Colour Licence 1.0"

    def __init__(self, *, semantic: bool = False, spec: str = "colour-concepts") -> None:
        self.spec = spec
        self._semantic = semantic
        self.begun = 0
        self.asked: list[tuple[str, ...]] = []

    def to(self, device: torch.device | str) -> ColourConcepts:
        return self

    def begin(self, image: NDArray[np.uint8]) -> ColourPrompter:
        self.begun += 1
        return ColourPrompter(self, image, semantic=self._semantic)


class ColourPrompter:
    """One image of :class:`ColourConcepts`."""

    def __init__(self, model: ColourConcepts, image: NDArray[np.uint8], *, semantic: bool) -> None:
        self._model, self._image, self._semantic = model, image, semantic

    def find(self, words: Sequence[str]) -> Iterator[Concept]:
        self._model.asked.append(tuple(words))
        return (self._concept(word) for word in words)

    def _concept(self, word: str) -> Concept:
        area = self._area(word)
        pieces = components(area)  # type: ignore[no-untyped-call]
        masks = np.array([pieces == index for index in range(1, pieces.max() + 1)], np.bool_)
        masks = masks.reshape(-1, *area.shape)
        score = 0.6 if word == "thing" else 0.9
        return Concept(
            presence=score if area.any() else 0.0,
            masks=MaskSet.from_masks(masks, np.full(len(masks), score)),
            semantic=np.where(area, np.float32(0.5), np.float32(0)) if self._semantic else None,
        )

    def _area(self, word: str) -> NDArray[np.bool_]:
        if word == "thing":
            return np.asarray((self._image != RGB["white"]).any(axis=-1))
        colour = RGB.get("red" if word == "crimson" else word)
        if colour is None:
            return np.zeros(self._image.shape[:2], np.bool_)
        return np.asarray((self._image == colour).all(axis=-1))


@CONCEPTS.register("colour-concepts")
def colour_concepts(rest: str | None = None, *, semantic: bool = False) -> ColourConcepts:
    """A model of the registry, whose spec keeps what follows the colon."""
    return ColourConcepts(semantic=semantic, spec="colour-concepts" + (f":{rest}" if rest else ""))
