"""The mask decoder of ``segment_anything``: the same result for a fraction of the work.

A prompt has a handful of tokens, the image 4,096 places, and SAM's two-way attention projects all the places
anew for each prompt. But a prompt changes little about the places: each gets a mixture of what a few
tokens answer, and is normalised. After any number of layers the places are

    ``scale * (image * gain) + mix^T rows``

with the image's own embedding (the same for all prompts), a number ``scale`` for each place, and a few
``rows``. So projecting the places means projecting the image, once, and the rows; attention goes
through the mixture; and even the mean and variance by which a place is normalised come from products of
the few rows. The places themselves are never formed. The up-scaling, two transposed convolutions of stride 2,
is a matrix product for each place, so its four, then sixteen, pixels stay beside each other until the end.

Numbers differ from the module's only by rounding; everything is float32, even under autocast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange

from fmbseg.models.mask_generators.candidates import Candidates

if TYPE_CHECKING:
    from collections.abc import Callable

# On a CPU, only a few at a time, because what belongs to a few fits in the cache.
_PROMPTS_AT_ONCE_ON_CPU = 4
_PLACES_AT_ONCE_ON_CPU = 1024


class _Projection(NamedTuple):
    """A linear map of the places, for each head.

    Attributes:
        image: that of the image with its gain, (heads, D, places).
        constant: that of positions and bias, (heads, D, places), or of the bias alone, (heads, D, 1).
        weight: the map's matrix, (heads D, C).
    """

    image: torch.Tensor
    constant: torch.Tensor
    weight: torch.Tensor


class _Layer(NamedTuple):
    """What all prompts of an image share in one layer.

    Attributes:
        keys: keys that tokens attend to.
        values: values that they get.
        queries: queries by which the places attend to tokens.
        mean: mean over the channels of the image with its gain, (1, places).
        square: the mean of its squares, (1, places).
        products: its products over the channels with each basis of the rows so far, each (heads, D, places).
    """

    keys: _Projection
    values: _Projection
    queries: _Projection
    mean: torch.Tensor
    square: torch.Tensor
    products: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class EncodedFrame:
    """An image, and what all its prompts share.

    Attributes:
        embedding: the image encoder's output, (1, C, h, w).
        layers: what is shared in each layer of the two-way transformer.
        keys: keys of its last attention.
        values: values of its last attention.
        pixels: what the first up-scaling makes of the image with its gain, (h w, 4 D).
    """

    embedding: torch.Tensor
    layers: tuple[_Layer, ...]
    keys: _Projection
    values: _Projection
    pixels: torch.Tensor


class _Places(NamedTuple):
    """The places of N prompts, ``scale * (image * gain) + mix^T rows``.

    Attributes:
        scale: (N, 1, places).
        mix: (N, R, places).
        rows: (N, R, C).
        factors: what the rows are made of, in order: each (N, heads, T, D), times a basis (heads, D, C).
    """

    scale: torch.Tensor
    mix: torch.Tensor
    rows: torch.Tensor
    factors: tuple[torch.Tensor, ...]


def three_masks(predicted_iou: torch.Tensor) -> torch.Tensor:
    """Choose SAM's three masks for ambiguous prompts among the four with scores (N, 4): (N, 3)."""
    return torch.arange(1, 4, device=predicted_iou.device).expand(len(predicted_iou), -1)


class LeanDecoder:
    """Decodes prompts of points or boxes with the weights of a ``segment_anything`` module.

    Args:
        prompt_encoder: the module's; used as it is at the time of decoding.
        mask_decoder: the module's; used as it is at the time of decoding.
    """

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        self._prompts, self._decoder = prompt_encoder, mask_decoder

    @staticmethod
    def knows(mask_decoder: Any) -> bool:
        """Whether a decoder is ``segment_anything``'s own: a class derived from it may decode differently."""
        from segment_anything.modeling import MaskDecoder, TwoWayTransformer

        return type(mask_decoder) is MaskDecoder and type(mask_decoder.transformer) is TwoWayTransformer

    def begin(self, embedding: torch.Tensor) -> EncodedFrame:
        """Compute what all prompts of an image share.

        Args:
            embedding: the image's embedding, (1, C, h, w).
        """
        transformer, dtype = self._decoder.transformer, self._decoder.iou_token.weight.dtype
        with torch.autocast(embedding.device.type, enabled=False):
            no_mask = self._prompts.no_mask_embed.weight[:, :, None, None]
            image = rearrange(embedding.to(dtype) + no_mask.to(dtype), "1 c h w -> (h w) c")
            positions = rearrange(self._prompts.get_dense_pe(), "1 c h w -> (h w) c").to(dtype)
            layers, bases = [], []
            for layer in transformer.layers:
                ask, tell = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
                bases += [
                    tell.out_proj.bias[None, None],
                    rearrange(tell.out_proj.weight, "c (h d) -> h d c", h=tell.num_heads),
                ]
                layers.append(
                    _Layer(
                        _project(ask.k_proj, ask.num_heads, image, positions),
                        _project(ask.v_proj, ask.num_heads, image),
                        _project(tell.q_proj, tell.num_heads, image, positions),
                        image.mean(dim=1)[None],
                        image.square().mean(dim=1)[None],
                        tuple(basis @ image.T / image.shape[1] for basis in bases),
                    )
                )
                gain, shift = layer.norm4.weight, layer.norm4.bias
                image = image * gain
                bases = [basis * gain for basis in bases] + [gain[None, None], shift[None, None]]
            last = transformer.final_attn_token_to_image
            return EncodedFrame(
                embedding,
                tuple(layers),
                _project(last.k_proj, last.num_heads, image, positions),
                _project(last.v_proj, last.num_heads, image),
                image @ _pixel_weight(self._decoder.output_upscaling[0]),
            )

    def decode(
        self,
        image: EncodedFrame,
        points: torch.Tensor,
        choose: Callable[[torch.Tensor], torch.Tensor] = three_masks,
    ) -> Candidates:
        """Decode N prompts.

        Args:
            image: result of ``begin``.
            points: foreground points (N, P, 2), (x, y) in pixels of the frame.
            choose: from the predicted IoUs (N, 4) of SAM's single mask and its three for an ambiguous prompt,
                selects which of the four to draw, (N, M).
        """
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
        return self._decode_all(image, choose, points=(points, labels), boxes=None)

    def decode_boxes(
        self,
        image: EncodedFrame,
        boxes: torch.Tensor,
        choose: Callable[[torch.Tensor], torch.Tensor] = three_masks,
    ) -> Candidates:
        """Decode N prompts of a box each.

        Args:
            image: result of ``begin``.
            boxes: (N, 4), x0, y0, x1, y1 in pixels of the frame.
            choose: see :meth:`decode`.
        """
        return self._decode_all(image, choose, points=None, boxes=boxes)

    def _decode_all(
        self, image: EncodedFrame, choose: Callable[[torch.Tensor], torch.Tensor], **prompts: Any
    ) -> Candidates:
        device = image.embedding.device.type
        with torch.autocast(device, enabled=False):
            sparse, _ = self._prompts(**prompts, masks=None)
            own = torch.cat([self._decoder.iou_token.weight, self._decoder.mask_tokens.weight])
            tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
            size = _PROMPTS_AT_ONCE_ON_CPU if device == "cpu" else len(tokens)
            parts = [self._decode(image, part, choose) for part in tokens.split(size)]  # type: ignore[no-untyped-call]
        return Candidates(
            torch.cat([part.logits for part in parts]), torch.cat([part.predicted_iou for part in parts])
        )

    def _decode(
        self, image: EncodedFrame, tokens: torch.Tensor, choose: Callable[[torch.Tensor], torch.Tensor]
    ) -> Candidates:
        """Decode the prompts with these tokens, (N, T, C)."""
        decoder = self._decoder
        tokens, places = _two_way(decoder.transformer, image, tokens)
        scores = decoder.iou_prediction_head(tokens[:, 0])
        chosen = choose(scores)
        weights = torch.stack(
            [decoder.output_hypernetworks_mlps[mask](tokens[:, 1 + mask]) for mask in range(scores.shape[1])],
            dim=1,
        )
        weights = weights.take_along_dim(chosen[:, :, None], dim=1)
        answers = places.rows @ _pixel_weight(decoder.output_upscaling[0])
        # The last row is in every place's mixture once.
        answers[:, -1] += decoder.output_upscaling[0].bias.repeat(4)
        size = places.mix.shape[2]
        step = max(1, _PLACES_AT_ONCE_ON_CPU // len(tokens)) if tokens.device.type == "cpu" else size
        logits = torch.cat(
            [
                self._draw(image, places, answers, weights, slice(start, start + step))
                for start in range(0, size, step)
            ],
            dim=1,
        )
        logits = rearrange(
            logits, "n (h w) (y1 x1) (y2 x2) m -> n m (h y1 y2) (w x1 x2)",
            w=image.embedding.shape[3], x1=2, x2=2,
        )  # fmt: skip
        return Candidates(logits, scores.take_along_dim(chosen, dim=1))

    def _draw(
        self,
        image: EncodedFrame,
        places: _Places,
        answers: torch.Tensor,
        weights: torch.Tensor,
        part: slice,
    ) -> torch.Tensor:
        """Up-scale some of the places and draw masks there, (N, places, 4, 4, M)."""
        _, norm, activation, second, last_activation = self._decoder.output_upscaling
        pixels = image.pixels[part] * places.scale[:, :, part].transpose(1, 2)
        pixels.baddbmm_(places.mix[:, :, part].transpose(1, 2), answers)
        pixels = rearrange(pixels, "n p (four d) -> n p four d", four=4)
        pixels = activation(F.layer_norm(pixels, pixels.shape[-1:], norm.weight, norm.bias, norm.eps))
        pixels = rearrange(pixels @ _pixel_weight(second), "n p one (four d) -> n (p one four) d", four=4)
        drawn: torch.Tensor = last_activation(pixels.add_(second.bias)) @ weights.transpose(1, 2)
        return rearrange(drawn, "n (p one four) m -> n p one four m", one=4, four=4)


def _project(
    linear: Any, heads: int, image: torch.Tensor, positions: torch.Tensor | None = None
) -> _Projection:
    """Project the image's places (places, C), and their positions if they count."""
    constant = linear.bias[None] if positions is None else positions @ linear.weight.T + linear.bias
    of_image, constant = (
        rearrange(rows, "p (h d) -> h d p", h=heads).contiguous()
        for rows in (image @ linear.weight.T, constant)
    )
    return _Projection(of_image, constant, linear.weight)


def _pixel_weight(convolution: Any) -> torch.Tensor:
    """A transposed convolution of size and stride 2 as a matrix (C, 4 D): a place makes four pixels."""
    weight: torch.Tensor = convolution.weight
    return rearrange(weight, "c d y x -> c (y x d)")


def _two_way(transformer: Any, image: EncodedFrame, tokens: torch.Tensor) -> tuple[torch.Tensor, _Places]:
    """The two-way transformer: what becomes of the tokens (N, T, C) and of the image's places."""
    count, size = len(tokens), image.pixels.shape[0]
    places = _Places(
        tokens.new_ones(count, 1, size), tokens.new_zeros(count, 0, size), tokens[:, :0], factors=()
    )
    queries = tokens
    for layer, shared in zip(transformer.layers, image.layers, strict=True):
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(queries, queries, queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(placed, placed, queries)
        queries = layer.norm1(queries)
        ask, tell = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        queries = layer.norm2(queries + _ask(ask, queries + tokens, shared.keys, shared.values, places))
        queries = layer.norm3(queries + layer.mlp(queries))
        scores = _scores(tell.k_proj(queries + tokens), shared.queries, places)
        weights = rearrange(scores, "n (h t) p -> n h t p", h=tell.num_heads).softmax(dim=2).flatten(1, 2)
        values = rearrange(tell.v_proj(queries), "n t (h d) -> n h t d", h=tell.num_heads)
        places = _told(tell.out_proj, layer.norm4, shared, places, weights, values)
    last = transformer.final_attn_token_to_image
    asked = _ask(last, queries + tokens, image.keys, image.values, places)
    return transformer.norm_final_attn(queries + asked), places


def _scores(tokens: torch.Tensor, projection: _Projection, places: _Places) -> torch.Tensor:
    """Products of projected tokens (N, T, heads D) with the projected places, (N, heads T, places)."""
    heads, width, _ = projection.image.shape
    tokens = tokens / math.sqrt(width)
    together = rearrange(tokens, "n t (h d) -> h (n t) d", h=heads)
    if not places.mix.shape[1]:  # nothing was told yet, and the scale is 1
        whole = projection.image + projection.constant
        return rearrange(together @ whole, "h (n t) p -> n (h t) p", n=len(tokens))
    image, constant = (
        rearrange(together @ one, "h (n t) p -> n (h t) p", n=len(tokens))
        for one in (projection.image, projection.constant)
    )
    of_rows = rearrange(places.rows @ projection.weight.T, "n r (h d) -> n h d r", h=heads)
    apart = rearrange(tokens, "n t (h d) -> n h t d", h=heads) @ of_rows
    return torch.addcmul(constant, image, places.scale).baddbmm_(apart.flatten(1, 2), places.mix)


def _ask(
    attention: Any, tokens: torch.Tensor, keys: _Projection, values: _Projection, places: _Places
) -> torch.Tensor:
    """Attention of tokens (N, T, C) to the places, (N, T, C)."""
    heads, count = attention.num_heads, len(tokens)
    weights = _scores(attention.q_proj(tokens), keys, places).softmax(dim=-1)
    together = rearrange(weights * places.scale, "n (h t) p -> h (n t) p", h=heads)
    image = rearrange(together @ values.image.transpose(1, 2), "h (n t) d -> n h t d", n=count)
    of_rows = rearrange(places.rows @ values.weight.T, "n r (h d) -> n h r d", h=heads)
    mixed = rearrange(weights @ places.mix.transpose(1, 2), "n (h t) r -> n h t r", h=heads) @ of_rows
    # A token's attention weights sum to 1, so the bias passes through.
    found = image + mixed + values.constant.transpose(1, 2)
    projected: torch.Tensor = attention.out_proj(rearrange(found, "n h t d -> n t (h d)"))
    return projected


def _told(
    out: Any, norm: Any, shared: _Layer, places: _Places, weights: torch.Tensor, values: torch.Tensor
) -> _Places:
    """The places after receiving ``values`` (N, heads, T, D) with ``weights`` (N, heads T, places)."""
    count, heads = values.shape[:2]
    one, ones = values.new_ones(count, 1, 1, 1), torch.ones_like(places.scale)
    factors = (*places.factors, one, values)
    bias = out.bias.expand(count, 1, -1)
    told = (values @ rearrange(out.weight, "c (h d) -> h d c", h=heads)).flatten(1, 2)
    mix, rows = torch.cat([places.mix, ones, weights], 1), torch.cat([places.rows, bias, told], 1)

    mean = places.scale * shared.mean + rows.mean(dim=2)[:, None] @ mix
    with_image = torch.cat(
        [
            rearrange(rearrange(factor, "n h t d -> h (n t) d") @ product, "h (n t) p -> n (h t) p", n=count)
            for factor, product in zip(factors, shared.products, strict=True)
        ],
        dim=1,
    )
    among = rows @ rows.transpose(1, 2) / rows.shape[2]
    of_mix = with_image.mul_(2 * places.scale).baddbmm_(among, mix)
    square = places.scale.square() * shared.square + of_mix.mul_(mix).sum(dim=1, keepdim=True)
    shrink = (square - mean.square() + norm.eps).rsqrt()
    gain, shift = norm.weight.expand(count, 1, -1), norm.bias.expand(count, 1, -1)
    return _Places(
        places.scale * shrink,
        torch.cat([mix * shrink, -mean * shrink, ones], dim=1),
        torch.cat([rows * norm.weight, gain, shift], dim=1),
        (*factors, one, one),
    )
