"""OWL-ViT and OWLv2 of transformers.

Minderer et al. 2022, "Simple Open-Vocabulary Object Detection with Vision Transformers" (arXiv 2205.06230);
Minderer et al. 2023, "Scaling Open-Vocabulary Object Detection" (arXiv 2306.09683).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from fmbseg.models.concepts.detectors.detector import Detections, Thresholds
from fmbseg.models.concepts.word_features import WordFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

_SENTENCE = "a photo of a {}"  # the wording of the model's authors and of CLIP's


class _Photograph(NamedTuple):
    """Features (1, Q, C) and boxes (1, Q, 4) of a photograph, the same for every word."""

    features: torch.Tensor
    boxes: torch.Tensor


class Owl:
    """Compares the patches of a photograph, encoded once with their boxes, with each word.

    A word meets the patches only in a product, so words in one batch do not affect each other.

    Args:
        spec: the model's name in messages.
        module: ``OwlViTForObjectDetection`` or ``Owlv2ForObjectDetection``.
        tokenizer: turns its texts into tokens.
    """

    thresholds = Thresholds(score=0.1, own_score=0.0, box_nms=0.8)

    def __init__(self, spec: str, module: Any, tokenizer: Any) -> None:
        self.module = module
        self.square = module.config.model_type == "owlv2"  # pads a photograph to a square
        length = int(module.config.text_config.max_position_embeddings)
        self._features = WordFeatures(spec, tokenizer, length, self._read, _SENTENCE)

    def encode(self, pixels: torch.Tensor) -> _Photograph:
        """Encode (1, 3, side, side), boxes included."""
        grid, _ = self.module.image_embedder(pixel_values=pixels)
        features = grid.flatten(1, 2)
        return _Photograph(features, self.module.box_predictor(features, grid).float())

    def detect(self, encoded: _Photograph, words: Sequence[str]) -> Detections:
        """Look for a few words."""
        queries = torch.stack([self._features(word)[0] for word in words])[None]
        logits, _ = self.module.class_predictor(encoded.features, queries)
        scores = logits[0].float().sigmoid().T
        return Detections(encoded.boxes.expand(len(words), -1, -1), scores, scores)

    def forget(self) -> None:
        """Drop the features of words."""
        self._features.forget()

    def _read(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The unit vector (1, C) of one text."""
        device = self.module.device
        found = self.module.base_model.get_text_features(
            input_ids=ids.to(device), attention_mask=mask.to(device)
        )
        features = found.pooler_output
        unit: torch.Tensor = features / features.norm(dim=1, keepdim=True)
        return unit
