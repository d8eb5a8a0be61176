"""Open-vocabulary semantic segmentation without a single human label (FMbSeg, arXiv 2403.09307).

Three objects, used in this order:

1. :class:`PseudoLabeler` (Stage 1) labels a folder of photographs with an image-text and a mask model.
2. :class:`Aligner` (Stage 2) teaches a frozen encoder's patch features the text space from those labels.
3. :class:`OpenVocabSegmenter` segments any image with any words.

Importing this package imports neither torch nor a model library: names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # for type checkers alone: what is named here asks this module for the version
    from fmbseg.aligned.card import HeadCard
    from fmbseg.aligned.encoder import AlignedEncoder
    from fmbseg.alignment.aligner import Aligner
    from fmbseg.evaluation.datasets import open_data
    from fmbseg.evaluation.evaluate import evaluate
    from fmbseg.labeling.labeler import PseudoLabeler
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.masks import MaskSet
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import (
        Background,
        MaskNaming,
        MaskSnap,
        Pamr,
        RegionNaming,
        SecondLook,
        SegmentSettings,
        WindowSettings,
    )
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import Vocabulary

_HOMES = {
    "AlignedEncoder": "fmbseg.aligned.encoder",
    "Aligner": "fmbseg.alignment.aligner",
    "Background": "fmbseg.segment_settings",
    "HeadCard": "fmbseg.aligned.card",
    "LabelSet": "fmbseg.labels.label_set",
    "MaskNaming": "fmbseg.segment_settings",
    "MaskSet": "fmbseg.masks",
    "MaskSnap": "fmbseg.segment_settings",
    "OpenVocabSegmenter": "fmbseg.segmentation.segmenter",
    "Pamr": "fmbseg.segment_settings",
    "PseudoLabeler": "fmbseg.labeling.labeler",
    "RegionNaming": "fmbseg.segment_settings",
    "SecondLook": "fmbseg.segment_settings",
    "SegmentSettings": "fmbseg.segment_settings",
    "Segmentation": "fmbseg.results",
    "Vocabulary": "fmbseg.vocabulary",
    "WindowSettings": "fmbseg.segment_settings",
    "evaluate": "fmbseg.evaluation.evaluate",
    "open_data": "fmbseg.evaluation.datasets",
}

__all__ = [
    "AlignedEncoder",
    "Aligner",
    "Background",
    "HeadCard",
    "LabelSet",
    "MaskNaming",
    "MaskSet",
    "MaskSnap",
    "OpenVocabSegmenter",
    "Pamr",
    "PseudoLabeler",
    "RegionNaming",
    "SecondLook",
    "SegmentSettings",
    "Segmentation",
    "Vocabulary",
    "WindowSettings",
    "__version__",
    "evaluate",
    "open_data",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fmbseg' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
