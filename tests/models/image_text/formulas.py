"""CLIP's image tower and its dense variants written out from their formulas, on bare tensors in float64.

Apart from the code under test and from the libraries: no module of theirs runs here.
"""

import math
from collections.abc import Mapping

import torch

Weights = Mapping[str, torch.Tensor]


def layer_norm(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def activation(x: torch.Tensor, quick: bool) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x) if quick else 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


class ClipTower:
    """One image at a time through a CLIP ViT.

    Args:
        weights: open_clip's, those of ``visual`` only.
        heads: attention heads.
        quick: QuickGELU in the place of GELU.
    """

    def __init__(self, weights: Weights, heads: int, *, quick: bool = False) -> None:
        self.weights = {name: tensor.double() for name, tensor in weights.items()}
        self.heads, self.quick = heads, quick
        names = {name.split(".")[2] for name in weights if name.startswith("transformer.resblocks.")}
        self.layers = len(names)

    def embed(self, image: torch.Tensor) -> torch.Tensor:
        """Pixels (3, H, W) to the first block's tokens (1 + cells, C), class token first."""
        kernel = self.weights["conv1.weight"]
        side = kernel.shape[-1]
        rows, columns = image.shape[1] // side, image.shape[2] // side
        cells = [
            (kernel * image[:, r * side : (r + 1) * side, c * side : (c + 1) * side].double()).sum((1, 2, 3))
            for r in range(rows)
            for c in range(columns)
        ]
        tokens = torch.stack([self.weights["class_embedding"], *cells])
        return layer_norm(tokens + self.weights["positional_embedding"], self.weights, "ln_pre")

    def qkv(self, x: torch.Tensor, layer: int) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values of a block, each (heads, tokens, dim a head)."""
        name = f"transformer.resblocks.{layer}"
        y = layer_norm(x, self.weights, f"{name}.ln_1")
        joined = y @ self.weights[f"{name}.attn.in_proj_weight"].T + self.weights[f"{name}.attn.in_proj_bias"]
        return tuple(
            torch.stack(one.tensor_split(self.heads, dim=1)) for one in joined.tensor_split(3, dim=1)
        )

    def out(self, values: torch.Tensor, layer: int) -> torch.Tensor:
        joined = torch.cat(list(values), dim=1)
        return linear(joined, self.weights, f"transformer.resblocks.{layer}.attn.out_proj")

    def mlp(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        name = f"transformer.resblocks.{layer}"
        inner = linear(layer_norm(x, self.weights, f"{name}.ln_2"), self.weights, f"{name}.mlp.c_fc")
        return linear(activation(inner, self.quick), self.weights, f"{name}.mlp.c_proj")

    def block(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        queries, keys, values = self.qkv(x, layer)
        x = x + self.out(self.attend(queries, keys) @ values, layer)
        return x + self.mlp(x, layer)

    @staticmethod
    def attend(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | float = 0.0) -> torch.Tensor:
        logits: torch.Tensor = a @ b.transpose(1, 2) / math.sqrt(a.shape[-1]) + bias
        return logits.softmax(-1)

    def project(self, x: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = layer_norm(x, self.weights, "ln_post") @ self.weights["proj"]
        unit: torch.Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
        return unit

    def before_last(self, image: torch.Tensor) -> torch.Tensor:
        x = self.embed(image)
        for layer in range(self.layers - 1):
            x = self.block(x, layer)
        return x

    def pooled(self, image: torch.Tensor) -> torch.Tensor:
        return self.project(self.block(self.before_last(image), self.layers - 1)[0])

    def dense(self, image: torch.Tensor, variant: str) -> torch.Tensor:
        """Unit vectors of the cells, (cells, D)."""
        x, last = self.before_last(image), self.layers - 1
        queries, keys, values = self.qkv(x, last)
        if variant in ("maskclip", "value"):
            update = self.out(values, last)
        elif variant == "sclip":
            update = self.out((self.attend(queries, queries) + self.attend(keys, keys)) @ values, last)
        elif variant == "clearclip":
            update = self.out(self.attend(queries, queries) @ values, last)
        else:
            update = self.out(self.attend(keys, keys, neighbours(len(x))) @ values, last)
        if variant in ("maskclip", "sclip"):
            update = x + update
            update = update + self.mlp(update, last)
        return self.project(update)[1:]


def neighbours(tokens: int) -> torch.Tensor:
    """NACLIP's Gaussian of 5 cells on a square grid, with a class token that has none, entry by entry."""
    side = math.isqrt(tokens - 1)
    bias = torch.zeros(tokens, tokens, dtype=torch.float64)
    for one in range(tokens - 1):
        for two in range(tokens - 1):
            squared = (one // side - two // side) ** 2 + (one % side - two % side) ** 2
            bias[one + 1, two + 1] = math.exp(-squared / (2 * 5**2))
    return bias
