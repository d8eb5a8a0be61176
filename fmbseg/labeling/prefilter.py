"""Which words of a long vocabulary a teacher is asked for: those that an image-text model finds likeliest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fmbseg.labeling.classes import Classes
from fmbseg.labeling.description import cut_crops, describe_all
from fmbseg.labeling.settings import LabelingSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.labeling.description import Crops, Description
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.vocabulary import Vocabulary

_CUT = LabelingSettings()


class Prefilter:
    """Keeps, of each photograph, the classes that look likeliest in any of its crops.

    Args:
        encoder: compares crops with classes.
        keep: how many classes are kept, 1 or more.

    Raises:
        ValueError: ``keep`` is below 1.
    """

    def __init__(self, encoder: ImageTextEncoder, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"the prefilter keeps {keep} classes: it must be 1 or more")
        self.encoder, self.keep = encoder, keep
        self._embedded: tuple[Vocabulary, Classes] | None = None

    @property
    def origin(self) -> dict[str, Any]:
        """What it is, for the manifest."""
        return {"image_text": self.encoder.spec, "keep": self.keep}

    def classes(self, vocabulary: Vocabulary) -> Classes:
        """The vocabulary's text vectors; those of the last one are kept."""
        if self._embedded is None or self._embedded[0] != vocabulary:
            with torch.inference_mode():
                self._embedded = (vocabulary, Classes.embed(self.encoder, vocabulary))
        return self._embedded[1]

    def cut(self, image: NDArray[np.uint8]) -> Crops:
        """Cut the crops of an image (H, W, 3)."""
        return cut_crops(image, self.encoder, _CUT)

    def describe(self, crops: Iterable[Crops | None]) -> Iterator[Description | None]:
        """Encode the crops of photographs, those of several in a batch."""
        return describe_all(crops, self.encoder, _CUT.batch_size)

    def likeliest(self, description: Description, classes: Classes) -> tuple[int, ...]:
        """Indices of the classes to ask for, ascending; of equal ones the first."""
        best = classes.scores(description.pooled).max(dim=0).values
        order = torch.argsort(best, descending=True, stable=True)
        return tuple(sorted(order[: self.keep].tolist()))
