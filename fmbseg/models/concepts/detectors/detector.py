"""What all text-prompted detectors share: boxes with scores for each of a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class Detections(NamedTuple):
    """What a detector finds for B words; Q boxes each.

    Attributes:
        boxes: (B, Q, 4), centre x and y, width and height, as fractions of the detector's frame.
        scores: (B, Q), 0 to 1.
        own_scores: (B, Q), how well the word itself, and not its sentence, fits the box, 0 to 1.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    own_scores: torch.Tensor


class Thresholds(NamedTuple):
    """Which boxes are taken by default.

    Attributes:
        score: a box with this score or less is left out.
        own_score: a box that fits the word itself no better than this is left out.
        box_nms: of two boxes of a word whose IoU is above this, the one with the lower score is left out.
    """

    score: float
    own_score: float
    box_nms: float


class Detector(Protocol):
    """A text-prompted detector.

    Attributes:
        module: the model in transformers.
        square: whether the frame is a square of the photograph's longer side; if not, it is the photograph.
        thresholds: those of transformers' post-processing where it has them.
    """

    module: Any
    square: bool
    thresholds: Thresholds

    def encode(self, pixels: torch.Tensor) -> Any:
        """Do what does not depend on words, once for a photograph (1, 3, h, w)."""
        ...

    def detect(self, encoded: Any, words: Sequence[str]) -> Detections:
        """Look for a few words, each by itself, in one photograph."""
        ...

    def forget(self) -> None:
        """Drop what was kept for words, for example before a move to another device."""
        ...
