"""What a spec of a backbone resolved to, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmbseg.models.transform import PixelTransform


@dataclass(frozen=True)
class BackboneFacts:
    """Everything that is known of a loaded backbone.

    Args:
        spec: that makes it again, every choice spelt out.
        dim: channels of a patch feature.
        stride: pixels between patch centres.
        native_size: side in pixels of the images that it is meant for, a multiple of ``stride``.
        transform: of pixels.
        layers: blocks or stages whose outputs are joined, counted from 0.
        depth: blocks or stages that the model has.
        final_norm: whether the final norm (SAM: the neck) is applied to each of them.
        class_tokens: tokens dropped because they stand for the whole image.
        register_tokens: tokens dropped because they stand for nothing.
        any_size: whether it takes any multiple of the stride; if not, images are resized to ``native_size``
            and the grid is resized back.
        parameters: of the network, after what is not needed was cut off.
        precision: of weights and computation.
        license: of the weights (SPDX where there is one).
        source: where the weights come from: a Hub repository, a file, or how they were made.
        revision: the repository's commit, if the weights are from the Hub and on this machine.
    """

    spec: str
    dim: int
    stride: int
    native_size: int
    transform: PixelTransform
    layers: tuple[int, ...]
    depth: int
    final_norm: bool
    class_tokens: int
    register_tokens: int
    any_size: bool
    parameters: int
    precision: str
    license: str
    source: str
    revision: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)
