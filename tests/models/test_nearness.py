"""Words that mean nearly the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from fmbseg.models.familiarity import nearness, noun_of


def test_nearness_is_the_cosine_of_what_sets_texts_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    apart = torch.randn(50, 8, generator=generator)
    apart -= apart.mean(dim=0)
    # What all texts share is along a ninth axis, and large.
    texts = torch.cat([apart, torch.full((50, 1), 100.0)], dim=1)
    expected = F.normalize(apart[:3], dim=1) @ F.normalize(apart[3:7], dim=1).T
    torch.testing.assert_close(nearness(texts[:3], texts[3:7], texts), expected, atol=1e-4, rtol=0)
    assert (F.normalize(texts, dim=1)[0] @ F.normalize(texts, dim=1)[1]) > 0.99


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("bushes", "bush"),
        ("glasses", "glass"),
        ("boxes", "box"),
        ("iris", "iris"),
        ("cactus", "cactus"),
        ("houses", "house"),
        ("wall-brick", "brick"),
        ("!", "!"),
    ],
)
def test_the_noun_of_a_name(name: str, noun: str) -> None:
    assert noun_of(name) == noun
