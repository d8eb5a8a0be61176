"""The mask decoder of ``segment_anything`` with the same result for a third of the time.

A prompt has a handful of tokens, the image 4,096 places, and SAM's two-way attention projects all the places
anew for each prompt. But ``(X W_k^T) q = X (W_k^T q)``: the few tokens can be projected instead, in both
directions, and what the softmax leaves is applied to the places themselves. A term that is the same for all
places drops out of a softmax over them. The up-scaling, two transposed convolutions of stride 2, is a matrix
product for each place, so its four, then sixteen, pixels can stay beside each other until the masks are made.

Numbers differ from the module's by rounding only. Prompts go through a few at a time on a CPU, where the
places of a few fit in the cache and those of 64 do not.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange

from fmbseg.models.mask_generators.candidates import Decoded

_PROMPTS_AT_ONCE_ON_CPU = 4


class LeanDecoder:
    """Decodes point prompts with the weights of a ``segment_anything`` module.

    Args:
        sam: the module; its prompt encoder and mask decoder are used as they are when it decodes.
    """

    def __init__(self, sam: Any) -> None:
        self._prompts = sam.prompt_encoder
        self._decoder = sam.mask_decoder

    @staticmethod
    def knows(sam: Any) -> bool:
        """Whether a module decodes as ``segment_anything`` does: a class derived of its own may not."""
        from segment_anything.modeling import MaskDecoder, TwoWayTransformer

        decoder = sam.mask_decoder
        return type(decoder) is MaskDecoder and type(decoder.transformer) is TwoWayTransformer

    def decode(self, embedding: torch.Tensor, points: torch.Tensor) -> Decoded:
        """Decode N prompts to SAM's three masks each.

        Args:
            embedding: of the image, (1, C, h, w).
            points: foreground points (N, P, 2), (x, y) in pixels of the frame.
        """
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
        sparse, _ = self._prompts(points=(points, labels), boxes=None, masks=None)
        no_mask = self._prompts.no_mask_embed.weight[:, :, None, None]
        places = rearrange(embedding + no_mask, "b c h w -> b (h w) c")
        positions = rearrange(self._prompts.get_dense_pe(), "b c h w -> b (h w) c")
        own = torch.cat([self._decoder.iou_token.weight, self._decoder.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        size = _PROMPTS_AT_ONCE_ON_CPU if points.device.type == "cpu" else len(tokens)
        parts = [
            self._masks(*_two_way(self._decoder.transformer, places, positions, part), embedding.shape[3])
            for part in tokens.split(size)  # type: ignore[no-untyped-call]
        ]
        return Decoded(
            torch.cat([part.logits for part in parts]), torch.cat([part.predicted_iou for part in parts])
        )

    def _masks(self, tokens: torch.Tensor, places: torch.Tensor, width: int) -> Decoded:
        """Make the masks of N prompts from their tokens (N, T, C) and places (N, h w, C)."""
        decoder = self._decoder
        first, norm, activation, second, last_activation = decoder.output_upscaling
        pixels = activation(_norm(norm, _upscale(first, places)))
        pixels = last_activation(_upscale(second, pixels))  # (N, h w, 4 of the first, 4 of the second, C / 8)
        count = decoder.num_mask_tokens
        weights = torch.stack(
            [decoder.output_hypernetworks_mlps[index](tokens[:, 1 + index]) for index in range(1, count)],
            dim=1,
        )
        logits = rearrange(
            pixels.flatten(1, 3) @ weights.transpose(1, 2),
            "n (h w y1 x1 y2 x2) m -> n m (h y1 y2) (w x1 x2)",
            w=width, y1=2, x1=2, y2=2, x2=2,
        )  # fmt: skip
        return Decoded(logits, decoder.iou_prediction_head(tokens[:, 0])[:, 1:])


def _two_way(
    transformer: Any, places: torch.Tensor, positions: torch.Tensor, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two-way transformer: tokens (N, T, C) and places (1, h w, C), which come to be N as well."""
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(queries, queries, queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(placed, placed, queries)
        queries = layer.norm1(queries)
        known = places + positions
        asked = _ask_places(layer.cross_attn_token_to_image, queries + tokens, known, places)
        queries = layer.norm2(queries + asked)
        queries = layer.norm3(queries + layer.mlp(queries))
        told = _tell_places(layer.cross_attn_image_to_token, places, known, queries + tokens, queries)
        places = layer.norm4(told)
    asked = _ask_places(transformer.final_attn_token_to_image, queries + tokens, places + positions, places)
    return transformer.norm_final_attn(queries + asked), places


def _ask_places(
    attention: Any, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Attention of tokens (N, T, C) to places: keys and values (N or 1, h w, C), not projected yet."""
    heads, count = attention.num_heads, queries.shape[1]
    query = _heads(attention.q_proj(queries), heads)
    width = query.shape[-1]
    key_weight = rearrange(attention.k_proj.weight, "(h d) c -> h d c", h=heads)
    # The keys' bias adds the same to all places of a token: the softmax does not see it.
    folded = rearrange((query / math.sqrt(width)) @ key_weight, "n h t c -> n (h t) c")
    attended = (folded @ keys.transpose(1, 2)).softmax(dim=-1) @ values
    attended = rearrange(attended, "n (h t) c -> n h t c", t=count)
    # What a token attends to sums to 1, so the values' bias passes through.
    value_weight = rearrange(attention.v_proj.weight, "(h d) c -> h c d", h=heads)
    value_bias = rearrange(attention.v_proj.bias, "(h d) -> h 1 d", h=heads)
    found = attended @ value_weight + value_bias
    projected: torch.Tensor = attention.out_proj(rearrange(found, "n h t d -> n t (h d)"))
    return projected


def _tell_places(
    attention: Any, places: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Add to the places (N or 1, h w, C) what they attend to among the tokens (N, T, C)."""
    heads, count = attention.num_heads, keys.shape[1]
    key, value = _heads(attention.k_proj(keys), heads), _heads(attention.v_proj(values), heads)
    key = key / math.sqrt(key.shape[-1])
    query_weight = rearrange(attention.q_proj.weight, "(h d) c -> h d c", h=heads)
    query_bias = rearrange(attention.q_proj.bias, "(h d) -> h d 1", h=heads)
    folded = rearrange(key @ query_weight, "n h t c -> n (h t) c")
    same = rearrange(key @ query_bias, "n h t 1 -> n (h t) 1")
    # Places come last: a softmax over a handful of numbers that lie together is slow.
    scores = folded @ queries.transpose(1, 2) + same
    weights = scores.unflatten(1, (heads, count)).softmax(dim=2).flatten(1, 2).transpose(1, 2)
    out_weight = rearrange(attention.out_proj.weight, "c (h d) -> h d c", h=heads)
    answers = rearrange(value @ out_weight, "n h t c -> n (h t) c")
    base = (places + attention.out_proj.bias).expand(len(keys), -1, -1)
    return torch.baddbmm(base.to(weights.dtype), weights, answers.to(weights.dtype))


def _heads(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    return rearrange(tokens, "n t (h d) -> n h t d", h=heads)


def _upscale(convolution: Any, places: torch.Tensor) -> torch.Tensor:
    """A transposed convolution of size and stride 2 for places (..., C): four pixels each, (..., 4, D)."""
    weight = rearrange(convolution.weight, "c out y x -> (y x out) c")
    bias = convolution.bias.repeat(4)
    return rearrange(F.linear(places, weight, bias), "... (four out) -> ... four out", four=4)


def _norm(norm: Any, pixels: torch.Tensor) -> torch.Tensor:
    """SAM's LayerNorm2d for channels that come last."""
    return F.layer_norm(pixels, pixels.shape[-1:], norm.weight, norm.bias, norm.eps)
