"""SAM 3 and SAM3-LiteText of transformers, from the Hub or a folder: from a word to all its instances.

Carion et al. 2025, "SAM 3: Segment Anything with Concepts". A photograph is encoded once; a word costs one
pass of the detector over its features. The output is scored and cut as transformers' post-processing does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from pycocotools import mask as coco

from fmbseg.devices import Device, find_device
from fmbseg.masks import MaskSet
from fmbseg.models.concepts.word_features import WordFeatures, batches
from fmbseg.models.contracts import Concept
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.model_folder import license_of, read_object
from fmbseg.models.loading.precision import autocast, check_precision
from fmbseg.models.loading.spec_options import join_options, split_options
from fmbseg.models.loading.transformers_files import (
    CONFIG,
    load_transformer,
    pixel_transform,
    transformers_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fmbseg.models.loading.precision import Precision
    from fmbseg.models.transform import PixelTransform

LICENCE = "SAM License"
# facebook/sam3 holds the detector together with the video model's tracker.
_CLASSES = {"sam3": "Sam3Model", "sam3_video": "Sam3Model", "sam3_lite_text": "Sam3LiteTextModel"}
_OPEN = "grounded:IDEA-Research/grounding-dino-tiny+hf-sam:facebook/sam-vit-base"


class Sam3:
    """A SAM 3 as a concept model.

    Args:
        spec: spec that recreates this model.
        license: licence of the weights.
        module: ``Sam3Model`` of transformers, or one with its methods.
        tokenizer: turns its texts into tokens.
        transform: normalises the pixels.
        device: where to compute; by default the best there is.
        precision: used on accelerators; a CPU always computes in float32.
        words_at_once: words that the detector looks for in one pass.
        min_score: instances with a lower score are not cut out.

    Raises:
        ValueError: an option is outside its range.
    """

    def __init__(
        self,
        spec: str,
        license: str,  # noqa: A002 - as in the contract
        module: Any,
        tokenizer: Any,
        transform: PixelTransform,
        *,
        device: Device = None,
        precision: Precision = "auto",
        words_at_once: int = 8,
        min_score: float = 0.1,
    ) -> None:
        if words_at_once < 1:
            raise ValueError(f"words_at_once is {words_at_once}: it must be 1 or more")
        if not 0 <= min_score <= 1:
            raise ValueError(f"min_score is {min_score}: it must lie in 0 to 1")
        self.spec, self.license = spec, license
        self.options = {"words_at_once": words_at_once, "min_score": min_score}
        self._module, self._transform = module, transform
        self._precision = check_precision(precision)
        self._words = WordFeatures(spec, tokenizer, _tokens_read(module.config.text_config), self._read)
        self.to(find_device(device))

    def to(self, device: torch.device | str) -> Sam3:
        """Move the weights to ``device`` and return self."""
        self._device = torch.device(device)
        self._module.to(self._device)
        self._words.forget()
        return self

    @torch.inference_mode()
    def begin(self, image: NDArray[np.uint8]) -> Sam3Prompter:
        """Encode an RGB image (H, W, 3) once."""
        side = int(self._module.config.vision_config.backbone_config.image_size)
        pixels = self._transform(image, (side, side))[None].to(self._device)
        with autocast(self._device, self._precision):
            encoded = self._module.get_vision_features(pixel_values=pixels)
        return Sam3Prompter(self, encoded, (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def detect(self, encoded: Any, words: Sequence[str]) -> Any:
        """One pass of the detector for a few words over the features of one photograph."""
        features, masks = (torch.stack(one) for one in zip(*map(self._words, words), strict=True))
        masks = masks.to(self._device)
        many = type(encoded)(
            fpn_hidden_states=_expanded(encoded.fpn_hidden_states, len(words)),
            fpn_position_encoding=_expanded(encoded.fpn_position_encoding, len(words)),
        )
        with autocast(self._device, self._precision):
            return self._module(vision_embeds=many, text_embeds=_TextFeatures(features), attention_mask=masks)

    def _read(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The features (1, L, C) of one text."""
        with autocast(self._device, self._precision):
            found = self._module.get_text_features(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device), return_dict=True
            )
        features: torch.Tensor = found.pooler_output
        return features


class Sam3Prompter:
    """One photograph, encoded once; see :class:`Sam3`."""

    def __init__(self, model: Sam3, encoded: Any, size: tuple[int, int]) -> None:
        self._model, self._encoded, self._size = model, encoded, size

    def find(self, words: Sequence[str]) -> Iterator[Concept]:
        """Yield what is found for each word; see :class:`~fmbseg.models.contracts.ConceptPrompter`.

        Raises:
            ValueError: a word has no token, or more tokens than the model reads.
        """
        for batch in batches(words, int(self._model.options["words_at_once"])):
            output = self._model.detect(self._encoded, batch)
            for index in range(len(batch)):
                yield self._concept(output, index)

    @torch.inference_mode()
    def _concept(self, output: Any, index: int) -> Concept:
        presence = output.presence_logits[index].float().sigmoid()
        scores = output.pred_logits[index].float().sigmoid() * presence
        chosen = torch.argsort(scores, descending=True, stable=True)
        chosen = chosen[scores[chosen] >= self._model.options["min_score"]]
        rles = []
        for query in chosen.tolist():  # one at a time: all of them at full size may not fit in memory
            mask = self._enlarged(output.pred_masks[index, query]) > 0.5
            rles.append(coco.encode(np.asfortranarray(mask, np.uint8))["counts"])
        given = scores[chosen].cpu().numpy()
        return Concept(
            presence=float(presence),
            masks=MaskSet(self._size, tuple(rles), given, np.ones_like(given)),
            semantic=self._enlarged(output.semantic_seg[index, 0]),
        )

    def _enlarged(self, logits: torch.Tensor) -> NDArray[np.float32]:
        """Probabilities of a map of logits (h, w) at the photograph's size."""
        probabilities = logits.float().sigmoid()[None, None]
        enlarged = F.interpolate(probabilities, self._size, mode="bilinear", align_corners=False)
        return enlarged[0, 0].cpu().numpy()


class _TextFeatures:
    """What ``Sam3Model`` reads from its text encoder's output."""

    def __init__(self, features: torch.Tensor) -> None:
        self.pooler_output = features


def _tokens_read(text: Any) -> int:
    """Tokens of a text: as many as there are places; if these stretch, as many as ``Sam3Processor`` gives."""
    return 32 if text.model_type == "sam3_lite_text_text_model" else int(text.max_position_embeddings)


def _expanded(maps: Sequence[torch.Tensor], count: int) -> tuple[torch.Tensor, ...]:
    """The maps of one photograph for several words, without a copy."""
    return tuple(one.expand(count, -1, -1, -1) for one in maps)


def hf_sam3(
    name: str,
    *,
    hub: HubOptions | None = None,
    device: Device = None,
    precision: Precision = "auto",
    words_at_once: int = 8,
    min_score: float = 0.1,
) -> Sam3:
    """Load a SAM 3 of transformers, for example ``facebook/sam3``, or a SAM3-LiteText.

    Args:
        name: ``owner/name`` on the Hub or ``local-dir:/path``; ``?revision=...`` may follow.
        hub: how files are looked for.
        device: see :class:`Sam3`, also for the next three.
        precision: used on accelerators.
        words_at_once: words that the detector looks for in one pass.
        min_score: instances with a lower score are not cut out.

    Raises:
        SpecError: the spec has an unknown option.
        AssetUnavailableError: files are not here and cannot be fetched, or the repository is gated.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        ValueError: an option is outside its range.
    """
    import transformers

    bare, written = split_options(name, ("revision",), family="hf-sam3")
    hub = (hub or HubOptions()).at(written.get("revision"))
    licence = LICENCE if bare.startswith("facebook/") else ""
    folder = transformers_folder(bare, hub, alternative=_OPEN if licence else "", licence=licence)
    kind = read_object(folder / CONFIG).get("model_type")
    if kind not in _CLASSES:
        raise WeightsError(
            f"{folder / CONFIG} is of model_type {kind!r}: 'hf-sam3:' is for {', '.join(sorted(_CLASSES))}"
        )
    transform = pixel_transform(folder)
    module = load_transformer(getattr(transformers, _CLASSES[kind]), folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    spec = join_options(f"hf-sam3:{bare}", {"revision": hub.revision})
    return Sam3(
        spec,
        license_of(folder),
        module,
        tokenizer,
        transform,
        device=device,
        precision=precision,
        words_at_once=words_at_once,
        min_score=min_score,
    )
