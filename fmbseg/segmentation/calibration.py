"""Certainty from a user's own photographs, which nobody labelled.

Pseudo labels are what views that were made apart agree on (see :mod:`fmbseg.segmentation.agreement`): the
head, the map of the image-text model that it learned from, and that model's map of the smaller mirrored
photograph. They are not independent, so the probabilities are too high where all are wrong together.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.certainty import DEFAULT_CERTAINTY, CertaintyCurve, HeadCertainty, check_certainty, fit_curve
from fmbseg.images import load_image
from fmbseg.models.text import embed_vocabulary
from fmbseg.segment_settings import KnowledgePreservation
from fmbseg.segmentation.agreement import View, gather_evidence
from fmbseg.segmentation.certainty import curve_for
from fmbseg.segmentation.classes import ResultClasses
from fmbseg.segmentation.encoding import SecondView, encode_images
from fmbseg.vocabularies import common_background_words
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from fmbseg.images import ImageInput
    from fmbseg.segmentation.reduction import EncodedImage
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import VocabularySource

    _Scored = tuple[NDArray[np.float32], NDArray[np.bool_]]

SCHEMA = 1
_BINS = 40
_SMALLER = 0.75
"""Size of the mirrored photograph."""


@dataclass(frozen=True)
class Calibration:
    """What photographs say about a head's certainty with some words.

    Args:
        head_sha256: of the head's weights.
        words: the classes that were asked for.
        photographs: how many were looked at.
        certainty: the curves, and below which certainty pixels stay blank.
        threshold: the score at which that certainty is reached, as the segmenter's settings make scores.
        edges: of the histogram's bins: scores, one more than bins.
        cells: in each bin, of all photographs together; those of background words are left out.
        agreed: how many of them all views agree on.
    """

    head_sha256: str
    words: tuple[str, ...]
    photographs: int
    certainty: HeadCertainty
    threshold: float
    edges: tuple[float, ...]
    cells: tuple[int, ...]
    agreed: tuple[int, ...]

    def applied_to(self, segmenter: OpenVocabSegmenter, certainty: float | None = None) -> OpenVocabSegmenter:
        """A segmenter with these curves in place of the head's own.

        Args:
            segmenter: of the head that was calibrated; it stays as it is.
            certainty: below which pixels stay blank; if not given, the one of the calibration.

        Raises:
            ValueError: it is another head's.
        """
        encoder = _aligned(segmenter)
        digest = encoder.to_save().digest()
        if digest != self.head_sha256:
            raise ValueError(
                f"the calibration is of another head (SHA-256 {self.head_sha256[:12]}..., this one has "
                f"{digest[:12]}...): run `fmbseg calibrate` with this one"
            )
        settings = replace(segmenter.settings, certainty=certainty)
        known = _knowing(encoder, self.certainty)
        return type(segmenter)(known, settings=settings, batch_size=segmenter.batch_size)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "fmbseg_calibration": SCHEMA,
            "head_sha256": self.head_sha256,
            "words": list(self.words),
            "photographs": self.photographs,
            "certainty": self.certainty.to_dict(),
            "threshold": self.threshold,
            "histogram": {"edges": list(self.edges), "cells": list(self.cells), "agreed": list(self.agreed)},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Calibration:
        """What :meth:`to_dict` turned into ``saved``.

        Raises:
            ValueError: it is none.
        """
        if saved.get("fmbseg_calibration") != SCHEMA:
            raise ValueError(f"it is not a calibration of schema {SCHEMA}, which `fmbseg calibrate` writes")
        try:
            histogram = saved["histogram"]
            return cls(
                str(saved["head_sha256"]),
                tuple(map(str, saved["words"])),
                int(saved["photographs"]),
                HeadCertainty.from_dict(saved["certainty"]),
                float(saved["threshold"]),
                *(tuple(histogram[name]) for name in ("edges", "cells", "agreed")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is not a calibration: {error}") from error


def calibrate(
    segmenter: OpenVocabSegmenter,
    images: Iterable[ImageInput],
    vocabulary: VocabularySource,
    certainty: float | None = None,
) -> Calibration:
    """Find out from photographs without labels how certain a head's words are.

    Args:
        segmenter: of a head with an image-text model that sees images; its settings say how words compete.
        images: taken as they are needed; some ten to fifty photographs like those to be segmented.
        vocabulary: the classes to be segmented.
        certainty: below which pixels are to stay blank; by default the head's own, or one half.

    Raises:
        ValueError: there is no image, the settings have a hubness or mixing of their own, the head is an
            exported one, or no score is as certain.
        ImageError: an image cannot be read.
    """
    encoder = _aligned(segmenter)
    own = encoder.certainty.default if encoder.certainty is not None else DEFAULT_CERTAINTY
    wanted = own if certainty is None else check_certainty("certainty", certainty)
    asked = Vocabulary.of(vocabulary)
    with torch.inference_mode():
        scored = [*_Views(segmenter, encoder, asked).of(images)]
    if not scored:
        raise ValueError("there is no photograph to calibrate with")
    alone, mixed = (
        [np.concatenate(parts) for parts in zip(*kind, strict=True)] for kind in zip(*scored, strict=True)
    )
    if not len(alone[0]) or not len(mixed[0]):
        raise ValueError(
            f"all {len(scored)} photographs are background to these words: show some that have them"
        )
    found = HeadCertainty(
        fit_curve(*alone),
        fit_curve(*mixed),
        wanted,
        {"photographs": len(scored), "words": len(asked), "views": ["head", "image-text model", "mirrored"]},
    )
    curve = curve_for(_knowing(encoder, found), segmenter.settings)
    if curve is None:
        raise ValueError("a calibration is for the head's own hubness, and for mixing by half or not at all")
    scores, right = alone if curve is found.alone else mixed
    edges = np.histogram_bin_edges(scores, _BINS)
    return Calibration(
        encoder.to_save().digest(),
        asked.names,
        len(scored),
        found,
        _threshold(curve, wanted),
        tuple(edges.tolist()),
        tuple(np.histogram(scores, edges)[0].tolist()),
        tuple(np.histogram(scores[right], edges)[0].tolist()),
    )


def _threshold(curve: CertaintyCurve, certainty: float) -> float:
    """The least score that was seen and is as certain."""
    least = curve.least_score(certainty)
    if least == np.inf:
        raise ValueError(
            f"no score on these photographs is as certain as {certainty:g}; the highest is "
            f"{curve.certainties[-1]:.2f}: ask for less, or for words that the image-text model knows "
            f"(`fmbseg words` tells)"
        )
    return max(least, curve.scores[0])


def _knowing(encoder: AlignedEncoder, certainty: HeadCertainty) -> AlignedEncoder:
    known = copy(encoder)
    known.config = replace(encoder.config, certainty=certainty)
    return known


def _aligned(segmenter: OpenVocabSegmenter) -> AlignedEncoder:
    if not isinstance(segmenter.encoder, AlignedEncoder):
        raise ValueError(
            f"{type(segmenter.encoder).__name__} has no image-text model to compare with: a calibration is "
            f"made and used with the head's folder"
        )
    return segmenter.encoder


class _Views:
    """Looks at photographs in the ways that must agree."""

    def __init__(self, segmenter: OpenVocabSegmenter, encoder: AlignedEncoder, asked: Vocabulary) -> None:
        self._encoder, self._settings = encoder, segmenter.settings
        self._batch = segmenter.batch_size
        self._words, classes = segmenter.competing(ResultClasses.of(asked, segmenter.settings.background))
        nothing = -1 if classes.background is None else classes.background
        self._front = classes.result_of != nothing
        known = encoder.prototypes
        others = Vocabulary.of(common_background_words())
        self._others = embed_vocabulary(encoder.text_encoder, others) if known is None else known.vectors
        self._short_side = (segmenter.settings.preserve or KnowledgePreservation()).short_side

    def of(self, images: Iterable[ImageInput]) -> Iterable[tuple[_Scored, _Scored]]:
        """For each image the scores of the head alone and of the mix, and whether the others agree."""
        arrays = (load_image(image) for image in images)
        windows = self._settings.windows
        for encoded in encode_images(self._encoder, arrays, windows, batch_size=self._batch):
            head = self._view(encoded.text_map)
            dense = self._dense(encoded, self._short_side)
            flipped = replace(encoded, image=np.ascontiguousarray(encoded.image[:, ::-1]))
            mirrored = self._view(self._dense(flipped, round(_SMALLER * self._short_side)).flip(-1))
            mix = self._view((encoded.text_map + dense) / 2)  # similarities are linear in the map
            yield self._scored(head, [self._view(dense), mirrored]), self._scored(mix, [head, mirrored])

    def _view(self, text_map: torch.Tensor) -> View:
        words, others = self._words.to(text_map), self._others.to(text_map)
        return View(text_map, words, others, self._settings.hubness or 0.0)

    def _dense(self, encoded: EncodedImage, short_side: int) -> torch.Tensor:
        text = self._encoder.text_encoder
        return SecondView(text, short_side=short_side, batch_size=4 * self._batch).of(encoded)

    def _scored(self, first: View, others: list[View]) -> _Scored:
        seen = gather_evidence(first, others)
        kept = self._front[seen.words]  # background is never asked for its certainty
        return seen.scores[kept], seen.agreed[kept]
