"""Which words mean nearly the same: by how they are written, and by how a text encoder places them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812 - the name everybody uses

if TYPE_CHECKING:
    import torch

NEAR = 0.4
"""Nearness from which on words share pixels: "tree" and "forest", "road" and "pavement"; chosen by eye among
the nearest words of everyday ones, and of no effect between 0.3 and 0.4 on what one word alone finds."""


def nearness(texts: torch.Tensor, others: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """How near texts lie to one another, next to how near any two texts do.

    Some text spaces hold all texts in a narrow cone (CLIP's), others do not. So what the reference texts have
    in common is taken off before the cosine.

    Args:
        texts: unit vectors, (K, D).
        others: unit vectors, (M, D).
        reference: unit vectors of many common words, (R, D).

    Returns:
        (K, M), -1 to 1.

    Example:
        >>> import torch
        >>> cone = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1]]), dim=1)
        >>> nearness(cone, cone, cone).round().tolist()  # their cosines are all above 0.98
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    middle = reference.mean(dim=0)
    return F.normalize(texts - middle, dim=1) @ F.normalize(others - middle, dim=1).T


def noun_of(name: str) -> str:
    """The noun that a name ends in, in the singular: names that share it are of one kind.

    Example:
        >>> noun_of("trees"), noun_of("Brick wall"), noun_of("water bottle"), noun_of("grass")
        ('tree', 'wall', 'bottle', 'grass')
    """
    last: str = (re.findall(r"\w+", name.casefold()) or [name])[-1]
    if last.endswith(("shes", "ches", "sses", "xes")):
        return last[:-2]
    return last[:-1] if last.endswith("s") and not last.endswith(("ss", "us", "is")) else last
