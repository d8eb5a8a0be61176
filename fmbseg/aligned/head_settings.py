"""The shape of an alignment head: what kind it is, how wide, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

HeadKind = Literal["block", "linear", "mlp", "block_without_attention", "two_blocks"]
"""What lies between the backbone's patches and the text space; the paper's is ``"block"``."""

HEAD_KINDS: tuple[HeadKind, ...] = get_args(HeadKind)
_BLOCKS: dict[HeadKind, int] = {"block": 1, "two_blocks": 2}
_MOST_HEADS = 16
_SMALLEST_HEAD = 32


@dataclass(frozen=True)
class HeadSettings:
    """The shape of an :class:`~fmbseg.aligned.head.AlignmentHead`, as it is written to ``config.json``.

    Args:
        in_dim: channels of the backbone's patch features.
        out_dim: dimensions of the text space.
        heads: attention heads; must divide ``in_dim``.
        mlp_ratio: hidden width of the head's MLP, as a multiple of ``in_dim``.
        kind: see :class:`~fmbseg.aligned.head.AlignmentHead`.

    Raises:
        ValueError: a value that makes no head.

    Example:
        >>> HeadSettings(in_dim=1024, out_dim=768, heads=16).hidden
        4096
    """

    in_dim: int
    out_dim: int
    heads: int
    mlp_ratio: float = 4.0
    kind: HeadKind = "block"

    def __post_init__(self) -> None:
        for name in ("in_dim", "out_dim", "heads"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} of the head is {value!r}: it must be a whole number of at least 1")
        if self.in_dim % self.heads:
            raise ValueError(f"heads of the head is {self.heads}: it must divide in_dim, {self.in_dim}")
        ratio = self.mlp_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < float("inf"):
            raise ValueError(f"mlp_ratio of the head is {ratio!r}: it must be a finite number above 0")
        if self.kind not in HEAD_KINDS:
            raise ValueError(
                f"kind of the head is {self.kind!r}: it must be one of {', '.join(map(repr, HEAD_KINDS))}"
            )

    @property
    def attends(self) -> bool:
        """Whether a patch's vector depends on the other patches of its image."""
        return self.kind in _BLOCKS

    @property
    def hidden(self) -> int:
        """Width between the two linear maps of the head's MLP, in channels."""
        return max(1, round(self.in_dim * self.mlp_ratio))

    @property
    def projected(self) -> int:
        """Channels that the last linear map takes in."""
        return self.hidden if self.kind == "mlp" else self.in_dim

    def flops(self, height: int, width: int) -> int:
        """Floating-point operations for one image of ``height`` by ``width`` patches.

        A multiplication and an addition count as two; only matrix products count, as in
        ``torch.utils.flop_counter``.

        Example:
            >>> HeadSettings(in_dim=472, out_dim=384, heads=8, kind="linear").flops(14, 14)
            71049216
        """
        patches, dim = height * width, self.in_dim
        attention = 4 * dim * dim + 2 * patches * dim  # query, key, value, output; scores and their use
        each = self.projected * self.out_dim
        if self.kind in _BLOCKS:
            each += _BLOCKS[self.kind] * (attention + 2 * dim * self.hidden)
        elif self.kind == "block_without_attention":
            each += 2 * dim * self.hidden
        elif self.kind == "mlp":
            each += dim * self.hidden
        return 2 * patches * each


def default_heads(in_dim: int) -> int:
    """The most attention heads, up to 16, that divide ``in_dim`` and have 32 channels each; else 1.

    The paper does not state the count; 16 is what a ViT-L block has.

    Example:
        >>> default_heads(1024), default_heads(472), default_heads(384), default_heads(30)
        (16, 8, 12, 1)
    """
    return next(
        (n for n in range(_MOST_HEADS, 1, -1) if in_dim % n == 0 and in_dim // n >= _SMALLEST_HEAD), 1
    )
