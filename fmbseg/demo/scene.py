"""Everything that the demo knows about one photograph, from its pixels to its segmentation with new words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from fmbseg.labeling.description import describe
from fmbseg.labels.record import UNLABELLED
from fmbseg.models.text import embed_vocabulary
from fmbseg.segmentation.decoding import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.labeling.labeler import PseudoLabeler
    from fmbseg.labels.record import LabeledImage
    from fmbseg.results import Segmentation
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Scene:
    """One photograph on its way through the stages.

    Attributes:
        image: RGB, (H, W, 3).
        labels: of Stage 1.
        shown_class: index of the class whose similarity is shown: the one most similar to any crop, among
            those detected if there are any.
        similarity: similarity of the image-text model's dense map to that class, (h, w).
        before: most similar class of each pixel in that dense map, (H, W), with all words as candidates.
        after: the segmenter's result with the words of the labels.
        new: the result with words that were not trained on these photographs.
    """

    image: NDArray[np.uint8]
    labels: LabeledImage
    shown_class: int
    similarity: NDArray[np.float32]
    before: NDArray[np.int32]
    after: Segmentation
    new: Segmentation

    @property
    def agreement(self) -> Agreement:
        """How far the head reproduces the labels that it was trained on."""
        target = self.labels.label_map()
        labelled = target != UNLABELLED
        return Agreement(int((self.after.labels == target)[labelled].sum()), int(labelled.sum()))


class Agreement(NamedTuple):
    """The number of labelled pixels, and of those to which the head gives the label's class."""

    agreeing: int
    labelled: int


class Observer:
    """Segments photographs with the image-text model alone and with the trained segmenter.

    Args:
        labeler: the one that made the labels.
        segmenter: with the head that was trained on them.
        trained: the words of the labels.
        new: other words.
        wide: a segmenter for these, with a head trained on more photographs; ``segmenter`` if not given.
    """

    def __init__(
        self,
        labeler: PseudoLabeler,
        segmenter: OpenVocabSegmenter,
        trained: Vocabulary,
        new: Vocabulary,
        *,
        wide: OpenVocabSegmenter | None = None,
    ) -> None:
        self._labeler = labeler
        self._segmenter = segmenter
        self._wide = wide or segmenter
        self._trained = trained
        self._new = new
        with torch.inference_mode():
            self._prototypes = embed_vocabulary(labeler.encoder, trained)

    @torch.inference_mode()
    def look(self, image: NDArray[np.uint8], labels: LabeledImage) -> Scene:
        """Segment a photograph before and after alignment."""
        description = describe(image, self._labeler.encoder, self._labeler.two_models.settings)
        surest = (description.pooled @ self._prototypes.T).amax(dim=0).tolist()
        shown = max(labels.detected or range(len(surest)), key=lambda index: float(surest[index]))
        similarity = torch.einsum("d,dhw->hw", self._prototypes[shown], description.dense)
        return Scene(
            image=image,
            labels=labels,
            shown_class=shown,
            similarity=similarity.cpu().numpy(),
            before=decode_classes(description.dense, self._prototypes, labels.size),
            after=self._segmenter.segment(image, self._trained),
            new=self._wide.segment(image, self._new),
        )


def decode_classes(dense: torch.Tensor, prototypes: torch.Tensor, size: tuple[int, int]) -> NDArray[np.int32]:
    """The most similar class of each pixel of a dense map (D, h, w), as (H, W)."""
    labels: NDArray[np.int32] = decode(dense, prototypes, size).labels.to(torch.int32).cpu().numpy()
    return labels
