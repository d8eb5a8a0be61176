"""Vectors that the tests of the losses share."""

from importlib import import_module

import torch

# The package has the function of the same name in its module's place.
MODULE = import_module("fmbseg.alignment.losses.tiles")

# Class 3 is absent, class 2 is a singleton, -1 is unlabelled.
LABELS = [0, 1, -1, 0, 2, 1, 1, -1, 0, 4]


def unit(*shape: int, seed: int) -> torch.Tensor:
    """Unit vectors in double precision, the same for one seed."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)
