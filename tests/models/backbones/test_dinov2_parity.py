"""DINOv2 through timm, through transformers and as the paper describes it: three ways to one grid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file

from fmbseg.models.registries import BACKBONES
from tests.models.backbones.tiny_models import dinov2_folder

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.models.contracts import Backbone

WIDTH, DEPTH, HEADS, PATCH, SIDE = 48, 2, 3, 14, 5
State = dict[str, torch.Tensor]


def reference(state: State, pixels: torch.Tensor, *, registers: bool) -> torch.Tensor:
    """The encoder of Oquab et al. 2023 (Dosovitskiy et al. 2020 and LayerScale), in float64.

    Position embeddings: bicubic; without registers sampled at scale (side + 0.1) / 5 as the authors do,
    with registers antialiased to the size itself.
    """
    weight = {name: tensor.double() for name, tensor in state.items()}
    height, width = pixels.shape[2] // PATCH, pixels.shape[3] // PATCH
    patches = pixels.double().unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)  # (B, 3, h, w, 14, 14)
    kernel = weight["patch_embed.proj.weight"]
    tokens = torch.einsum("bchwpq,dcpq->bhwd", patches, kernel) + weight["patch_embed.proj.bias"]
    tokens = tokens.reshape(len(pixels), height * width, WIDTH)
    table = weight["pos_embed"]
    first, square = (table[:, :0], table) if registers else (table[:, :1], table[:, 1:])
    tokens = tokens + positions(square, height, width, registers=registers)
    start = weight["cls_token"] + first if not registers else weight["cls_token"]
    leading = [start.expand(len(pixels), -1, -1)]
    if registers:
        leading.append(weight["reg_token"].expand(len(pixels), -1, -1))
    prefix = sum(part.shape[1] for part in leading)
    tokens = torch.cat([*leading, tokens], dim=1)
    for block in range(DEPTH):
        part = {
            name.removeprefix(f"blocks.{block}."): tensor
            for name, tensor in weight.items()
            if name.startswith(f"blocks.{block}.")
        }
        tokens = tokens + part["ls1.gamma"] * attention(norm(tokens, part, "norm1"), part)
        hidden = norm(tokens, part, "norm2") @ part["mlp.fc1.weight"].T + part["mlp.fc1.bias"]
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        tokens = tokens + part["ls2.gamma"] * (hidden @ part["mlp.fc2.weight"].T + part["mlp.fc2.bias"])
    patches = norm(tokens, weight, "norm")[:, prefix:]
    return patches.reshape(len(pixels), height, width, WIDTH).permute(0, 3, 1, 2)


def positions(square: torch.Tensor, height: int, width: int, *, registers: bool) -> torch.Tensor:
    maps = square.reshape(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
    if (height, width) != (SIDE, SIDE):
        if registers:
            maps = F.interpolate(maps, size=(height, width), mode="bicubic", antialias=True)
        else:
            scale = ((height + 0.1) / SIDE, (width + 0.1) / SIDE)
            maps = F.interpolate(maps, scale_factor=scale, mode="bicubic")
    assert maps.shape[2:] == (height, width)
    return maps.permute(0, 2, 3, 1).reshape(1, height * width, WIDTH)


def norm(tokens: torch.Tensor, part: State, name: str) -> torch.Tensor:
    centred = tokens - tokens.mean(dim=-1, keepdim=True)
    scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
    return scaled * part[f"{name}.weight"] + part[f"{name}.bias"]


def attention(tokens: torch.Tensor, part: State) -> torch.Tensor:
    projected = tokens @ part["attn.qkv.weight"].T + part["attn.qkv.bias"]
    query, key, value = torch.split(projected, WIDTH, dim=-1)
    of_head = WIDTH // HEADS
    heads = []
    for head in range(HEADS):
        mine = slice(head * of_head, (head + 1) * of_head)
        similar = query[..., mine] @ key[..., mine].transpose(1, 2) / of_head**0.5
        heads.append(similar.softmax(dim=-1) @ value[..., mine])
    return torch.cat(heads, dim=-1) @ part["attn.proj.weight"].T + part["attn.proj.bias"]


def to_transformers(folder: Path, target: Path, *, registers: bool) -> Path:
    """Convert weights of timm's layout to a folder as transformers writes it."""
    import transformers

    name = "Dinov2WithRegisters" if registers else "Dinov2"
    values = {
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "image_size": SIDE * PATCH,
        "patch_size": PATCH,
    }
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**values))
    model.save_pretrained(target)
    preprocessing = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3}
    (target / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    (target / "model.safetensors").unlink()
    torch.save(
        renamed(load_file(folder / "model.safetensors"), registers=registers), target / "pytorch_model.bin"
    )
    return target


def renamed(state: State, *, registers: bool) -> State:
    """timm's tensors under the names that checkpoints of transformers have on the Hub."""
    table = state["pos_embed"]
    if registers:  # transformers keeps a row of the table for the class token and adds it; timm has none
        table = torch.cat([torch.zeros(1, 1, WIDTH), table], dim=1)
    converted = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.mask_token": torch.zeros(1, WIDTH),
        "embeddings.position_embeddings": table,
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    if registers:
        converted["embeddings.register_tokens"] = state["reg_token"]
    for kind in ("weight", "bias"):
        converted[f"embeddings.patch_embeddings.projection.{kind}"] = state[f"patch_embed.proj.{kind}"]
    for block in range(DEPTH):
        mine, theirs = f"blocks.{block}.", f"encoder.layer.{block}."
        for number in (1, 2):
            converted[f"{theirs}layer_scale{number}.lambda1"] = state[f"{mine}ls{number}.gamma"]
        for kind in ("weight", "bias"):
            for part, tensor in zip(
                ("query", "key", "value"), torch.split(state[f"{mine}attn.qkv.{kind}"], WIDTH), strict=True
            ):
                converted[f"{theirs}attention.attention.{part}.{kind}"] = tensor.clone()
            converted[f"{theirs}attention.output.dense.{kind}"] = state[f"{mine}attn.proj.{kind}"]
            for layer in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                converted[f"{theirs}{layer}.{kind}"] = state[f"{mine}{layer}.{kind}"]
    return converted


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "registers"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, bool]:
    """A folder of timm and one of transformers with the same weights."""
    registers: bool = request.param
    folder = tmp_path_factory.mktemp("dinov2")
    timm = dinov2_folder(folder / "timm", registers=registers)
    return timm, to_transformers(timm, folder / "hf", registers=registers), registers


@pytest.mark.parametrize("size", [(70, 70), (56, 98), (140, 126)])
def test_timm_transformers_and_the_paper_agree(both: tuple[Path, Path, bool], size: tuple[int, int]) -> None:
    timm, hf, registers = both
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    expected = reference(load_file(timm / "model.safetensors"), pixels, registers=registers).float()
    assert expected.std() > 0.1
    for spec in (f"timm:local-dir:{timm}", f"hf:local-dir:{hf}"):
        torch.testing.assert_close(BACKBONES.create(spec).encode(pixels), expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("layers", [(0,), (0, 1)])
def test_single_layers_agree_without_and_with_the_norm(
    both: tuple[Path, Path, bool], layers: tuple[int, ...]
) -> None:
    timm, hf, _ = both
    pixels = torch.randn(1, 3, 56, 70, generator=torch.Generator().manual_seed(3))
    for norm_wanted in (False, True):
        grids = [
            BACKBONES.create(f"local-dir:{folder}", layers=layers, norm=norm_wanted).encode(pixels)
            for folder in (timm, hf)
        ]
        assert grids[0].shape[1] == WIDTH * len(layers)
        torch.testing.assert_close(*grids, rtol=1e-3, atol=2e-4)


def transparent(backbone: Backbone) -> torch.nn.Module:
    """Make every block add nothing, and every token that is not a patch enormous."""
    network: torch.nn.Module = backbone.network  # type: ignore[attr-defined]
    for name, parameter in network.named_parameters():
        if any(part in name for part in ("ls1", "ls2", "layer_scale", "lambda1")):
            parameter.data.zero_()
        if any(part in name for part in ("cls_token", "reg_token", "register_token")):
            parameter.data.fill_(1e4)
    return network


def test_class_and_register_tokens_never_reach_the_grid(both: tuple[Path, Path, bool]) -> None:
    timm, hf, registers = both
    state = load_file(timm / "model.safetensors")
    pixels = torch.randn(1, 3, 70, 70, generator=torch.Generator().manual_seed(3))
    embedded = F.conv2d(
        pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH
    )
    table = state["pos_embed"] if registers else state["pos_embed"][:, 1:]
    expected = embedded + table.reshape(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
    for folder in (timm, hf):
        backbone = BACKBONES.create(f"local-dir:{folder}?norm=false")
        transparent(backbone)
        torch.testing.assert_close(backbone.encode(pixels), expected, rtol=1e-4, atol=1e-4)
        facts = backbone.facts  # type: ignore[attr-defined]
        assert (facts.class_tokens, facts.register_tokens) == (1, 4 if registers else 0)
        json.dumps(facts.to_dict())
