"""The mask decoder of ``segment_anything``: the same result for a fraction of the work.

A prompt has a handful of tokens, the image 4,096 places, and SAM's two-way attention projects all the places
anew for each prompt. But a prompt changes little about the places: each gets a mixture of what a few
tokens answer, and is normalised. After any number of layers the places are

    ``scale * image + mix^T rows``

with the image's own embedding, centred and scaled as the norms do (the same for all prompts), a number
``scale`` for each place, and a few ``rows``. So projecting the places means projecting the image, once, and
the rows; attention goes through the mixture; and even the variance by which a place is normalised comes from
products of the few rows. The places themselves are never formed. A token's weights in a place sum to 1 with
the others', so one of each head's is left out: it is what all places get. The up-scaling, two transposed
convolutions of stride 2, is a matrix product for each place, so its four, then sixteen, pixels stay beside
each other until the end.

A CPU takes a few prompts and a few places at a time, so that what belongs to them stays in its cache.
Numbers differ from the module's only by rounding; everything is float32, even under autocast.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from fmbseg.models.mask_generators.candidates import EVERYTHING, Candidates
from fmbseg.models.mask_generators.lean_places import EncodedFrame, Room, of_each
from fmbseg.models.mask_generators.lean_transformer import last_attention, share, two_way
from fmbseg.models.mask_generators.sam_frame import cells_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmbseg.models.mask_generators.candidates import Needed
    from fmbseg.models.mask_generators.lean_places import Places

_PROMPTS_AT_ONCE_ON_CPU = 8
_DRAWN_AT_ONCE_ON_CPU = 1024  # places, times prompts; each becomes 16 pixels
_SCORES = torch.zeros(1, 1, dtype=torch.long)  # which of a prompt's tokens gives its masks' scores


def three_masks(predicted_iou: torch.Tensor) -> torch.Tensor:
    """Choose SAM's three masks for ambiguous prompts among the four with scores (N, 4): (N, 3)."""
    return torch.arange(1, 4, device=predicted_iou.device).expand(len(predicted_iou), -1)


def point_labels(points: torch.Tensor, beside: int) -> torch.Tensor:
    """Of each point of prompts (N, P, 2) whether it is on the thing, 1, or beside it, 0: (N, P) int32.

    Example:
        >>> point_labels(torch.zeros(1, 3, 2), beside=1).tolist()
        [[1, 1, 0]]
    """
    labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
    labels[:, points.shape[1] - beside :] = 0
    return labels


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
            embedding: that of B images, (B, C, h, w).
        """
        transformer, dtype = self._decoder.transformer, self._decoder.iou_token.weight.dtype
        with torch.autocast(embedding.device.type, enabled=False):
            no_mask = self._prompts.no_mask_embed.weight[:, :, None, None]
            image = rearrange(embedding.to(dtype) + no_mask.to(dtype), "b c h w -> b (h w) c")
            positions = rearrange(self._prompts.get_dense_pe(), "1 c h w -> 1 (h w) c").to(dtype)
            layers, image, keys, values = share(transformer, image, positions)
            pixels = _centred_pixels(image @ _pixel_weight(self._decoder.output_upscaling[0]))
            return EncodedFrame(embedding, layers, keys, values, pixels)

    def decode(
        self,
        image: EncodedFrame,
        points: torch.Tensor,
        choose: Callable[[torch.Tensor], torch.Tensor] = three_masks,
        *,
        beside: int = 0,
        needed: Needed = EVERYTHING,
    ) -> Candidates:
        """Decode N prompts, as many of each image, one image's after another's.

        Args:
            image: result of ``begin``.
            points: (N, P, 2), (x, y) in pixels of the frame.
            choose: from the predicted IoUs (N, 4) of SAM's single mask and its three for an ambiguous prompt,
                selects which of the four to draw, (N, M).
            beside: how many points of each prompt, the last ones, are not on the thing.
            needed: a CPU leaves out the rest.
        """
        labelled = (points, point_labels(points, beside))
        return self._decode_all(image, choose, needed, points=labelled, boxes=None)

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
        return self._decode_all(image, choose, EVERYTHING, points=None, boxes=boxes)

    def _decode_all(
        self,
        image: EncodedFrame,
        choose: Callable[[torch.Tensor], torch.Tensor],
        needed: Needed,
        **prompts: Any,
    ) -> Candidates:
        device = image.embedding.device.type
        with torch.autocast(device, enabled=False):
            sparse, _ = self._prompts(**prompts, masks=None)
            own = torch.cat([self._decoder.iou_token.weight, self._decoder.mask_tokens.weight])
            tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
            if device != "cpu" or len(image.embedding) > 1:
                return self._decode(image, tokens, choose, EVERYTHING, Room())
            room = Room()
            parts = [
                self._decode(image, part, choose, needed, room)
                for part in tokens.split(_PROMPTS_AT_ONCE_ON_CPU)  # type: ignore[no-untyped-call]
            ]
        return Candidates(
            torch.cat([part.logits for part in parts]), torch.cat([part.predicted_iou for part in parts])
        )

    def _decode(
        self,
        image: EncodedFrame,
        tokens: torch.Tensor,
        choose: Callable[[torch.Tensor], torch.Tensor],
        needed: Needed,
        room: Room,
    ) -> Candidates:
        """Decode the prompts with these tokens, (N, T, C)."""
        decoder, transformer = self._decoder, self._decoder.transformer
        queries, places = two_way(transformer, image, tokens, room)
        # Of what the last attention gives, only the scores' token and the chosen masks' are used.
        scores = decoder.iou_prediction_head(
            last_attention(transformer, image, queries, tokens, places, _SCORES)
        )
        chosen = choose(scores[:, 0])
        predicted = scores[:, 0].take_along_dim(chosen, dim=1)
        if needed.above > -math.inf and not (wanted := (predicted > needed.above).any(dim=1)).all():
            queries, tokens, places = queries[wanted], tokens[wanted], places.select(wanted)
            chosen, predicted = chosen[wanted], predicted[wanted]
        masks = last_attention(transformer, image, queries, tokens, places, 1 + chosen)
        weights = torch.stack([each(masks) for each in decoder.output_hypernetworks_mlps], dim=2)
        weights = weights.take_along_dim(chosen[:, :, None, None], dim=2)[:, :, 0]
        return Candidates(self._draw(image, places, weights, needed.covered), predicted)

    def _draw(
        self, image: EncodedFrame, places: Places, weights: torch.Tensor, covered: tuple[float, float]
    ) -> torch.Tensor:
        """Up-scale the covered places and draw the masks of these weights (N, M, D), (N, M, 4 h, 4 w)."""
        first, norm, activation, second, last_activation = self._decoder.output_upscaling
        answers = places.rows @ _pixel_weight(first)
        answers[:, -1] += first.bias.repeat(4)  # the last row is in every place's mixture once
        answers = _centred_pixels(answers)
        weight, bias = _pixel_weight(second), second.bias.repeat(4)
        grid = image.embedding.shape[2:]
        logits = weights.new_zeros(*weights.shape[:2], 4 * grid[0], 4 * grid[1])
        drawn = rearrange(logits, "n m (h y1 y2) (w x1 x2) -> n m h w y1 x1 y2 x2", y1=2, y2=2, x1=2, x2=2)
        height, width = (
            -(-cells_read(4 * cells, part) // 4) for cells, part in zip(grid, covered, strict=True)
        )
        rows = max(1, _DRAWN_AT_ONCE_ON_CPU // max(1, len(weights) * width))
        rows = rows if weights.device.type == "cpu" else height
        for start in range(0, height, rows):
            lines, columns = slice(start, min(start + rows, height)), slice(width)
            pixels = image.pixels.view(len(image.pixels), *grid, -1)[:, lines, columns].flatten(1, 2)
            pixels = of_each(pixels, len(weights)) * _part(places.scale, grid, lines, columns).transpose(1, 2)
            pixels.baddbmm_(_part(places.mixed(slice(None)), grid, lines, columns).transpose(1, 2), answers)
            pixels = activation(_normalised(pixels.view(-1, len(norm.weight)), norm))
            pixels = last_activation((pixels @ weight).add_(bias))
            pixels = pixels.view(len(weights), 16 * (lines.stop - lines.start) * width, weights.shape[2])
            _copy_pairs(weights @ pixels.transpose(1, 2), drawn[:, :, lines, columns])
        return logits


def _part(rows: torch.Tensor, grid: torch.Size, lines: slice, columns: slice) -> torch.Tensor:
    """What rows (..., places) have in some of the lines and columns of the places' grid."""
    return rows.view(*rows.shape[:-1], *grid)[..., lines, columns].flatten(-2)


def _centred_pixels(channels: torch.Tensor) -> torch.Tensor:
    """Channels of four pixels (..., 4 D), less the mean of each, as the norm of the up-scaling does."""
    pixels = rearrange(channels, "... (four d) -> ... four d", four=4)
    centred: torch.Tensor = (pixels - pixels.mean(dim=-1, keepdim=True)).flatten(-2)
    return centred


def _normalised(pixels: torch.Tensor, norm: Any) -> torch.Tensor:
    """Pixels (P, D) whose mean is 0 already, normalised in their place."""
    length = torch.linalg.vector_norm(pixels, dim=1, keepdim=True)
    pixels.mul_(length.square_().div_(pixels.shape[1]).add_(norm.eps).rsqrt_())
    return torch.addcmul(norm.bias, pixels, norm.weight)


def _copy_pairs(found: torch.Tensor, target: torch.Tensor) -> None:
    """Copy numbers to where they belong, shaped (..., 2); a CPU takes two as one, which is quicker."""
    found = found.view(target.shape)
    if target.device.type == "cpu":
        found, target = torch.view_as_complex(found), torch.view_as_complex(target)
    target.copy_(found)


def _pixel_weight(convolution: Any) -> torch.Tensor:
    """A transposed convolution of size and stride 2 as a matrix (C, 4 D): a place makes four pixels."""
    weight: torch.Tensor = convolution.weight
    return rearrange(weight, "c d y x -> c (y x d)")
