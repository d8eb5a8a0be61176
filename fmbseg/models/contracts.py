"""The four contracts for frozen models, what they return, and what some models offer besides.

What only some models offer is a small protocol of its own, checked by ``isinstance``.

Shapes are part of a contract. ``B`` counts images or crops, ``K`` texts, ``D`` the dimensions of the
text space, ``N`` masks, ``P`` points; ``H`` and ``W`` are pixels, ``h`` and ``w`` cells of a feature grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.models.backbones.facts import BackboneFacts
    from fmbseg.models.transform import PixelTransform


class ImageTextFeatures(NamedTuple):
    """An image-text model's output for a batch of crops; every vector has unit length.

    Attributes:
        pooled: one vector per crop, (B, D).
        dense: one vector per cell, (B, D, h, w), in the same space as ``pooled`` and the texts.
    """

    pooled: torch.Tensor
    dense: torch.Tensor


@runtime_checkable
class Backbone(Protocol):
    """A frozen vision encoder: pixels in, a grid of patch features out.

    Attributes:
        spec: ``family:name`` that recreates this model.
        dim: channels of a patch feature.
        stride: pixels between patch centres.
        native_size: side in pixels of the images that the model was trained on.
        license: licence of the weights (SPDX where there is one).
        transform: turns an RGB image into the pixels that ``encode`` takes.
    """

    spec: str
    dim: int
    stride: int
    native_size: int
    license: str
    transform: PixelTransform

    def to(self, device: torch.device | str) -> Backbone:
        """Move the weights to ``device`` and return self."""
        ...

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W), H and W multiples of ``stride``, to (B, dim, H/stride, W/stride)."""
        ...


class PatchEncoder(Protocol):
    """The part of a :class:`Backbone` that is exported."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels as :meth:`Backbone.encode` does."""
        ...


@runtime_checkable
class Exportable(Protocol):
    """A backbone with another form that exporters follow more easily."""

    def for_export(self) -> PatchEncoder:
        """The same weights and results in that form."""
        ...


@runtime_checkable
class ImageTextEncoder(Protocol):
    """A frozen model that puts images, their regions and texts into one space of unit vectors.

    Attributes:
        spec: ``family:name`` that recreates this model.
        dim: dimensions ``D`` of the text space.
        crop_size: side in pixels of the square crops that ``encode_image`` takes.
        stride: pixels between the cells of the dense map.
        license: licence of the weights (SPDX where there is one).
        transform: turns an RGB image into pixels; crops are cut from these.
    """

    spec: str
    dim: int
    crop_size: int
    stride: int
    license: str
    transform: PixelTransform

    def to(self, device: torch.device | str) -> ImageTextEncoder:
        """Move the weights to ``device`` and return self."""
        ...

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode K prompts to unit vectors (K, D)."""
        ...

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        """Encode crops (B, 3, crop_size, crop_size) to pooled (B, D) and dense (B, D, h, w)."""
        ...


@runtime_checkable
class SharesSight(Protocol):
    """An image-text model that encodes crops in two steps, of which the first may serve others, too.

    Attributes:
        sight: the same for models whose first step is the same; None where it is shared with none.
    """

    @property
    def sight(self) -> Hashable: ...  # noqa: D102 - said above

    def see(self, crops: torch.Tensor) -> Any:
        """The first step, of crops (B, 3, crop_size, crop_size)."""
        ...

    def features_of(self, seen: Any) -> ImageTextFeatures:
        """The second step, from what the first gave."""
        ...

    def with_weights_of(self, other: Any) -> ImageTextEncoder:
        """This model on the weights of one of the same ``sight``."""
        ...


@runtime_checkable
class KnowsNames(Protocol):
    """An image-text model whose training names are known, such as one made from a classifier."""

    @property
    def known_names(self) -> Sequence[str]:
        """The names, each once: other words are known as well as they are near to one of these."""
        ...


@runtime_checkable
class Prompter(Protocol):
    """One image, encoded once, ready for mask prompts."""

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """Return the single best mask for each set of points, or for each box.

        Args:
            points: for each mask, its foreground points (P, 2), as (x, y) in pixels of the image.
            boxes: (N, 4), around one thing each: x0, y0, x1, y1 in pixels of the image, x1 and y1 just
                outside. Give either points or boxes, not both.
        """
        ...

    def everything(self) -> MaskSet:
        """Every mask that can be found: filtered and de-duplicated, best first."""
        ...


@runtime_checkable
class TakesPointsBeside(Protocol):
    """A prompter whose model can be told of points that are not on the thing."""

    def prompt_thing(self, inside: NDArray[np.float32], outside: NDArray[np.float32]) -> MaskSet:
        """Return the single best mask of one thing.

        Args:
            inside: points on it, (P, 2), one or more, as (x, y) in pixels of the image.
            outside: points that are not on it, (Q, 2).
        """
        ...


@runtime_checkable
class MaskGenerator(Protocol):
    """A class-agnostic mask model.

    Attributes:
        spec: ``family:name`` that recreates this model.
        promptable: whether ``prompt`` works; if not, Stage 1.1 is left out with a warning.
        license: licence of the weights (SPDX where there is one).
    """

    spec: str
    promptable: bool
    license: str

    def begin(self, image: NDArray[np.uint8]) -> Prompter:
        """Encode an RGB image (H, W, 3) once."""
        ...


@runtime_checkable
class BeginsSeveral(Protocol):
    """A mask generator that encodes several images at once.

    Attributes:
        images_at_once: how many it takes best where it computes now, 1 or more.
    """

    @property
    def images_at_once(self) -> int: ...  # noqa: D102 - said above

    def begin_all(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Prompter]:
        """Encode RGB images (H, W, 3) of any sizes."""
        ...


class Concept(NamedTuple):
    """What a concept model found for one word in one image.

    Attributes:
        presence: how likely it is that the image shows it at all, 0 to 1.
        masks: its instances, best first; the score of each, 0 to 1, is in ``predicted_iou``.
        semantic: (H, W) float32, how likely each pixel shows it, 0 to 1; ``None`` where the model has no such
            map.
    """

    presence: float
    masks: MaskSet
    semantic: NDArray[np.float32] | None


@runtime_checkable
class ConceptPrompter(Protocol):
    """One image, encoded once, ready for words."""

    def find(self, words: Sequence[str]) -> Iterator[Concept]:
        """Yield what is found for each word, in order; memory does not grow with their number."""
        ...


@runtime_checkable
class ConceptModel(Protocol):
    """A model that names things and cuts them out in one step: SAM 3's "promptable concept segmentation".

    Attributes:
        spec: ``family:name`` that recreates this model.
        license: licence of the weights (SPDX where there is one).
    """

    spec: str
    license: str

    def to(self, device: torch.device | str) -> ConceptModel:
        """Move the weights to ``device`` and return self."""
        ...

    def begin(self, image: NDArray[np.uint8]) -> ConceptPrompter:
        """Encode an RGB image (H, W, 3) once."""
        ...


@runtime_checkable
class HasFacts(Protocol):
    """A backbone that says more about itself than its contract asks, as all of fmbseg's own do."""

    @property
    def facts(self) -> BackboneFacts:
        """Layers, tokens, precision, revision and the rest."""
        ...


@runtime_checkable
class Movable(Protocol):
    """A mask generator whose weights can be moved."""

    def to(self, device: torch.device | str) -> object:
        """Move the weights to ``device``."""
        ...


@runtime_checkable
class HasOptions(Protocol):
    """A mask generator whose output also depends on settings that its spec does not hold."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The settings that differ from the defaults, as JSON values by name."""
        ...
