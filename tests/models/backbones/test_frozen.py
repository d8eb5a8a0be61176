"""Efficiency options, and layouts that must not change what is computed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from fmbseg.models.backbones.from_torch import module_backbone
from fmbseg.models.backbones.frozen import FrozenBackbone
from fmbseg.models.registries import BACKBONES
from tests.models.backbones.tiny_models import Patches

if TYPE_CHECKING:
    import pytest


HALF = (0.5, 0.5, 0.5)


def made(spec: str, **options: object) -> FrozenBackbone:
    backbone = BACKBONES.create(spec, **options)
    assert isinstance(backbone, FrozenBackbone)
    return backbone


def test_convolutions_are_laid_out_channels_last_and_transformers_are_not() -> None:
    weight = next(p for p in made("timm:test_resnet?weights=random").network.parameters() if p.shape[-1] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    backbone = made("timm:test_vit?weights=random")
    assert all(parameter.is_contiguous() for parameter in backbone.network.parameters())
    assert backbone.encode(torch.rand(1, 3, 32, 48)).is_contiguous()


def test_it_computes_under_inference_mode() -> None:
    backbone = made("timm:test_vit?weights=random")
    seen = []
    backbone.network.register_forward_hook(lambda *_: seen.append(torch.is_inference_mode_enabled()))
    features = backbone.encode(torch.rand(1, 3, 32, 32))
    assert seen == [True]
    assert not features.is_inference()


def test_a_compiled_network_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # The graph is captured as it would be; to make machine code of it takes a compiler and half a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    compiled = made("timm:test_vit?weights=random", compiled=True)
    plain = made("timm:test_vit?weights=random")
    assert compiled.spec == plain.spec  # of one machine, not of the model
    for size in ((32, 48), (64, 32)):
        pixels = torch.rand(2, 3, *size)
        torch.testing.assert_close(compiled.encode(pixels), plain.encode(pixels), rtol=1e-4, atol=1e-4)


def test_a_module_of_ones_own_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    plain, compiled = (
        module_backbone(Patches(), "patches", size=64, mean=HALF, std=HALF, compiled=each)
        for each in (False, True)
    )
    pixels = torch.rand(2, 3, 32, 48)
    torch.testing.assert_close(compiled.encode(pixels), plain.encode(pixels))
    assert len(graphs) == 1


def test_random_weights_are_the_same_each_time_and_disturb_nobody() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = made("timm:test_vit?weights=random")
    assert torch.equal(torch.rand(3), expected)
    pixels = torch.rand(1, 3, 32, 32)
    assert torch.equal(first.encode(pixels), made("timm:test_vit?weights=random").encode(pixels))


def test_unread_blocks_are_cut_off() -> None:
    whole, half = (made(f"timm:test_vit?weights=random&layers={layer}") for layer in (5, 2))
    assert half.facts.parameters < 0.6 * whole.facts.parameters
