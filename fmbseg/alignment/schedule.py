"""The optimiser and its learning rate: up in the warm-up, then down along a cosine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmbseg.alignment.settings import TrainingSettings


def make_optimizer(
    weights: Iterable[torch.nn.Parameter], settings: TrainingSettings
) -> torch.optim.Optimizer:
    """The optimiser that the settings name: SGD with momentum (paper section 4.1) or AdamW."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay)


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate over ``steps`` steps, by :func:`rate_factor`."""
    rising = math.ceil(settings.warmup * steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, steps, rising))


def rate_factor(step: int, steps: int, rising: int = 0) -> float:
    """Share of the full learning rate at a step, from 0 to ``steps`` - 1.

    It rises evenly over the first ``rising`` steps, none of which is 0, and is full at the step after them.
    There a cosine begins, which reaches 0 after the last step.

    Args:
        step: from 0.
        steps: how many in all.
        rising: how many belong to the warm-up.

    Example:
        >>> [round(rate_factor(step, 6, rising=2), 3) for step in range(7)]
        [0.333, 0.667, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))) / 2
