"""The two-way transformer of SAM's decoder, in which prompts' tokens and places attend to each other.

It never forms the places: see :mod:`fmbseg.models.mask_generators.lean_decoder`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from fmbseg.models.mask_generators.lean_places import Places, Projection, SharedLayer, of_each

if TYPE_CHECKING:
    from fmbseg.models.mask_generators.lean_places import EncodedFrame, Room


def share(
    transformer: Any, image: torch.Tensor, positions: torch.Tensor
) -> tuple[tuple[SharedLayer, ...], torch.Tensor, Projection, Projection]:
    """Compute what all prompts of images share.

    Args:
        transformer: the two-way transformer.
        image: the images' places, (B, places, C).
        positions: those of the places, (1, places, C).

    Returns:
        What is shared in each layer; the places as the norms leave them, with neither scale nor rows; keys
        and values of the last attention.
    """
    layers, bases = [], []
    for layer in transformer.layers:
        ask, tell = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        keys = _project(ask.k_proj, ask.num_heads, image, positions)
        values = _project(ask.v_proj, ask.num_heads, image)
        queries = _project(tell.q_proj, tell.num_heads, image, positions)
        bases.append(_basis(tell))
        image = _centred(image)
        bases = [_centred(basis) for basis in bases]
        over = (image / image.shape[2]).transpose(1, 2).contiguous()
        products = tuple(basis @ over[:, None] for basis in bases)
        square = image.square().mean(dim=2)[:, None]
        layers.append(SharedLayer(keys, values, queries, over, square, products))
        gain = layer.norm4.weight
        image, bases = image * gain, [basis * gain for basis in bases]
    last = transformer.final_attn_token_to_image
    keys = _project(last.k_proj, last.num_heads, image, positions)
    return tuple(layers), image, keys, _project(last.v_proj, last.num_heads, image)


def _basis(attention: Any) -> torch.Tensor:
    """What the output of an attention makes of a head's values, (heads, D, C)."""
    weight: torch.Tensor = attention.out_proj.weight
    return rearrange(weight, "c (h d) -> h d c", h=attention.num_heads)


def _centred(rows: torch.Tensor) -> torch.Tensor:
    """Less the mean over the channels, as a norm does first."""
    mean: torch.Tensor = rows.mean(dim=-1, keepdim=True)
    return rows - mean


def _project(
    linear: Any, heads: int, image: torch.Tensor, positions: torch.Tensor | None = None
) -> Projection:
    """Project the places of images (B, places, C), and their positions (1, places, C) if they count."""
    constant = linear.bias[None, None] if positions is None else positions @ linear.weight.T + linear.bias
    of_image, constant = (
        rearrange(rows, "b p (h d) -> b h d p", h=heads).contiguous()
        for rows in (image @ linear.weight.T, constant)
    )
    return Projection(of_image, constant, linear.weight)


def two_way(
    transformer: Any, image: EncodedFrame, tokens: torch.Tensor, room: Room
) -> tuple[torch.Tensor, Places]:
    """The layers of the two-way transformer: what becomes of the tokens (N, T, C) and of the places."""
    places = Places.untold(image, transformer, tokens, room)
    queries = tokens
    for layer, shared in zip(transformer.layers, image.layers, strict=True):
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(queries, queries, queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(placed, placed, queries)
        queries = layer.norm1(queries)
        asked = _ask(layer.cross_attn_token_to_image, queries + tokens, shared.keys, shared.values, places)
        queries = layer.norm2(queries + asked)
        queries = layer.norm3(queries + layer.mlp(queries))
        _tell(layer.cross_attn_image_to_token, layer.norm4, shared, places, queries + tokens, queries)
    return queries, places


def last_attention(
    transformer: Any,
    image: EncodedFrame,
    queries: torch.Tensor,
    tokens: torch.Tensor,
    places: Places,
    which: torch.Tensor,
) -> torch.Tensor:
    """The last attention to the places, of some of each prompt's tokens, (N, M): what becomes of them."""
    which = which.to(queries.device)[:, :, None]
    queries, tokens = queries.take_along_dim(which, dim=1), tokens.take_along_dim(which, dim=1)
    asked = _ask(transformer.final_attn_token_to_image, queries + tokens, image.keys, image.values, places)
    found: torch.Tensor = transformer.norm_final_attn(queries + asked)
    return found


def _by_image(tokens: torch.Tensor, of_image: torch.Tensor) -> torch.Tensor:
    """Products of tokens (N, T, heads D) with what B images have (B, heads, D, places).

    All prompts of an image are one product.

    Returns:
        A view (B, N / B, heads, T, places), whose prompts do not lie one behind the other.
    """
    images, heads, _, size = of_image.shape
    rows = rearrange(tokens, "(b n) t (h d) -> (b h) (n t) d", b=images, h=heads)
    found = rows @ of_image.flatten(0, 1)
    return found.view(images, heads, -1, tokens.shape[1], size).transpose(1, 2)


def _score(
    tokens: torch.Tensor,
    of_rows: torch.Tensor,
    projection: Projection,
    places: Places,
    part: slice,
    scores: torch.Tensor,
) -> None:
    """Products of projected tokens (N, T, heads D) with the projections of some places.

    Args:
        tokens: projected, and divided by the root of D.
        of_rows: see :func:`_of_rows`.
        projection: of the places.
        places: of all prompts.
        part: of the places.
        scores: takes the products, (N, heads T, places).
    """
    image, constant = projection.image[..., part], projection.constant[..., part]
    target = _by_head(scores, *image.shape[:2])
    if not places.told:  # the scale is 1, and there are no rows
        target.copy_(_by_image(tokens, image + constant))
        return
    scale = _by_head(places.scale[:, :, part], len(image), 1)
    of_constant = _by_image(tokens, constant).view_as(target)
    torch.addcmul(of_constant, _by_image(tokens, image), scale, out=target)
    scores.baddbmm_(of_rows, places.mixed(part))


def _by_head(rows: torch.Tensor, images: int, heads: int) -> torch.Tensor:
    """A view of rows (N, heads T, places), of N prompts of B images, (B, N / B, heads, T, places)."""
    count, length, size = rows.shape
    return rows.view(images, count // images, heads, length // heads, size)


def _of_rows(tokens: torch.Tensor, projection: Projection, places: Places) -> torch.Tensor:
    """Products of projected tokens (N, T, heads D) with the projected rows, (N, heads T, R)."""
    heads = projection.image.shape[1]
    rows = rearrange(places.rows @ projection.weight.T, "n r (h d) -> n h d r", h=heads)
    return (rearrange(tokens, "n t (h d) -> n h t d", h=heads) @ rows).flatten(1, 2)


def _ask(
    attention: Any, tokens: torch.Tensor, keys: Projection, values: Projection, places: Places
) -> torch.Tensor:
    """Attention of tokens (N, T, C) to the places, (N, T, C)."""
    images, heads, width, size = keys.image.shape
    queries = attention.q_proj(tokens) / math.sqrt(width)
    count, length = queries.shape[:2]
    of_rows = _of_rows(queries, keys, places)
    weights = queries.new_empty(count, heads * length, size)
    for part in places.parts():
        _score(queries, of_rows, keys, places, part, weights[:, :, part])
    torch.softmax(weights, dim=-1, out=weights)
    image = queries.new_zeros(images * heads, count // images * length, width)
    mixture = torch.zeros_like(of_rows)
    for part in places.parts():
        some = weights[:, :, part]
        mixture.baddbmm_(some, places.mixed(part).transpose(1, 2))
        scaled = image.new_empty(*image.shape[:2], some.shape[2])
        torch.mul(
            _by_head(some, images, heads),
            _by_head(places.scale[:, :, part], images, 1),
            out=rearrange(scaled, "(b h) (n t) p -> b n h t p", b=images, t=length),
        )
        image.baddbmm_(scaled, values.image[..., part].flatten(0, 1).transpose(1, 2))
    of_values = rearrange(places.rows @ values.weight.T, "n r (h d) -> n h r d", h=heads)
    mixed = rearrange(mixture, "n (h t) r -> n h t r", h=heads) @ of_values
    of_image = rearrange(image, "(b h) (n t) d -> (b n) h t d", b=images, t=length)
    # A token's attention weights sum to 1, so the bias passes through.
    found = of_image + mixed + values.constant.transpose(2, 3)
    projected: torch.Tensor = attention.out_proj(rearrange(found, "n h t d -> n t (h d)"))
    return projected


def _tell(
    attention: Any,
    norm: Any,
    shared: SharedLayer,
    places: Places,
    tokens: torch.Tensor,
    queries: torch.Tensor,
) -> None:
    """Let the places attend to tokens (N, T, C), receive what they make of ``queries``, be normalised."""
    heads, width = shared.queries.image.shape[1:3]
    keys = attention.k_proj(tokens) / math.sqrt(width)
    of_rows = _of_rows(keys, shared.queries, places)
    values = attention.v_proj(queries)
    told = values[:, 1:] - values[:, :1]
    answers = rearrange(told, "n t (h d) -> n h t d", h=heads) @ _basis(attention)
    before = places.rows.shape[1]
    rows = torch.cat([places.rows, answers.flatten(1, 2)], dim=1)
    rows[:, before - 1] += attention.out_proj(values[:, 0])
    rows = _centred(rows)
    among = rows @ rows.transpose(1, 2) / rows.shape[2]
    factors = [*places.told, told]
    ones = [0]  # the rows that places got alike, of which the last still counts once in each
    for each in places.told:
        ones.append(ones[-1] + 1 + heads * each.shape[1])
    alike = rows[:, ones]
    for part in places.parts():
        mixed, scale = places.mix[:, : rows.shape[1], part], places.scale[:, :, part]
        scores = keys.new_empty(*of_rows.shape[:2], scale.shape[2])
        _score(keys, of_rows, shared.queries, places, part, scores)
        weights = rearrange(scores, "n (h t) p -> n h t p", h=heads).softmax(dim=2)
        rearrange(mixed[:, before:], "n (h t) p -> n h t p", h=heads).copy_(weights[:, :, 1:])
        of_mix = _with_image(alike, factors, shared, part, 2 * scale).baddbmm_(among, mixed)
        square = of_each(shared.square[..., part], len(scale)) * scale.square()
        square += of_mix.mul_(mixed).sum(dim=1, keepdim=True)
        shrink = square.add_(norm.eps).rsqrt_()
        mixed.mul_(shrink)
        scale.mul_(shrink)
    places.mix[:, rows.shape[1]] = 1
    places.rows = torch.cat([rows * norm.weight, norm.bias.expand(len(rows), 1, -1)], dim=1)
    places.told = factors


def _with_image(
    alike: torch.Tensor, factors: list[torch.Tensor], shared: SharedLayer, part: slice, times: torch.Tensor
) -> torch.Tensor:
    """Mean products of all rows with the image, (N, R, places), in the order of the rows.

    Args:
        alike: rows that places got alike, (N, layers, C).
        factors: what each layer told, see :class:`Places`.
        shared: of the layer.
        part: of the places.
        times: what the products of each place are multiplied by, (N, 1, places).
    """
    images, count = len(shared.image), len(alike)
    of_alike = rearrange(alike, "(b n) r c -> b (n r) c", b=images) @ shared.image[..., part]
    of_alike = rearrange(of_alike, "b (n r) p -> (b n) r p", r=alike.shape[1])
    heads = [len(product[0]) for product in shared.products]
    lengths = [each * told.shape[1] for each, told in zip(heads, factors, strict=True)]
    found = alike.new_empty(count, len(lengths) + sum(lengths), times.shape[2])
    start = 0
    for index, (told, product) in enumerate(zip(factors, shared.products, strict=True)):
        torch.mul(of_alike[:, index : index + 1], times, out=found[:, start : start + 1])
        end = start + 1 + lengths[index]
        torch.mul(
            _by_image(told, product[..., part]),
            _by_head(times, images, 1),
            out=_by_head(found[:, start + 1 : end], images, heads[index]),
        )
        start = end
    return found
