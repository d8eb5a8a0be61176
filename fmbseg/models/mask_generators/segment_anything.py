"""SAM of the ``segment-anything`` package, from a checkpoint or as a module.

Kirillov et al. 2023, "Segment Anything" (arXiv 2304.02643). Only its encoder, prompt encoder and mask decoder
are used: in the package's wheel 1.0, the automatic mask generator makes its NMS categories on the CPU and the
tensor resize reads the wrong axes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.spec_options import check_name
from fmbseg.models.loading.weights import fit, read_state_dict
from fmbseg.models.mask_generators.candidates import EVERYTHING, Candidates, Needed
from fmbseg.models.mask_generators.lean_decoder import LeanDecoder, point_labels
from fmbseg.models.mask_generators.lean_encoder import LeanEncoder
from fmbseg.models.mask_generators.lean_places import together
from fmbseg.models.mask_generators.sam_frame import SamFrame
from fmbseg.models.mask_generators.settings import EverythingSettings
from fmbseg.models.mask_generators.torch_sam import TorchSam
from fmbseg.models.transform import PixelTransform
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from fmbseg.devices import Device
    from fmbseg.models.loading.precision import Precision
    from fmbseg.models.mask_generators.lean_places import EncodedFrame

TYPES = ("vit_h", "vit_l", "vit_b")
_WIDTHS = {1280: "vit_h", 1024: "vit_l", 768: "vit_b"}
LICENSE = "Apache-2.0"


class SegmentAnything:
    """A ``segment_anything`` module behind :class:`~fmbseg.models.mask_generators.torch_sam.SamModel`.

    Args:
        module: the package's ``Sam``.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        encoder = module.image_encoder
        self._encode = LeanEncoder(encoder) if LeanEncoder.knows(encoder) else encoder
        mean, std = ((each.flatten() / 255).tolist() for each in (module.pixel_mean, module.pixel_std))
        self._transform = PixelTransform(tuple(mean), tuple(std), "bilinear")

    def frame(self, size: tuple[int, int]) -> SamFrame:
        """Place an image in the frame."""
        return SamFrame(size, self.module.image_encoder.img_size, self._transform)

    def encode(self, pixels: torch.Tensor) -> list[Any]:
        """Encode (B, 3, side, side), to (1, 256, side / 16, side / 16) of each image."""
        return list(self._encode(pixels).split(1))

    def feature_map(self, embedding: Any) -> torch.Tensor:
        """Return the map (256, side / 16, side / 16)."""
        features: torch.Tensor = embedding[0]
        return features

    def decode(
        self, embedding: Any, points: torch.Tensor, *, beside: int = 0, needed: Needed = EVERYTHING
    ) -> Candidates:
        """Decode N prompts of P points (N, P, 2) to SAM's three masks each."""
        del needed  # the package's decoder draws every mask
        return self._decoded(embedding, points=(points, point_labels(points, beside)), boxes=None)

    def decode_boxes(self, embedding: Any, boxes: torch.Tensor) -> Candidates:
        """Decode N prompts of a box each (N, 4) to SAM's three masks each."""
        return self._decoded(embedding, points=None, boxes=boxes)

    def _decoded(self, embedding: Any, **prompts: Any) -> Candidates:
        encoder = self.module.prompt_encoder
        sparse, dense = encoder(**prompts, masks=None)
        logits, iou = self.module.mask_decoder(
            image_embeddings=embedding,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return Candidates(logits, iou)


class LeanSegmentAnything(SegmentAnything):
    """The same with a leaner decoder, which shares more work among the prompts of an image.

    Args:
        module: the package's ``Sam``, with its own decoder.
    """

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._lean = LeanDecoder(module.prompt_encoder, module.mask_decoder)

    def encode(self, pixels: torch.Tensor) -> list[EncodedFrame]:
        """Encode (B, 3, side, side), and what all prompts of an image share."""
        return [self._lean.begin(embedding) for embedding in super().encode(pixels)]

    def feature_map(self, embedding: EncodedFrame) -> torch.Tensor:
        """Return the map (256, side / 16, side / 16)."""
        return embedding.embedding[0]

    def decode(
        self, embedding: EncodedFrame, points: torch.Tensor, *, beside: int = 0, needed: Needed = EVERYTHING
    ) -> Candidates:
        """Decode N prompts of P points (N, P, 2) to SAM's three masks each."""
        return self._lean.decode(embedding, points, beside=beside, needed=needed)

    def decode_several(self, embeddings: Sequence[EncodedFrame], points: torch.Tensor) -> Candidates:
        """Decode as many prompts of each of B images, (B, N, P, 2), to SAM's three masks each."""
        return self._lean.decode(together(embeddings), points.flatten(0, 1))

    def decode_boxes(self, embedding: EncodedFrame, boxes: torch.Tensor) -> Candidates:
        """Decode N prompts of a box each (N, 4) to SAM's three masks each."""
        return self._lean.decode_boxes(embedding, boxes)


def sam(
    name: str,
    *,
    module: Any = None,
    device: Device = None,
    precision: Precision = "auto",
    **settings: Any,
) -> TorchSam:
    """Load a SAM of the ``segment-anything`` package.

    Args:
        name: ``TYPE@/path/of/checkpoint``, TYPE one of ``vit_h``, ``vit_l``, ``vit_b``; or, with ``module``,
            any name to give it.
        module: a ready-made ``segment_anything`` model; no checkpoint is then read.
        device: where to compute; by default a GPU if there is one.
        precision: on accelerators: ``auto`` (bf16, or fp16 on a device without), ``fp32``, ``fp16``,
            ``bf16``. A CPU uses float32.
        settings: fields of :class:`~fmbseg.models.mask_generators.settings.EverythingSettings`.

    Raises:
        UnknownNameError: there is no such type or setting.
        WeightsError: the checkpoint is damaged or of another type.
        ValueError: the name has no checkpoint or leads through ``..``, or a setting is outside its range.
    """
    options = EverythingSettings.of(settings)
    if module is None:
        check_name(name, f"sam:{name}")
        module = _load(name)
    kind = LeanSegmentAnything if LeanDecoder.knows(module.mask_decoder) else SegmentAnything
    return TorchSam(f"sam:{name}", LICENSE, kind(module), options, device, precision)


def _load(name: str) -> Any:
    from segment_anything import sam_model_registry

    kind, at, path = name.partition("@")
    if kind not in TYPES:
        raise UnknownNameError("type of SAM", kind, TYPES)
    if not at or not path:
        raise ValueError(f"'sam:{name}' names no checkpoint: write sam:{kind}@/path/of/checkpoint.pth")
    file = Path(path).expanduser()
    state = read_state_dict(file)  # first, since building the largest model takes a while
    positions = state.get("image_encoder.pos_embed")
    actual = _WIDTHS.get(positions.shape[-1]) if positions is not None and positions.ndim == 4 else None
    hint = f" (its encoder has the width of {actual})" if actual not in (None, kind) else ""
    module = sam_model_registry[kind]()
    fit(module, state, file, f"SAM {kind}{hint}")
    return module
