"""Grounding DINO and MM-Grounding-DINO of transformers.

Liu et al. 2023, "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection"
(arXiv 2303.05499); Zhao et al. 2024, "An Open and Comprehensive Pipeline for Unified Object Grounding and
Detection" (arXiv 2401.02361).
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from fmbseg.models.concepts.detectors.detector import Detections, Thresholds
from fmbseg.models.concepts.word_features import WordFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENDS_A_PHRASE = re.compile(r"[.?]")


class _Photograph(NamedTuple):
    """A photograph, and the model with a backbone that knows only that one."""

    pixels: torch.Tensor
    module: Any


class GroundingDino:
    """Looks for each word with a prompt of its own, a batch of prompts at a time.

    The usual prompt joins words: "cat. dog.". Its words do not attend to one another, but they share the 900
    queries and the image features into which the text is fused, so that a word's boxes would
    depend on its company. One word per prompt keeps them apart, at one pass of encoder and decoder per word.
    Since fusion begins in the encoder's first layer, all that can be kept of a photograph is the backbone's
    output.

    Args:
        spec: the model's name in messages.
        module: ``GroundingDinoForObjectDetection`` or ``MMGroundingDinoForObjectDetection``.
        tokenizer: turns its texts into tokens.
    """

    square = False
    thresholds = Thresholds(score=0.25, own_score=0.25, box_nms=0.8)  # the last is Grounded-SAM's

    def __init__(self, spec: str, module: Any, tokenizer: Any) -> None:
        self.module = module
        self._spec = spec
        # Only their tokens are kept, because the text is fused with each photograph.
        limit = int(module.config.max_text_len)
        self._tokens = WordFeatures(spec, tokenizer, limit, lambda ids, _: ids, sentence="{}.")
        self._not_of_a_word = torch.tensor(
            [*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids([".", "?"])]
        )

    def encode(self, pixels: torch.Tensor) -> _Photograph:
        """Run the backbone over (1, 3, h, w)."""
        whole = torch.ones(pixels[:, 0].shape, dtype=torch.long, device=pixels.device)
        backbone = _KeptBackbone(self.module.model.backbone, pixels, whole)
        inner = _with_child(self.module.model, "backbone", backbone)
        return _Photograph(pixels, _with_child(self.module, "model", inner))

    def detect(self, encoded: _Photograph, words: Sequence[str]) -> Detections:
        """Look for a few words."""
        texts = [self._tokens(self._phrase(word)) for word in words]
        ids, mask = (torch.stack(some).to(encoded.pixels.device) for some in zip(*texts, strict=True))
        longest = int(mask.sum(dim=1).max())
        ids, mask = ids[:, :longest], mask[:, :longest]
        output = encoded.module(
            pixel_values=encoded.pixels.expand(len(words), -1, -1, -1), input_ids=ids, attention_mask=mask
        )
        probabilities = output.logits.float().sigmoid()
        own = mask.bool() & ~torch.isin(ids, self._not_of_a_word.to(ids.device))
        of_the_word = probabilities[..., : ids.shape[1]] * own[:, None]
        return Detections(output.pred_boxes.float(), probabilities.amax(dim=2), of_the_word.amax(dim=2))

    def forget(self) -> None:
        """Drop what was kept for words."""
        self._tokens.forget()

    def _phrase(self, word: str) -> str:
        """A word in lower case, as in training, without anything that would split it into two phrases."""
        phrase = " ".join(_ENDS_A_PHRASE.sub(" ", word.lower()).split())
        if not phrase:
            raise ValueError(f"{word!r} is no text that {self._spec} can read: it has no token")
        return phrase


class _KeptBackbone(nn.Module):
    """Gives the backbone's output for one photograph, repeated for as many prompts as are asked for."""

    def __init__(self, backbone: Any, pixels: torch.Tensor, whole: torch.Tensor) -> None:
        super().__init__()
        self._features, self._positions = backbone(pixels, whole)
        self.position_embedding = backbone.position_embedding  # the model uses it for coarser maps

    def forward(
        self, pixels: torch.Tensor, _: torch.Tensor
    ) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], list[torch.Tensor]]:
        count = len(pixels)
        return (
            [(_repeated(feature, count), _repeated(mask, count)) for feature, mask in self._features],
            [_repeated(position, count) for position in self._positions],
        )


def _repeated(one: torch.Tensor, count: int) -> torch.Tensor:
    """A tensor (1, ...) as (count, ...), without a copy."""
    return one.expand(count, *one.shape[1:])


def _with_child(module: Any, name: str, child: nn.Module) -> Any:
    """A copy of the module with another child; the weights are shared, and the original stays as it is."""
    other = copy.copy(module)
    other.__dict__["_modules"] = {**module._modules, name: child}
    return other
