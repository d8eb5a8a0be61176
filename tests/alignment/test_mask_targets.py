"""Soft labels from masks, by hand and against a plain loop over pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional

from fmbseg.alignment.examples import training_data
from fmbseg.alignment.mask_targets import MaskFeatures
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.labels.record import LabeledImage
from fmbseg.masks import MaskSet
from tests.alignment.grids import PROTOTYPES, features_of, make_examples, make_head
from tests.alignment.photographs import labelled

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.alignment.training_example import TrainingExample


def two_masks(grid: tuple[int, int]) -> MaskFeatures:
    """Of 8 x 8 pixels: a quarter, a column in it, and nothing at the right."""
    masks = np.zeros((2, 8, 8), np.bool_)
    masks[0, :4, :4] = True
    masks[1, :4, 1] = True
    generator = torch.Generator().manual_seed(0)
    vectors = functional.normalize(torch.randn(2, 8, generator=generator), dim=1)
    return MaskFeatures.of(MaskSet.from_masks(masks), vectors.numpy().astype(np.float16), grid)


def test_targets_are_means_of_features_by_cover_over_area() -> None:
    found = two_masks((4, 4)).targets()[0]
    first, second = torch.from_numpy(two_masks((4, 4)).features).float()
    # Areas are 16 / 64 and 4 / 64; the cell at the left has half of its pixels in the second mask, the next
    # none, and those at the right are in no mask.
    expected = functional.normalize(first / (0.25 + 0.02) + second * 0.5 / (0.0625 + 0.02), dim=0)
    torch.testing.assert_close(found[:, 0, 0], expected, rtol=0, atol=1e-2)  # parts are in 1/255
    torch.testing.assert_close(found[:, 1, 1], functional.normalize(first, dim=0))
    assert not found[:, :, 2:].any()
    assert not found[:, 2:].any()


def test_the_term_is_one_minus_the_cosine_over_all_patches() -> None:
    (example,) = make_examples(1)
    example = replace(example, masks=two_masks(example.labels.shape))
    plain, drawn = (TrainingSettings(mask_weight=weight) for weight in (0.0, 3.0))
    losses = [
        float(Objective(features_of, PROTOTYPES, settings).batch(make_head(), [example], 1).reported)
        for settings in (plain, drawn)
    ]
    with torch.no_grad():
        vectors = make_head()(features_of(example))[0]
    target = two_masks(example.labels.shape).targets()[0]
    distances = [
        float(1 - vectors[:, row, column] @ target[:, row, column])
        for row in range(vectors.shape[1])
        for column in range(vectors.shape[2])
        if target[:, row, column].any()
    ]
    assert 0 < len(distances) < vectors[0].numel()
    assert losses[1] - losses[0] == pytest.approx(3.0 * sum(distances) / vectors[0].numel(), rel=1e-4)


def test_the_other_term_is_the_divergence_of_the_softmax_over_classes() -> None:
    (example,) = make_examples(1)
    example = replace(example, masks=two_masks(example.labels.shape))
    losses = [
        float(
            Objective(features_of, PROTOTYPES, TrainingSettings(mask_class_weight=weight))
            .batch(make_head(), [example], 1)
            .reported
        )
        for weight in (0.0, 2.0)
    ]
    with torch.no_grad():
        vectors = make_head()(features_of(example))[0]
    target = two_masks(example.labels.shape).targets()[0]
    total = 0.0
    for row in range(vectors.shape[1]):
        for column in range(vectors.shape[2]):
            if target[:, row, column].any():
                wanted, found = (
                    [math.exp(float(each[:, row, column] @ text) / 0.07) for text in PROTOTYPES]
                    for each in (target, vectors)
                )
                shares = [(a / sum(wanted), b / sum(found)) for a, b in zip(wanted, found, strict=True)]
                total += sum(a * math.log(a / b) for a, b in shares)
    assert losses[1] - losses[0] == pytest.approx(2.0 * total / vectors[0].numel(), rel=1e-3)


def test_training_with_it_turns_patches_to_their_masks() -> None:
    (example,) = make_examples(1)
    example = replace(example, masks=two_masks(example.labels.shape), labels=np.full_like(example.labels, -1))
    objective = Objective(features_of, PROTOTYPES, TrainingSettings(mask_weight=1.0))
    head = make_head()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = objective.batch(head, [example], 1)
        torch.autograd.backward(loss.value)
        optimizer.step()
        losses.append(float(loss.reported))
    assert losses[-1] < losses[0] / 4


def test_only_masks_that_were_drawn_are_learned_from(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    shapes = [record.label_map().shape for record in labels]
    records = []
    for record, shape in zip(labels, shapes, strict=True):
        masks = np.zeros((2, *shape), np.bool_)
        masks[0, :8], masks[1, 8:] = True, True
        records.append(
            LabeledImage(
                path=record.path,
                sha256=record.sha256,
                detected=record.detected,
                masks=MaskSet.from_masks(masks),
                class_ids=np.array(record.detected[:1] * 2, np.int32),
                stages=np.array([12, 12], np.int8),
                similarities=np.zeros(2, np.float32),
                kept=np.array([False, True]),
                points=(np.zeros((0, 2), np.float32),) * 2,
                features=np.eye(2, 8, dtype=np.float16),
            )
        )
    found = examples_of(replace(labels, records=tuple(records)))
    assert all(each.masks is not None and len(each.masks.shares) == 1 for each in found)
    first = found[0].masks
    assert first is not None
    assert first.features.tolist() == np.eye(2, 8)[1:].tolist()


def test_photographs_without_features_are_told_and_learned_from_by_their_classes(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"of 3 of 3 photographs, \w+\.png first, have no features"
    ) as caught:
        found = examples_of(labelled(tmp_path, side=96))
    assert len(caught) == 1
    assert [example.masks for example in found] == [None] * 3
    (example,) = make_examples(1)
    losses = [
        float(
            Objective(features_of, PROTOTYPES, TrainingSettings(mask_weight=weight))
            .batch(make_head(), [example], 1)
            .reported
        )
        for weight in (0.0, 5.0)
    ]
    assert losses[0] == losses[1]


def examples_of(labels: object) -> tuple[TrainingExample, ...]:
    settings = TrainingSettings(image_size=64, mask_weight=1.0)
    return training_data(labels, settings, 8, lambda items, *_: items).examples  # type: ignore[arg-type]
