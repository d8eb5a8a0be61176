"""Stage 1.2: naming masks by the dense features that they cover (:func:`fmbseg.mask_means.mask_means`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.mask_means import mask_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.labeling.classes import Classes
    from fmbseg.masks import MaskSet


class MaskNames(NamedTuple):
    """The class of each of N masks.

    Attributes:
        class_ids: (N,) indices in the vocabulary.
        similarities: (N,) cosine of the mask's mean feature and its class.
        scores: (N,) what the classes competed by: the mean of its cells' similarity less the class's offset.
        features: (N, D) the mask's mean feature, unit vectors.
    """

    class_ids: NDArray[np.int32]
    similarities: NDArray[np.float32]
    scores: NDArray[np.float32]
    features: NDArray[np.float16]

    @classmethod
    def of(cls, means: torch.Tensor, classes: Classes, class_ids: NDArray[np.int32]) -> MaskNames:
        """Names with the similarities of ``means`` (N, D), at unit length, to the classes chosen for them."""
        features = F.normalize(means, dim=1)
        chosen = torch.from_numpy(class_ids).long()
        own, offsets = classes.prototypes[chosen], classes.offsets[chosen]
        return cls(
            class_ids,
            (features * own).sum(dim=1).cpu().numpy().astype(np.float32),
            ((means * own).sum(dim=1) - offsets).cpu().numpy().astype(np.float32),
            features.cpu().numpy().astype(np.float16),
        )

    def joined(self, other: MaskNames) -> MaskNames:
        """These names, then the other's."""
        return MaskNames(
            np.concatenate([self.class_ids, other.class_ids]),
            np.concatenate([self.similarities, other.similarities]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.features, other.features]),
        )

    def select(self, which: NDArray[np.bool_]) -> MaskNames:
        """Some of the names, by ``which`` (N,)."""
        return MaskNames(
            self.class_ids[which], self.similarities[which], self.scores[which], self.features[which]
        )


def name_masks(masks: MaskSet, dense: torch.Tensor, classes: Classes, detected: Sequence[int]) -> MaskNames:
    """Give each mask the one of the *detected* classes that scores highest (paper §3.2).

    Args:
        masks: N masks of the photograph.
        dense: unit vectors of the stitched map, (D, h, w).
        classes: the K classes.
        detected: indices of the classes to choose from, at least one.
    """
    means = mask_means(masks, dense)
    position = classes.of(detected).scores(means).argmax(dim=1)
    chosen = np.asarray(detected, dtype=np.int32)[position.cpu().numpy()]
    return MaskNames.of(means, classes, chosen)


def own_names(
    masks: MaskSet, dense: torch.Tensor, classes: Classes, class_ids: NDArray[np.int32]
) -> MaskNames:
    """Keep the classes that N masks were made for, with their similarities.

    Args:
        masks: N masks of the photograph.
        dense: unit vectors of the stitched map, (D, h, w).
        classes: the K classes.
        class_ids: (N,) of the masks.
    """
    return MaskNames.of(mask_means(masks, dense), classes, class_ids)
