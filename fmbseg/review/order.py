"""Which photographs a person should look at first: those that the models are least sure of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fmbseg.labels.record import LabeledImage


def sureness(image: LabeledImage) -> float:
    """How sure the models are of a photograph: the mean over its pixels of how sure they are of each.

    A pixel is as sure as the mask that lies on it on top: by its certainty, how likely its name is right, or
    by its similarity where the models do not tell. A pixel without a label counts as 0: what is there is not
    known, and a person can say.

    Args:
        image: one photograph's labels.

    Returns:
        0 to 1; below 0 only where similarities are.
    """
    if not len(image.masks):
        return 0.0
    told = image.certainties
    sure = np.where(np.isnan(told), image.similarities, told).astype(np.float64)
    return float(np.append(sure, 0.0)[image.top_masks(kept_only=False)].mean())
