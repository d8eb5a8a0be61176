"""From an image's text-space map to its segmentation: decoding, background, thresholds, refinement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fmbseg.masks import MaskSet
from fmbseg.results import Segmentation, Similarities, TopClasses
from fmbseg.segment_settings import MaskNaming, MaskSnap, Pamr, RegionNaming
from fmbseg.segmentation import pamr
from fmbseg.segmentation.classes import NO_CLASS
from fmbseg.segmentation.decoding import Decoded, SecondMap, decode
from fmbseg.segmentation.mask_naming import Contest, decode_contest, decode_masks, paint_masks
from fmbseg.segmentation.snapping import snap_to_masks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.certainty import CertaintyCurve
    from fmbseg.models.contracts import MaskGenerator
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.segmentation.classes import ResultClasses
    from fmbseg.segmentation.cutouts import Cutouts

_MOST_REFINED = 2**25
"""Values that PAMR refines at once, at most (128 MB): beyond them on a smaller grid."""

_PIXELS_AT_ONCE = 2**18
"""Pixels whose classes are looked up at once, at most: on the way a pixel takes many times its result."""


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image and what the encoder makes of it.

    Args:
        image: RGB, uint8, (H, W, 3).
        pixels: as the encoder saw them, (3, h, w), resized.
        text_map: (D, rows, columns).
        second: what else is mixed in.
    """

    image: NDArray[np.uint8]
    pixels: torch.Tensor
    text_map: torch.Tensor
    second: SecondMap | None = None

    def with_constant(self) -> EncodedImage:
        """The same image with one more dimension that is 1 everywhere, for what is the same at every pixel.

        Up-sampling leaves it 1, so a prototype's value in it is added to the similarity exactly.
        """
        second = self.second
        if second is not None:
            second = replace(second, text_map=_with_ones(second.text_map))
        return replace(self, text_map=_with_ones(self.text_map), second=second)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[0], self.image.shape[1]


def _with_ones(text_map: torch.Tensor) -> torch.Tensor:
    return torch.cat([text_map, torch.ones_like(text_map[:1])])


def segment_encoded(
    encoded: EncodedImage,
    prototypes: torch.Tensor,
    classes: ResultClasses,
    settings: SegmentSettings,
    generator: MaskGenerator | None = None,
    curve: CertaintyCurve | None = None,
    cutouts: Cutouts | None = None,
) -> Segmentation:
    """Give every pixel of an encoded image a class of the result.

    Args:
        encoded: the image.
        prototypes: (K, D), of the classes that are asked for.
        classes: what these lead to.
        settings: background, thresholds and refinement.
        generator: of masks, for a refinement that takes masks.
        curve: how likely a word is right by its score, if that is known.
        cutouts: sees masks alone, for a refinement that asks for it.
    """
    decoded = _decoded(encoded, prototypes, classes, settings, generator, cutouts)
    scores, confidence = decoded.scores.float().cpu().numpy(), _confidence(decoded, settings)
    measured = confidence if confidence is not None and settings.background.rule == "softmax" else scores
    best = _top(decoded, classes, settings.top)
    labels = _labels(decoded, measured, classes, settings)
    if generator is not None and isinstance(settings.refine, MaskSnap):
        masks = generator.begin(encoded.image).everything()
        labels, scores = snap_to_masks(labels, scores, masks, settings.refine.min_share)
    certainty = None if curve is None else curve.of(scores)
    if certainty is not None and settings.certainty:
        blank = certainty < settings.certainty
        if classes.background is not None:
            blank &= labels != classes.background
        labels[blank] = NO_CLASS
    return Segmentation(
        labels=labels,
        scores=scores,
        names=classes.names,
        image=encoded.image,
        background=classes.rule,
        confidence=confidence if settings.confidence else None,
        certainty=certainty,
        top=best,
        similarities=Similarities(
            encoded.text_map.float().cpu().numpy(), prototypes.float().cpu().numpy(), classes.asked.names
        ),
        device=str(encoded.text_map.device),
    )


def _decoded(
    encoded: EncodedImage,
    prototypes: torch.Tensor,
    classes: ResultClasses,
    settings: SegmentSettings,
    generator: MaskGenerator | None,
    cutouts: Cutouts | None,
) -> Decoded:
    """The best words of every pixel, refined or of whole masks where the settings say so."""
    top = max(settings.top, 2 if settings.min_margin else 1)
    temperature = settings.temperature if settings.needs_softmax else None
    wanted: Any = {"second": encoded.second, "top": top, "temperature": temperature}
    if isinstance(settings.refine, Pamr):
        return _decode_refined(encoded, prototypes, settings.refine, top, temperature)
    if generator is None or not isinstance(settings.refine, MaskNaming):
        return decode(encoded.text_map, prototypes, encoded.size, **wanted)
    contest = _contest(encoded, classes, settings.refine, cutouts)
    if contest is None:
        decoded = decode(encoded.text_map, prototypes, encoded.size, **wanted)
    else:
        decoded = decode_contest(encoded.text_map, prototypes, encoded.size, contest, **wanted)
    masks = _masks_to_name(generator, encoded, decoded, classes, settings.refine)
    masks = masks.select(masks.areas > 0)
    if len(masks):
        named = decode_masks(masks, encoded.text_map, prototypes, contest=contest, **wanted)
        paint_masks(decoded, masks, named)
    return decoded


def _confidence(decoded: Decoded, settings: SegmentSettings) -> NDArray[np.float32] | None:
    """The best word's share of the softmax, if it is known; uses up ``decoded.log_sum``."""
    if decoded.log_sum is None:
        return None
    share = decoded.log_sum.neg_().add_(decoded.scores, alpha=1 / settings.temperature).exp_()
    found: NDArray[np.float32] = share.float().cpu().numpy()
    return found


def _masks_to_name(
    generator: MaskGenerator,
    encoded: EncodedImage,
    decoded: Decoded,
    classes: ResultClasses,
    settings: MaskNaming,
) -> MaskSet:
    """All masks of an image, or those at points in the regions of what was decoded."""
    if not isinstance(settings, RegionNaming):
        return generator.begin(encoded.image).everything()
    from fmbseg.segmentation.regions import region_points  # needs SciPy, which takes a while to load

    labels = classes.result_of[decoded.labels.cpu().numpy()]
    points = region_points(labels, points=settings.points, min_area=settings.min_area)
    if not points:
        return MaskSet.empty(encoded.size)
    masks = generator.begin(encoded.image).prompt(points)
    sure = masks.predicted_iou >= settings.min_predicted_iou
    return masks.select(sure & (masks.stability >= settings.min_stability))


def _contest(
    encoded: EncodedImage, classes: ResultClasses, settings: MaskNaming, cutouts: Cutouts | None
) -> Contest | None:
    """How words win masks against those of the background, where there are both."""
    look = settings.second_look
    if classes.background is None or look is None or cutouts is None:
        return None
    background = torch.from_numpy(classes.result_of == classes.background).to(encoded.text_map.device)
    if background.all() or not background.any():  # a rule without words
        return None
    return Contest(background, look, encoded.image, cutouts)


def _labels(
    decoded: Decoded, measured: NDArray[np.float32], classes: ResultClasses, settings: SegmentSettings
) -> NDArray[np.int32]:
    """From the best words to the result's classes, some rows at a time; uses up ``decoded.labels``."""
    words = decoded.labels.cpu().numpy()
    labels = words if decoded.top_labels is None else np.empty_like(words)
    least = classes.thresholds(settings.class_thresholds)
    step = max(1, _PIXELS_AT_ONCE // words.shape[1])
    for start in range(0, len(words), step):
        rows = slice(start, start + step)
        found = classes.result_of[words[rows]]
        limit = settings.background.threshold
        if limit is not None:
            at, scores = settings.background.at_threshold, measured[rows]
            found[scores <= limit if at else scores < limit] = 0
        if least is not None:
            found[measured[rows] < least[found]] = (
                NO_CLASS if classes.background is None else classes.background
            )
        if settings.min_margin:
            found[_is_close(decoded, rows, classes, settings.min_margin)] = NO_CLASS
        labels[rows] = found
    return labels


def _is_close(decoded: Decoded, rows: slice, classes: ResultClasses, margin: float) -> NDArray[np.bool_]:
    """Where the best two words are of different classes and differ by less than ``margin``."""
    if decoded.top_labels is None or decoded.top_scores is None:  # there is one word only
        return np.zeros(decoded.labels[rows].shape, dtype=np.bool_)
    first, second = classes.result_of[decoded.top_labels[:2, rows].cpu().numpy()]
    gap = (decoded.top_scores[0, rows] - decoded.top_scores[1, rows]).float().cpu().numpy()
    return np.asarray((gap < margin) & (first != second))


def _top(decoded: Decoded, classes: ResultClasses, wanted: int) -> TopClasses | None:
    if wanted == 1:
        return None
    labels = decoded.labels[None] if decoded.top_labels is None else decoded.top_labels[:wanted]
    scores = decoded.scores[None] if decoded.top_scores is None else decoded.top_scores[:wanted]
    return TopClasses(classes.result_of[labels.cpu().numpy()], scores.float().cpu().numpy())


def _decode_refined(
    encoded: EncodedImage, prototypes: torch.Tensor, settings: Pamr, top: int, temperature: float | None
) -> Decoded:
    """Refine the similarities of the words that win somewhere, then decode these."""
    second = encoded.second
    coarse = decode(encoded.text_map, prototypes, _grid(encoded, 1), second=second)
    winners = coarse.labels.unique().long()  # type: ignore[no-untyped-call]
    height, width = _grid(encoded, len(winners))
    pixels = encoded.pixels.to(encoded.text_map)
    small = torch.nn.functional.interpolate(pixels[None], (height, width), mode="bilinear", antialias=True)[0]
    similarity = torch.einsum("kd,dhw->khw", prototypes[winners], encoded.text_map)
    if second is not None:
        own = torch.einsum("kd,dhw->khw", prototypes[winners], second.text_map)
        similarity = second.mix(similarity, own)
    whole = torch.nn.functional.interpolate(similarity[None], (height, width), mode="bilinear")[0]
    refined = pamr.refine(whole, small, settings)
    one_each = torch.eye(len(winners)).to(refined)  # the refined map's dimensions are the words themselves
    found = decode(refined, one_each, encoded.size, top=top, temperature=temperature)
    named = winners.int()
    return found._replace(
        labels=named[found.labels],
        top_labels=None if found.top_labels is None else named[found.top_labels],
    )


def _grid(encoded: EncodedImage, classes: int) -> tuple[int, int]:
    """Height and width at which so many classes are refined: the encoder's pixels, or fewer."""
    height, width = encoded.pixels.shape[-2:]
    scale = min(1.0, (_MOST_REFINED / (classes * height * width)) ** 0.5)
    return max(1, int(height * scale)), max(1, int(width * scale))
