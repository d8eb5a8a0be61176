"""PAMR against the paper's steps written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch

from fmbseg.segment_settings import Pamr
from fmbseg.segmentation.pamr import affinities, refine


def written_out(scores: np.ndarray, image: np.ndarray, dilations: tuple[int, ...]) -> np.ndarray:
    """One iteration, from the definitions: softmax over -|x - n| / (0.1 std), averaged over channels."""
    height, width = image.shape[1:]
    directions = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    result = np.zeros_like(scores)
    for row in range(height):
        for column in range(width):
            places = [
                (min(max(row + y * d, 0), height - 1), min(max(column + x * d, 0), width - 1))
                for d in dilations
                for y, x in directions
            ]
            here = image[:, row, column]
            near = np.stack([image[:, y, x] for y, x in places])
            spread = np.concatenate([near, np.repeat(here[None], len(dilations), axis=0)]).std(axis=0, ddof=1)
            logits = -(np.abs(near - here) / (1e-8 + 0.1 * spread)).mean(axis=1)
            weights = np.exp(logits - logits.max())
            weights /= weights.sum()
            result[:, row, column] = sum(
                weight * scores[:, y, x] for weight, (y, x) in zip(weights, places, strict=True)
            )
    return result


def test_one_iteration_and_several() -> None:
    random = np.random.default_rng(0)
    image, scores = random.normal(size=(3, 7, 9)), random.normal(size=(2, 7, 9))
    dilations = (1, 3)
    expected = written_out(scores, image, dilations)
    found = refine(torch.from_numpy(scores), torch.from_numpy(image), Pamr(1, dilations))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)
    again = written_out(expected, image, dilations)
    found = refine(torch.from_numpy(scores), torch.from_numpy(image), Pamr(2, dilations))
    np.testing.assert_allclose(found.numpy(), again, atol=1e-10)


def test_weights_add_up_and_do_not_depend_on_the_scale_of_colours() -> None:
    image = torch.rand(3, 8, 6, dtype=torch.float64)
    weights = affinities(image, (1, 2))
    assert weights.shape == (16, 8, 6)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(8, 6, dtype=torch.float64))
    torch.testing.assert_close(affinities(image * 50 - 7, (1, 2)), weights, rtol=1e-5, atol=1e-6)


def test_scores_come_to_follow_the_image() -> None:
    image = torch.zeros(3, 8, 8)
    image[:, :, 4:] = 1  # two halves
    scores = torch.zeros(1, 8, 8)
    scores[:, :, :3] = 1  # an outline that is a pixel off
    refined = refine(scores, image, Pamr(10, (1, 2)))[0]
    assert (refined[:, :4] > 0.5).all()
    assert (refined[:, 4:] < 0.01).all()


def test_an_image_of_one_colour_and_one_pixel() -> None:
    one = refine(torch.ones(1, 1, 1), torch.zeros(3, 1, 1), Pamr())
    torch.testing.assert_close(one, torch.ones(1, 1, 1), rtol=1e-5, atol=1e-5)
    assert refine(torch.rand(1, 3, 3), torch.zeros(3, 3, 3), Pamr()).isfinite().all()
