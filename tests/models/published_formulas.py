"""TIPSv2, C-RADIO and AIMv2 written out from their papers and published code, on bare tensors in float64.

Their weights go by the names that their authors gave them, as in the files of the Hub; those of AIMv2 by
transformers' names. No module of any library runs here, and tables are resized by Pillow.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

Weights = Mapping[str, torch.Tensor]


def layer_norm(x: torch.Tensor, weights: Weights, name: str, eps: float) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def rms_norm(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weights[f"{name}.weight"]


def linear(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    product = x @ weights[f"{name}.weight"].T
    return product + weights[f"{name}.bias"] if f"{name}.bias" in weights else product


def gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def cells_of(image: torch.Tensor, side: int) -> torch.Tensor:
    """Pixels (3, H, W) to flattened patches (cells, 3 * side * side), row by row."""
    rows, columns = image.shape[1] // side, image.shape[2] // side
    cut = [
        image[:, r * side : (r + 1) * side, c * side : (c + 1) * side].reshape(-1)
        for r in range(rows)
        for c in range(columns)
    ]
    return torch.stack(cut).double()


def attend(joined: torch.Tensor, heads: int, *, causal: bool = False) -> torch.Tensor:
    """Attention of tokens (L, 3 C), queries, keys and values side by side; causal: none to later ones."""
    q, k, v = (torch.stack(one.tensor_split(heads, dim=1)) for one in joined.tensor_split(3, dim=1))
    logits = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if causal:
        logits = logits + torch.full(logits.shape[1:], -math.inf, dtype=torch.float64).triu(1)
    mixed = logits.softmax(-1) @ v
    return torch.cat(list(mixed), dim=1)


def resized(table: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """A square table (n * n, C) on another grid, bilinear with antialiasing, as Pillow does it."""
    side = math.isqrt(len(table))
    planes = table.reshape(side, side, -1).float().numpy()
    images = [Image.fromarray(np.ascontiguousarray(planes[..., i])) for i in range(planes.shape[2])]
    made = [np.asarray(one.resize((columns, rows), Image.Resampling.BILINEAR)) for one in images]
    return torch.from_numpy(np.stack(made, axis=-1)).reshape(rows * columns, -1).double()


def unit(x: torch.Tensor) -> torch.Tensor:
    normed: torch.Tensor = x / x.norm(dim=-1, keepdim=True)
    return normed


class VisionBlocks:
    """DINOv2's pre-norm blocks, which TIPSv2 and C-RADIO share: ``blocks.N.attn.qkv`` and so on."""

    def __init__(self, weights: Weights, heads: int) -> None:
        self.weights = {name: tensor.double() for name, tensor in weights.items()}
        self.heads = heads
        self.depth = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})

    def scaled(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x * self.weights[f"{name}.gamma"] if f"{name}.gamma" in self.weights else x

    def block(self, x: torch.Tensor, number: int, *, values_alone: bool = False) -> torch.Tensor:
        w, name = self.weights, f"blocks.{number}"
        joined = linear(layer_norm(x, w, f"{name}.norm1", 1e-6), w, f"{name}.attn.qkv")
        mixed = joined.tensor_split(3, dim=1)[2] if values_alone else attend(joined, self.heads)
        x = x + self.scaled(linear(mixed, w, f"{name}.attn.proj"), f"{name}.ls1")
        inner = gelu(linear(layer_norm(x, w, f"{name}.norm2", 1e-6), w, f"{name}.mlp.fc1"))
        return x + self.scaled(linear(inner, w, f"{name}.mlp.fc2"), f"{name}.ls2")


class Tipsv2Vision(VisionBlocks):
    """TIPSv2's vision encoder, arXiv 2604.12012, and the dense map of its authors' notebook."""

    def before_last(self, image: torch.Tensor) -> torch.Tensor:
        """Class token, registers, cells."""
        w = self.weights
        kernel = w["patch_embed.proj.weight"]
        side = kernel.shape[-1]
        cells = cells_of(image, side) @ kernel.flatten(1).T + w["patch_embed.proj.bias"]
        table = w["pos_embed"][0]
        cells = cells + resized(table[1:], image.shape[1] // side, image.shape[2] // side)
        x = torch.cat([w["cls_token"][0] + table[:1], w["register_tokens"][0], cells])
        for number in range(self.depth - 1):
            x = self.block(x, number)
        return x

    def pooled(self, image: torch.Tensor) -> torch.Tensor:
        last = self.block(self.before_last(image), self.depth - 1)
        return unit(layer_norm(last, self.weights, "norm", 1e-6)[0])

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """Of the cells, after the final norm, (cells, C)."""
        last = self.block(self.before_last(image), self.depth - 1)
        return layer_norm(last, self.weights, "norm", 1e-6)[1 + self.weights["register_tokens"].shape[1] :]

    def dense(self, image: torch.Tensor) -> torch.Tensor:
        """The value path with residual and MLP, at unit length, (cells, C)."""
        last = self.block(self.before_last(image), self.depth - 1, values_alone=True)
        normed = layer_norm(last, self.weights, "norm", 1e-6)
        return unit(normed[1 + self.weights["register_tokens"].shape[1] :])


def tipsv2_text(weights: Weights, heads: int, ids: list[int]) -> torch.Tensor:
    """TIPSv2's text encoder on tokens without padding: sinusoids, attention both ways, ReLU, mean."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    x = w["token_embedding.weight"][ids]
    width = x.shape[1]
    x = x * math.sqrt(width)
    for place in range(len(ids)):
        for i in range(width // 2):
            angle = place / 10_000 ** (i / (width // 2 - 1))
            x[place, i] += math.sin(angle)
            x[place, width // 2 + i] += math.cos(angle)
    for number in range(len({name.split(".")[2] for name in w if name.startswith("transformer.")})):
        name = f"transformer.resblocks.{number}"
        y = layer_norm(x, w, f"{name}.ln_1", 1e-5)
        joined = y @ w[f"{name}.attn.in_proj_weight"].T + w[f"{name}.attn.in_proj_bias"]
        x = x + linear(attend(joined, heads), w, f"{name}.attn.out_proj")
        inner = linear(layer_norm(x, w, f"{name}.ln_2", 1e-5), w, f"{name}.mlp.c_fc").clamp(min=0)
        x = x + linear(inner, w, f"{name}.mlp.c_proj")
    return unit(layer_norm(x, w, "ln_final", 1e-5).mean(0))


class RadioVision(VisionBlocks):
    """C-RADIO, arXiv 2412.07679: cropped position embeddings, no final norm, pixels from 0 to 1."""

    def __init__(self, weights: Weights, heads: int, side: int) -> None:
        prefix = "radio_model.model."
        named = {}
        for name, tensor in weights.items():  # LayerScale, where a model has it, is by transformers' name
            short = name.removeprefix(prefix).replace("layer_scale", "ls").replace("lambda1", "gamma")
            named[short] = tensor
        super().__init__(named, heads)
        self.side = side

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """Of the cells, (cells, C)."""
        w, rows, columns = self.weights, image.shape[1] // self.side, image.shape[2] // self.side
        mean, deviation = (w[f"radio_model.input_conditioner.norm_{one}"] for one in ("mean", "std"))
        cells = cells_of((image.double() - mean) / deviation, self.side)
        largest = max(rows, columns)
        square = half_pixel(w["patch_generator.pos_embed"][0], largest)
        table = square.reshape(largest, largest, -1)[:rows, :columns].reshape(rows * columns, -1)
        tokens = w["patch_generator.cls_token.token"]
        x = torch.cat([tokens, cells @ w["patch_generator.embedder.weight"].T + table])
        for number in range(self.depth):
            x = self.block(x, number)
        return x[len(tokens) :]


def half_pixel(table: torch.Tensor, wanted: int) -> torch.Tensor:
    """A square table (n * n, C) on ``wanted`` x ``wanted`` cells: bilinear between its four neighbours."""
    side = math.isqrt(len(table))
    grid = table.reshape(side, side, -1)
    made = torch.empty(wanted, wanted, grid.shape[2], dtype=torch.float64)
    places = [min(max((i + 0.5) * side / wanted - 0.5, 0), side - 1) for i in range(wanted)]
    for row, y in enumerate(places):
        for column, x in enumerate(places):
            top, left = int(y), int(x)
            below, right = min(top + 1, side - 1), min(left + 1, side - 1)
            upper = grid[top, left] * (1 - (x - left)) + grid[top, right] * (x - left)
            lower = grid[below, left] * (1 - (x - left)) + grid[below, right] * (x - left)
            made[row, column] = upper * (1 - (y - top)) + lower * (y - top)
    return made.reshape(wanted * wanted, -1)


class Aimv2:
    """AIMv2 with the attention that pools and its text tower, arXiv 2411.14402; transformers' names."""

    def __init__(self, weights: Weights, heads: int) -> None:
        self.weights = {name: tensor.double() for name, tensor in weights.items()}
        self.heads = heads

    def vectors(self, image: torch.Tensor, *, dense: bool) -> torch.Tensor:
        """The image's vector (D), or with ``dense`` its cells' (cells, D) by MaskCLIP's value path."""
        w, tower = self.weights, "vision_model"
        kernel = w[f"{tower}.embeddings.patch_embed.weight"]
        cells = cells_of(image, kernel.shape[-1]) @ kernel.flatten(1).T
        cells = cells + w[f"{tower}.embeddings.patch_embed.bias"]
        x = rms_norm(cells, w, f"{tower}.embeddings.rms_norm")
        x = x + w[f"{tower}.embeddings.position_embedding.weight"]
        names = {name.split(".")[3] for name in w if name.startswith(f"{tower}.encoder.layers.")}
        for number in range(len(names)):
            alone = dense and number == len(names) - 1
            x = self._block(x, f"{tower}.encoder.layers.{number}", values_alone=alone)
        x = rms_norm(x, w, f"{tower}.rms_norm")
        return unit(torch.stack([self._pool(one[None]) for one in x]) if dense else self._pool(x))

    def text(self, ids: list[int]) -> torch.Tensor:
        """A text's vector (D), of its last token: causal, as the authors' code is."""
        w, tower = self.weights, "text_model"
        x = w[f"{tower}.embeddings.token_embedding.weight"][ids]
        x = x + w[f"{tower}.embeddings.position_embedding.weight"][: len(ids)]
        names = {name.split(".")[3] for name in w if name.startswith(f"{tower}.encoder.layers.")}
        for number in range(len(names)):
            x = self._block(x, f"{tower}.encoder.layers.{number}", causal=True)
        return unit(linear(rms_norm(x, w, f"{tower}.rms_norm")[-1], w, "text_projection"))

    def _block(
        self, x: torch.Tensor, name: str, *, values_alone: bool = False, causal: bool = False
    ) -> torch.Tensor:
        w = self.weights
        y = rms_norm(x, w, f"{name}.rms_norm1")
        joined = torch.cat([linear(y, w, f"{name}.attention.{one}_proj") for one in "qkv"], dim=1)
        values = joined.tensor_split(3, dim=1)[2]
        mixed = values if values_alone else attend(joined, self.heads, causal=causal)
        x = x + linear(mixed, w, f"{name}.attention.out_proj")
        y = rms_norm(x, w, f"{name}.rms_norm2")
        gate = linear(y, w, f"{name}.ffn.gate_proj")
        inner = gate * torch.sigmoid(gate) * linear(y, w, f"{name}.ffn.up_proj")
        return x + linear(inner, w, f"{name}.ffn.down_proj")

    def _pool(self, tokens: torch.Tensor) -> torch.Tensor:
        w, head = self.weights, "vision_model.head"
        keys, values = (linear(tokens, w, f"{head}.{one}_proj") for one in "kv")
        query = w[f"{head}.cls_token"][0, 0]
        mixed = []
        for q, k, v in zip(
            *(one.tensor_split(self.heads, dim=-1) for one in (query, keys, values)), strict=True
        ):
            mixed.append((k @ q / math.sqrt(len(q))).softmax(0) @ v)
        return linear(linear(torch.cat(mixed), w, f"{head}.output_proj"), w, "visual_projection")
