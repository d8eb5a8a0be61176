"""Stage 1 as one would put it together from the libraries' own pieces, for comparison.

A crop at a time through the image-text model; ``SamPredictor`` for Stage 1.1; ``SamAutomaticMaskGenerator``
for Stage 1.2, which encodes the photograph again. With ONNX: one run of the encoder for each stage, one run
of the decoder for each prompt, every mask at full size. Names, points and filters are those of fmbseg, so
that the output is the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torchvision.ops import nms  # type: ignore[import-untyped]

from fmbseg.images import load_image
from fmbseg.labeling.classes import Classes
from fmbseg.labeling.mask_naming import name_masks
from fmbseg.labeling.point_prompts import query_points
from fmbseg.labeling.presence import detect_classes
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE
from fmbseg.masks import MaskSet
from fmbseg.models.mask_generators.sam_frame import SamFrame
from fmbseg.windows import WindowPlan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.mask_generators.settings import EverythingSettings


class Labelled(NamedTuple):
    """One mask that was labelled: stage, class, run lengths, size of the photograph."""

    stage: int
    class_id: int
    counts: str
    size: tuple[int, int]


class PlainMasks(Protocol):
    """The two calls of a mask model, each of which encodes the photograph."""

    def from_points(self, image: NDArray[np.uint8], points: list[NDArray[np.float32]]) -> MaskSet:
        """One mask for each set of points."""
        ...

    def everything(self, image: NDArray[np.uint8]) -> MaskSet:
        """All masks of a grid."""
        ...


def label_plainly(
    path: Path,
    out: Path,
    prototypes: torch.Tensor,
    encoder: ImageTextEncoder,
    masks: PlainMasks,
    settings: LabelingSettings,
) -> list[Labelled]:
    """Label one photograph and write what was found beside others in ``out``, a file each."""
    image = load_image(path)
    pooled, dense = describe_plainly(image, encoder, settings)
    detected = detect_classes(
        pooled,
        Classes.plain(prototypes),
        min_crops=settings.min_crops,
        min_similarity=settings.min_crop_similarity,
    )
    size = (image.shape[0], image.shape[1])
    found: list[Labelled] = []
    if detected:
        points = query_points(dense, prototypes, detected, size, points_per_class=settings.points_per_class)
        pointed = masks.from_points(image, points)
        good = np.flatnonzero(_passes(pointed, settings))
        found += _named(POINT_STAGE, pointed.select(good), [detected[index] for index in good])
        everything = masks.everything(image)
        everything = everything.select(_passes(everything, settings))
        names = name_masks(everything, dense, Classes.plain(prototypes), detected)
        found += _named(EVERYTHING_STAGE, everything, names.class_ids.tolist())
    (out / f"{path.stem}.json").write_text(json.dumps(found))
    return found


@torch.inference_mode()
def describe_plainly(
    image: NDArray[np.uint8], encoder: ImageTextEncoder, settings: LabelingSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode one crop after the other; the pooled vectors and the stitched map."""
    plan = WindowPlan.crops(
        (image.shape[0], image.shape[1]),
        short_side=settings.short_side,
        crop=encoder.crop_size,
        stride=encoder.stride,
        overlap=settings.crop_overlap,
    )
    crops = plan.cut(encoder.transform(image, plan.image_size))
    features = [encoder.encode_image(crop[None]) for crop in crops]
    dense = plan.stitch([one.dense[0] for one in features])
    return torch.cat([one.pooled for one in features]), F.normalize(dense, dim=0)


class SegmentAnythingMasks:
    """``SamPredictor`` and ``SamAutomaticMaskGenerator``, as the package's own examples use them.

    Args:
        module: of ``segment_anything``.
        settings: thresholds and points.
    """

    def __init__(self, module: Any, settings: EverythingSettings) -> None:
        from segment_anything import SamAutomaticMaskGenerator, SamPredictor

        self._predictor = SamPredictor(module)
        self._automatic = SamAutomaticMaskGenerator(
            module,
            points_per_side=settings.points_per_side,
            points_per_batch=settings.points_per_batch,
            pred_iou_thresh=settings.predicted_iou_threshold,
            stability_score_thresh=settings.stability_threshold,
            stability_score_offset=settings.stability_offset,
            box_nms_thresh=settings.box_nms_threshold,
        )

    def from_points(self, image: NDArray[np.uint8], points: list[NDArray[np.float32]]) -> MaskSet:
        """Encode the photograph, then predict one set of points after the other."""
        self._predictor.set_image(image)
        best = []
        for one in points:
            masks, scores, _ = self._predictor.predict(one, np.ones(len(one)), multimask_output=True)
            choice = int(scores.argmax())
            best.append(MaskSet.from_masks(masks[choice][None], scores[choice][None]))
        return MaskSet.concat(best)

    def everything(self, image: NDArray[np.uint8]) -> MaskSet:
        """Encode the photograph again and generate."""
        records = self._automatic.generate(image)
        found = [
            MaskSet.from_masks(
                record["segmentation"][None], [record["predicted_iou"]], [record["stability_score"]]
            )
            for record in records
        ]
        return MaskSet.concat([MaskSet.empty((image.shape[0], image.shape[1])), *found])


class OnnxMasks:
    """An ONNX pair, a call a prompt, with the full-size masks that the decoder's graph itself makes.

    Args:
        encoder: session of the encoder.
        decoder: session of the decoder.
        settings: thresholds and points.
    """

    def __init__(self, encoder: Any, decoder: Any, settings: EverythingSettings) -> None:
        self._encoder, self._decoder, self._settings = encoder, decoder, settings

    def from_points(self, image: NDArray[np.uint8], points: list[NDArray[np.float32]]) -> MaskSet:
        """Encode the photograph, then decode one set of points after the other."""
        frame, embedding = self._encode(image)
        decoded = [self._decode(frame, embedding, one) for one in points]
        return MaskSet.concat([MaskSet.from_masks((masks > 0)[None], [iou]) for masks, iou in decoded])

    def everything(self, image: NDArray[np.uint8]) -> MaskSet:
        """Encode the photograph again and decode every point of the grid."""
        settings = self._settings
        frame, embedding = self._encode(image)
        height, width = frame.size
        kept = [MaskSet.empty(frame.size)]
        places = (np.arange(settings.points_per_side) + 0.5) / settings.points_per_side
        for y in places * height:
            for x in places * width:
                logits, iou = self._decode(frame, embedding, np.array([[x, y]], np.float32))
                outer = (logits > -settings.stability_offset).sum()
                stability = (logits > settings.stability_offset).sum() / max(outer, 1)
                if iou > settings.predicted_iou_threshold and stability >= settings.stability_threshold:
                    kept.append(MaskSet.from_masks((logits > 0)[None], [iou], [stability]))
        masks = MaskSet.concat(kept)
        masks = masks.select(masks.areas > 0)
        boxes = torch.from_numpy(masks.boxes) - torch.tensor([0.0, 0.0, 1.0, 1.0])
        order = nms(boxes, torch.from_numpy(masks.predicted_iou), settings.box_nms_threshold)
        return masks.select(order.numpy())

    def _encode(self, image: NDArray[np.uint8]) -> tuple[SamFrame, NDArray[np.float32]]:
        frame = SamFrame((image.shape[0], image.shape[1]))
        (embedding,) = self._encoder.run(None, {"input": frame.pixels(image).numpy()})
        return frame, embedding

    def _decode(
        self, frame: SamFrame, embedding: NDArray[np.float32], points: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float]:
        """The full-size logits (H, W) of one prompt, and its predicted IoU."""
        padded = np.concatenate([frame.points(points), np.zeros((1, 2), np.float32)])
        masks, iou = self._decoder.run(
            ["masks", "iou_predictions"],
            {
                "image_embeddings": embedding,
                "point_coords": padded[None],
                "point_labels": np.append(np.ones(len(points), np.float32), np.float32(-1))[None],
                "mask_input": np.zeros((1, 1, 256, 256), np.float32),
                "has_mask_input": np.zeros(1, np.float32),
                "orig_im_size": np.array(frame.size, np.float32),
            },
        )
        return masks[0, 0], float(iou[0, 0])


def _named(stage: int, masks: MaskSet, class_ids: list[int]) -> list[Labelled]:
    return [
        Labelled(stage, index, rle.decode("ascii"), masks.size)
        for index, rle in zip(class_ids, masks.rles, strict=True)
    ]


def _passes(masks: MaskSet, settings: LabelingSettings) -> NDArray[np.bool_]:
    fraction = masks.areas / (masks.size[0] * masks.size[1])
    return np.asarray(
        (fraction > 0)
        & (fraction >= settings.min_area)
        & (fraction <= settings.max_area)
        & (masks.predicted_iou >= settings.min_predicted_iou)
    )
