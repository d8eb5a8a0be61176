"""What the masks of a photograph say each patch is, as vectors of the text space: soft labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet

_LEAST_AREA = 0.02


@dataclass(frozen=True, eq=False)
class MaskFeatures:
    """The masks of a photograph with the mean dense feature under each, some tens of kilobytes.

    A class is a hard choice among words, and of a thousand words often the wrong one; the feature that the
    choice was made from also says what is near. And it is smooth where the dense map is ragged: the mask
    model has found what belongs together.

    Args:
        masks: N masks.
        features: unit vectors, (N, D).
    """

    masks: MaskSet
    features: NDArray[np.float16]

    def targets(self, grid: tuple[int, int]) -> torch.Tensor:
        """The mean feature of the masks that each cell lies in, (D, h, w).

        A mask counts by the part of the cell that it covers, over its area (plus 2 % of the photograph): of
        nested masks the smaller says more of what is there.

        Args:
            grid: height and width in cells.

        Returns:
            Unit vectors; zero where there is no mask.

        Example:
            Two masks, of the left half and of everything, whose features are the axes:

            >>> import numpy as np
            >>> from fmbseg.masks import MaskSet
            >>> left, whole = np.zeros((2, 2, 4), bool)
            >>> left[:, :2], whole[:] = True, True
            >>> both = MaskFeatures(MaskSet.from_masks(np.stack([left, whole])), np.eye(2, dtype=np.float16))
            >>> both.targets((1, 2))[:, 0, 1]
            tensor([0., 1.])
            >>> left_cell = both.targets((1, 2))[:, 0, 0]
            >>> round(float(left_cell[0] / left_cell[1]), 4) == round(1.02 / 0.52, 4)
            True
        """
        features = torch.from_numpy(self.features).float()
        total = features.new_zeros(features.shape[1], *grid)
        for index, feature in enumerate(features):  # one at a time: N masks at full size may not fit
            mask = torch.from_numpy(self.masks.decode(index)).float()
            share = functional.adaptive_avg_pool2d(mask[None, None], grid)[0, 0]
            total += feature[:, None, None] * (share / (mask.mean() + _LEAST_AREA))
        return functional.normalize(total, dim=0)
