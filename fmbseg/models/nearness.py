"""Which words mean nearly the same, judged by their spelling and by where a text encoder places them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812 - the name everybody uses

if TYPE_CHECKING:
    import torch

NEAR = 0.4
"""Words at least this near share pixels: "tree" and "forest", "road" and "pavement"; chosen by eye among
the neighbours of everyday words; between 0.3 and 0.4 it has no effect on what one word alone finds."""


def nearness(texts: torch.Tensor, others: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """How near texts lie to one another, relative to how near any two texts lie.

    Some text spaces (CLIP's) hold all texts in a narrow cone, others do not. So what the reference texts have
    in common is subtracted before the cosine.

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
