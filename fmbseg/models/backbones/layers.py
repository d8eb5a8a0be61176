"""Which layers of a model are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.models.loading.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence


def chosen_layers(
    wanted: tuple[int, ...] | None, depth: int, default: tuple[int, ...], where: str
) -> tuple[int, ...]:
    """Layers counted from 0, in order.

    Args:
        wanted: as in a spec, negative ones counted from the end; ``None`` for the default.
        depth: how many there are.
        default: of the model.
        where: for messages.

    Raises:
        SpecError: there is no such layer, or one is named twice.

    Example:
        >>> chosen_layers((-1, 5), 12, (11,), "timm:vit"), chosen_layers(None, 12, (11,), "timm:vit")
        ((5, 11), (11,))
    """
    if wanted is None:
        return default
    for layer in wanted:
        if not -depth <= layer < depth:
            raise SpecError(f"{where} has no layer {layer}: they are 0 to {depth - 1}, or -{depth} to -1")
    layers = tuple(sorted({layer % depth for layer in wanted}))
    if len(layers) < len(wanted):
        raise SpecError(f"{where} names a layer twice: {', '.join(map(str, wanted))}")
    return layers


def default_stages(strides: Sequence[int]) -> tuple[int, ...]:
    """The last stage of each of the two coarsest strides: joined they carry more than either alone.

    Args:
        strides: of a pyramid's stages, in pixels.

    Example:
        >>> default_stages([4, 8, 16, 32]), default_stages([8, 8, 16, 16])
        ((2, 3), (1, 3))
    """
    last = {stride: stage for stage, stride in enumerate(strides)}
    return tuple(sorted(last[stride] for stride in sorted(last)[-2:]))
