"""An image-text encoder made from a vision tower and a text function, whichever library they come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.checks import check_pixels
from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.models.image_text.towers import TransformerTower
from fmbseg.models.loading.precision import Precision, autocast, check_precision
from fmbseg.models.loading.speed import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from fmbseg.models.image_text.towers import Tower, TowerOutput, TowerState
    from fmbseg.models.transform import PixelTransform

_TEXTS_A_BATCH = 256


@dataclass(eq=False)
class TowerEncoder:
    """Frozen image-text encoder; see :class:`fmbseg.models.contracts.ImageTextEncoder`.

    Args:
        spec: ``family:name`` that recreates this model.
        dim: dimensions of the text space.
        crop_size: side of the crops in pixels.
        license: licence of the weights.
        transform: turns an RGB image into pixels.
        model: the whole model; put in evaluation mode and frozen.
        tower: its vision tower.
        embed: turns texts, on a device, into vectors (K, dim).
        precision: used on accelerators; a CPU always computes in float32.
        source: where model and weights come from; empty where that is not known.

    Raises:
        ValueError: there is no such precision.
    """

    spec: str
    dim: int
    crop_size: int
    license: str
    transform: PixelTransform
    model: Any
    tower: Tower
    embed: Callable[[Sequence[str], torch.device], torch.Tensor]
    precision: Precision = "auto"
    source: str = ""

    def __post_init__(self) -> None:
        check_precision(self.precision)
        self.stride: int = self.tower.stride
        self.model.requires_grad_(False).train(False)
        self._encode: Callable[[torch.Tensor], TowerOutput] = self.tower.encode

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def to(self, device: torch.device | str) -> TowerEncoder:
        """Move the weights to ``device`` and return self."""
        self.model.to(device)
        return self

    def compile(self) -> None:
        """Compile the vision tower on first use."""
        self._encode = compiled(self.tower.encode, f"{self.spec} (image)")

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode K prompts to unit vectors (K, dim); prompts longer than the model reads are cut."""
        vectors = torch.empty(len(prompts), self.dim, device=self.device)
        for start in range(0, len(prompts), _TEXTS_A_BATCH):
            batch = list(prompts[start : start + _TEXTS_A_BATCH])
            with autocast(self.device, self.precision):
                embedded = self.embed(batch, self.device)
            vectors[start : start + len(batch)] = embedded.float()
        return F.normalize(vectors, dim=-1)

    @torch.no_grad()
    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        """Encode crops (B, 3, crop_size, crop_size) to one vector per crop and one per cell.

        Returns:
            Unit vectors: pooled (B, dim) and dense (B, dim, crop_size / stride, crop_size / stride).

        Raises:
            ValueError: the shape or type is another.
        """
        self._check(crops)
        with autocast(self.device, self.precision):
            return _unit(self._encode(crops.to(self.device)))

    @property
    def sight(self) -> Hashable:
        """The same for encoders that see crops alike and differ in their dense map only."""
        if not isinstance(self.tower, TransformerTower) or not self.source:
            return None
        return self.source, self.crop_size, self.tower.positions, self.precision

    @torch.no_grad()
    def see(self, crops: torch.Tensor) -> TowerState:
        """The first step of :meth:`encode_image`, which encoders of one ``sight`` share."""
        assert isinstance(self.tower, TransformerTower)
        self._check(crops)
        with autocast(self.device, self.precision):
            return self.tower.see(crops.to(self.device))

    @torch.no_grad()
    def features_of(self, seen: TowerState) -> ImageTextFeatures:
        """The second step."""
        assert isinstance(self.tower, TransformerTower)
        with autocast(self.device, self.precision):
            return _unit(self.tower.finish(seen))

    def with_weights_of(self, other: TowerEncoder) -> TowerEncoder:
        """This encoder on the weights of one of the same ``sight``, so that they are held once."""
        assert isinstance(self.tower, TransformerTower)
        assert isinstance(other.tower, TransformerTower)
        tower = replace(other.tower, variant=self.tower.variant)
        return replace(self, model=other.model, tower=tower, embed=other.embed)

    def _check(self, crops: torch.Tensor) -> None:
        check_pixels(crops, self.stride, self.spec)
        if tuple(crops.shape[2:]) != (self.crop_size, self.crop_size):
            raise ValueError(
                f"{self.spec} takes crops of {self.crop_size} x {self.crop_size} px, got {crops.shape[2]} x "
                f"{crops.shape[3]}: cut crops of that size, or load the model with another crop_size=..."
            )


def _unit(output: TowerOutput) -> ImageTextFeatures:
    return ImageTextFeatures(
        F.normalize(output.pooled.float(), dim=-1), F.normalize(output.dense.float(), dim=1)
    )
