"""The mask generators of refinements, each made once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fmbseg.models.contracts import Movable
from fmbseg.models.registries import MASK_GENERATORS
from fmbseg.segment_settings import MaskNaming, Pamr, RegionNaming

if TYPE_CHECKING:
    import torch

    from fmbseg.models.contracts import MaskGenerator
    from fmbseg.segment_settings import MaskSnap


class Generators:
    """Mask generators by their spec and options.

    Args:
        device: to put those on that can be moved.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._made: dict[str, MaskGenerator] = {}

    def of(self, refine: Pamr | MaskSnap | MaskNaming | None) -> MaskGenerator | None:
        """The mask generator that a refinement takes; None if it takes none.

        Raises:
            ValueError: it cannot be asked for the masks of regions.
        """
        if refine is None or isinstance(refine, Pamr):
            return None
        generator = refine.generator
        if isinstance(generator, str):
            options = refine.options if isinstance(refine, MaskNaming) else {}
            key = json.dumps([generator, dict(options)], sort_keys=True, default=str)
            if key not in self._made:
                made = self._made[key] = MASK_GENERATORS.create(generator, **options)
                if isinstance(made, Movable):
                    made.to(self._device)
            generator = self._made[key]
        if isinstance(refine, RegionNaming) and not generator.promptable:
            raise ValueError(
                f"{generator.spec!r} takes no prompts, so it cannot be asked for the masks of regions: take "
                f"another mask generator, or name all of its masks (MaskNaming; --refine masks:GENERATOR)"
            )
        return generator
