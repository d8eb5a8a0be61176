"""OmDet-Turbo of transformers.

Zhao et al. 2024, "Real-time Transformer-based Open-Vocabulary Detection with Efficient Fusion Head"
(arXiv 2403.06892).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from fmbseg.models.concepts.detectors.detector import Detections, Thresholds
from fmbseg.models.concepts.word_features import WordFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

_TASK = "Detect {}."  # the wording of transformers' processor


class OmDetTurbo:
    """Looks for each word with a task of its own, a batch of tasks at a time.

    The usual task names all words, "Detect cat, dog.", and its queries are chosen for all of them, so that a
    word's boxes would depend on its company. One word per task keeps them apart, at one decoder pass per
    word; text is fused there, so that backbone and encoder run once per photograph.

    Args:
        spec: the model's name in messages.
        module: ``OmDetTurboForObjectDetection``.
        tokenizer: turns its texts into tokens.
    """

    square = False
    thresholds = Thresholds(score=0.3, own_score=0.0, box_nms=0.5)

    def __init__(self, spec: str, module: Any, tokenizer: Any) -> None:
        self.module = module
        length = int(module.config.text_config.max_position_embeddings)
        self._words = WordFeatures(spec, tokenizer, length, self._read_word)
        self._tasks = WordFeatures(spec, tokenizer, length, self._read_task, _TASK)

    def encode(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Encode (1, 3, side, side) to the maps that the decoder takes."""
        encoded = self.module.encoder(self.module.vision_backbone(pixels), return_dict=True)
        return list(encoded.extracted_states)

    def detect(self, encoded: list[torch.Tensor], words: Sequence[str]) -> Detections:
        """Look for a few words."""
        tasks = [self._tasks(word)[0] for word in words]
        mask = pad_sequence([torch.ones(len(task), dtype=torch.long) for task in tasks], batch_first=True)
        output = self.module.decoder(
            [one.expand(len(words), -1, -1, -1) for one in encoded],
            torch.stack([self._words(word)[0] for word in words])[None],
            pad_sequence(tasks),
            mask.to(tasks[0].device),
            return_dict=True,
        )
        scores = output.decoder_classes[-1][..., 0].float().sigmoid()
        return Detections(output.decoder_coords[-1].float(), scores, scores)

    def forget(self) -> None:
        """Drop the features of words."""
        self._words.forget()
        self._tasks.forget()

    def _read_word(self, ids: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """The features (1, C) of a word."""
        features: torch.Tensor = self.module.language_backbone(
            ids.to(self.module.device), encode_type="class"
        )
        return features

    def _read_task(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The features (1, T, C) of a task of T tokens."""
        ids, mask = ids.to(self.module.device), mask.to(self.module.device)
        features: torch.Tensor = self.module.language_backbone(ids, mask=mask, encode_type="task")[0]
        return features.transpose(0, 1)
