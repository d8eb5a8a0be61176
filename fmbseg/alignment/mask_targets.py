"""What a photograph's masks say of each patch, as vectors of the text space: soft labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from fmbseg.alignment.sending import sent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet

_LEAST_AREA = 0.02
_FULL = 255


@dataclass(frozen=True, eq=False)
class MaskFeatures:
    """A photograph's masks on its grid, with the mean dense feature under each; some tens of kilobytes.

    A class is a hard choice among words, and among a thousand words often the wrong one; the feature behind
    the choice also says what is near. And it is smooth where the dense map is ragged: the mask model has
    found what belongs together.

    Attributes:
        shares: part of each cell that each of N masks covers, in 1/255, uint8 (N, h, w).
        areas: part of the photograph that each mask covers, float32 (N,).
        features: unit vectors, float16 (N, D).
    """

    shares: NDArray[np.uint8]
    areas: NDArray[np.float32]
    features: NDArray[np.float16]

    @classmethod
    def of(cls, masks: MaskSet, features: NDArray[np.float16], grid: tuple[int, int]) -> MaskFeatures:
        """Lay N masks, of which there may be none, over a grid.

        Args:
            masks: of the photograph.
            features: unit vectors, (N, D).
            grid: height and width in cells.
        """
        shares = np.zeros((len(masks), *grid), np.uint8)
        areas = np.zeros(len(masks), np.float32)
        for index in range(len(masks)):  # one at a time: all of them at full size may not fit in memory
            mask = torch.from_numpy(masks.decode(index)).float()
            covered = functional.adaptive_avg_pool2d(mask[None, None], grid)[0, 0]
            shares[index] = (covered * _FULL).round().to(torch.uint8).numpy()
            areas[index] = float(mask.mean())
        return cls(shares, areas, features)

    def targets(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """The mean feature of the masks that each cell lies in, (1, D, h, w).

        A mask counts by the part of the cell that it covers, over its area (plus 2 % of the photograph): the
        smaller of two nested masks says more about what is there.

        Args:
            device: where to compute.

        Returns:
            Unit vectors; zero where there is no mask.

        Example:
            Two masks, of the left half and of everything, whose features are the axes:

            >>> import numpy as np
            >>> from fmbseg.masks import MaskSet
            >>> left, whole = np.zeros((2, 2, 4), bool)
            >>> left[:, :2], whole[:] = True, True
            >>> masks = MaskSet.from_masks(np.stack([left, whole]))
            >>> cells = MaskFeatures.of(masks, np.eye(2, dtype=np.float16), (1, 2)).targets()[0, :, 0]
            >>> cells[:, 1]
            tensor([0., 1.])
            >>> round(float(cells[0, 0] / cells[1, 0]), 4) == round(1.02 / 0.52, 4)
            True
        """
        features, shares = (sent(each, torch.device(device)) for each in (self.features, self.shares))
        weights = 1 / (sent(self.areas, features.device) + _LEAST_AREA)
        total = torch.einsum("nd,nhw->dhw", features.float() * weights[:, None], shares / _FULL)
        return functional.normalize(total, dim=0)[None]
