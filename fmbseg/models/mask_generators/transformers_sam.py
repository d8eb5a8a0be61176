"""SAM, SAM 2 and SAM-HQ of transformers, from the Hub or a folder.

Kirillov et al. 2023, "Segment Anything" (arXiv 2304.02643); Ravi et al. 2024, "SAM 2: Segment Anything in
Images and Videos" (arXiv 2408.00714); Ke et al. 2023, "Segment Anything in High Quality" (arXiv 2306.01567).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.model_folder import license_of, read_object
from fmbseg.models.loading.spec_options import join_options, split_options
from fmbseg.models.loading.transformers_files import (
    CONFIG,
    load_transformer,
    pixel_transform,
    transformers_folder,
)
from fmbseg.models.mask_generators.candidates import EVERYTHING, Candidates, Needed
from fmbseg.models.mask_generators.lean_decoder import point_labels
from fmbseg.models.mask_generators.sam_frame import SamFrame, SquashedFrame
from fmbseg.models.mask_generators.settings import EverythingSettings
from fmbseg.models.mask_generators.torch_sam import TorchSam

if TYPE_CHECKING:
    from fmbseg.devices import Device
    from fmbseg.models.loading.precision import Precision
    from fmbseg.models.mask_generators.sam_frame import Frame
    from fmbseg.models.transform import PixelTransform


class _Family(NamedTuple):
    model_class: str
    model_types: tuple[str, ...]
    frame: type[SamFrame] | type[SquashedFrame]


_FAMILIES = {
    "hf-sam": _Family("SamModel", ("sam",), SamFrame),
    "hf-sam2": _Family("Sam2Model", ("sam2", "sam2_video"), SquashedFrame),
    "hf-sam-hq": _Family("SamHQModel", ("sam_hq",), SamFrame),
}


class TransformersSam:
    """A SAM of transformers behind :class:`~fmbseg.models.mask_generators.torch_sam.SamModel`.

    Args:
        module: the model.
        transform: normalises the pixels.
        frame: how images are placed in the frame.
        side: side of the frame in pixels.
    """

    def __init__(
        self,
        module: Any,
        transform: PixelTransform,
        frame: type[SamFrame] | type[SquashedFrame],
        side: int,
    ) -> None:
        self.module = module
        self._transform, self._frame, self._side = transform, frame, side

    def frame(self, size: tuple[int, int]) -> Frame:
        """Place an image in the frame."""
        return self._frame(size, self._side, self._transform)

    def encode(self, pixels: torch.Tensor) -> list[dict[str, Any]]:
        """Encode (B, 3, side, side), to what the model takes in place of the pixels of each image."""
        encoded = self.module.get_image_embeddings(pixels)
        found = {"image_embeddings": encoded}
        if isinstance(encoded, tuple):  # SAM-HQ, whose decoder reads the first of the encoder's middle layers
            found = {"image_embeddings": encoded[0], "intermediate_embeddings": list(encoded[1][:1])}
        return [
            {
                name: [one[index : index + 1] for one in maps]  # SAM 2 has maps of several resolutions
                if isinstance(maps, list)
                else maps[index : index + 1]
                for name, maps in found.items()
            }
            for index in range(len(pixels))
        ]

    def feature_map(self, embedding: dict[str, Any]) -> torch.Tensor:
        """Return the map (256, side / 16, side / 16); in SAM 2 it follows two of higher resolution."""
        maps = embedding["image_embeddings"]
        smallest: torch.Tensor = maps if isinstance(maps, torch.Tensor) else maps[-1]
        return smallest[0]

    def decode(
        self, embedding: dict[str, Any], points: torch.Tensor, *, beside: int = 0, needed: Needed = EVERYTHING
    ) -> Candidates:
        """Decode N prompts of P points (N, P, 2) to three masks each."""
        del needed  # transformers' decoders draw every mask
        labels = point_labels(points, beside)[None]
        return self._decoded(embedding, input_points=points[None], input_labels=labels)

    def decode_boxes(self, embedding: dict[str, Any], boxes: torch.Tensor) -> Candidates:
        """Decode N prompts of a box each (N, 4) to three masks each."""
        return self._decoded(embedding, input_boxes=boxes[None])

    def _decoded(self, embedding: dict[str, Any], **prompts: torch.Tensor) -> Candidates:
        output = self.module(**embedding, multimask_output=True, **prompts)
        return Candidates(output.pred_masks[0], output.iou_scores[0])


def hf_sam(name: str, *, hub: HubOptions | None = None, **options: Any) -> TorchSam:
    """Load a SAM of transformers, for example ``facebook/sam-vit-huge``.

    Args:
        name: ``owner/name`` on the Hub or ``local-dir:/path``; ``?revision=...`` may follow.
        hub: how files are looked for.
        options: ``device`` and ``precision``, as for
            :class:`~fmbseg.models.mask_generators.torch_sam.TorchSam`; and the settings of
            :class:`~fmbseg.models.mask_generators.settings.EverythingSettings`.

    Raises:
        UnknownNameError: there is no such setting.
        SpecError: the spec has an unknown option.
        AssetUnavailableError: files are not here and cannot be fetched.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        ValueError: a setting is outside its range.
    """
    return _load("hf-sam", name, hub, **options)


def hf_sam2(name: str, *, hub: HubOptions | None = None, **options: Any) -> TorchSam:
    """Load a SAM 2 of transformers, for example ``facebook/sam2.1-hiera-large``; images only.

    Arguments and errors are those of :func:`hf_sam`.
    """
    return _load("hf-sam2", name, hub, **options)


def hf_sam_hq(name: str, *, hub: HubOptions | None = None, **options: Any) -> TorchSam:
    """Load a SAM-HQ of transformers, for example ``syscv-community/sam-hq-vit-base``.

    Arguments and errors are those of :func:`hf_sam`.
    """
    return _load("hf-sam-hq", name, hub, **options)


def _load(
    family: str,
    name: str,
    hub: HubOptions | None,
    *,
    device: Device = None,
    precision: Precision = "auto",
    **settings: Any,
) -> TorchSam:
    import transformers

    options, (model_class, model_types, frame) = EverythingSettings.of(settings), _FAMILIES[family]
    bare, written = split_options(name, ("revision",), family=family)
    hub = (hub or HubOptions()).at(written.get("revision"))
    folder = transformers_folder(bare, hub)
    config = read_object(folder / CONFIG)
    kind = config.get("model_type")
    if kind not in model_types:
        raise WeightsError(
            f"{folder / CONFIG} is of model_type {kind!r}, not {model_types[0]!r}: "
            f"'hf-sam:' is for SAM, 'hf-sam2:' for SAM 2, 'hf-sam-hq:' for SAM-HQ"
        )
    transform = pixel_transform(folder)
    module = load_transformer(getattr(transformers, model_class), folder)
    model = TransformersSam(module, transform, frame, int(module.config.prompt_encoder_config.image_size))
    spec = join_options(f"{family}:{bare}", {"revision": hub.revision})
    return TorchSam(spec, license_of(folder), model, options, device, precision)
