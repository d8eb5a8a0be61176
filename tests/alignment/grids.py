"""Grids of made-up features whose classes a head can learn in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.training_example import TrainingExample

PROTOTYPES = torch.eye(8)[:3]


def make_examples(count: int) -> list[TrainingExample]:
    """Grids of differing sizes whose classes are blocks of columns; the top row has no label."""
    examples = []
    for index in range(count):
        labels = np.tile(np.arange(3, dtype=np.int16).repeat(2), (3 + index % 2, 1))
        labels[0] = -1
        examples.append(TrainingExample(Path(f"{index}.jpg"), str(index), (8, 8), labels))
    return examples


def features_of(example: TrainingExample) -> torch.Tensor:
    """A direction for each class, and noise of the photograph's own."""
    noise = torch.randn(
        12, *example.labels.shape, generator=torch.Generator().manual_seed(int(example.sha256))
    )
    classes = torch.from_numpy(example.labels).long()
    signal = functional.one_hot(classes.clamp(min=0), 12).permute(2, 0, 1) * 3.0
    return (signal + noise)[None]


def make_head() -> AlignmentHead:
    torch.manual_seed(0)
    return AlignmentHead(12, 8, heads=2)


def dense_of(example: TrainingExample) -> torch.Tensor:
    """What an image-text model might see: unit vectors of the photograph's own."""
    seed = torch.Generator().manual_seed(1000 + int(example.sha256))
    return functional.normalize(torch.randn(1, 8, *example.labels.shape, generator=seed), dim=1)
