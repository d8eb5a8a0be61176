"""The lean encoder against ``segment_anything``'s own, with equal random weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT

from fmbseg.models.mask_generators import lean_encoder
from fmbseg.models.mask_generators.lean_encoder import LeanEncoder


@pytest.fixture(scope="module")
def encoder() -> Any:
    """A block that sees all 6 x 6 places and one whose windows of 4 x 4 reach beyond them."""
    torch.manual_seed(0)
    module = ImageEncoderViT(
        img_size=96,
        embed_dim=16,
        depth=2,
        num_heads=2,
        out_chans=8,
        use_rel_pos=True,
        window_size=4,
        global_attn_indexes=(0,),
    )
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)  # relative positions start as zeros
    return module.eval().double()


@pytest.mark.parametrize(("pairs", "kernel"), [(10**6, "cpu"), (36 * 5, "cpu"), (1, "cpu"), (1, "other")])
def test_features_are_those_of_the_module(
    encoder: Any, pairs: int, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All heads at once, five rows of one head at once, one row at once; and the accelerators' kernel."""
    monkeypatch.setattr(lean_encoder, "_PAIRS_AT_ONCE_ON_CPU", pairs)
    if kernel == "other":
        monkeypatch.setattr(lean_encoder, "_in_cache", lean_encoder._fused)
    pixels = torch.randn(2, 3, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = encoder(pixels)
        assert expected.std() > 0.1
        torch.testing.assert_close(LeanEncoder(encoder)(pixels), expected, rtol=1e-9, atol=1e-9)


def test_relative_positions_and_empty_places_count(encoder: Any) -> None:
    """So that the test above would notice if they were left out."""
    pixels = torch.randn(1, 3, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = encoder(pixels)
        for name in ("rel_pos_h", "rel_pos_w", "qkv.bias"):
            other = copy.deepcopy(encoder)
            for block in other.blocks:
                block.attn.get_parameter(name).zero_()
            assert (other(pixels) - expected).abs().max() > 0.01


def test_another_class_of_encoder_encodes_by_itself(encoder: Any) -> None:
    class Another(ImageEncoderViT):  # type: ignore[misc]
        pass

    assert LeanEncoder.knows(encoder)
    other = copy.copy(encoder)
    other.__class__ = Another
    assert not LeanEncoder.knows(other)
    assert not LeanEncoder.knows(ImageEncoderViT(img_size=32, embed_dim=8, depth=1, num_heads=1))
