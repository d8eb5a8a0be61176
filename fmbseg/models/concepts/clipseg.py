"""CLIPSeg of transformers, from the Hub or a folder: from a word to how likely each pixel shows it.

Lueddecke and Ecker 2022, "Image Segmentation Using Text and Image Prompts": a small decoder on CLIP's vision
tower. A photograph goes through the tower once; a word costs one pass of the decoder. The map is the sigmoid
of its logits, resized bilinearly to the photograph's size (transformers does not post-process it, and
its guides do the same).

A word's presence is the highest value of its map, as the decoder gives it: a word for which no pixel is
more likely than not is absent. There are no instance masks, since the map does not tell things apart.
Regions cut from it would beat larger ones in the competition for pixels, however weak they are; the map
instead bids for each pixel with its value there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

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
    PREPROCESSOR,
    load_transformer,
    pixel_transform,
    transformers_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.models.loading.precision import Precision
    from fmbseg.models.transform import PixelTransform


class ClipSeg:
    """A CLIPSeg as a concept model, which gives semantic maps and no instances.

    Args:
        spec: spec that recreates this model.
        license: licence of the weights.
        module: ``CLIPSegForImageSegmentation`` of transformers.
        tokenizer: turns its texts into tokens.
        transform: normalises the pixels.
        side: height and width in pixels that photographs are resized to.
        device: where to compute; by default the best there is.
        precision: used on accelerators; a CPU always computes in float32.
        words_at_once: words that the decoder looks for in one pass.

    Raises:
        ValueError: ``words_at_once`` is below 1.
    """

    def __init__(
        self,
        spec: str,
        license: str,  # noqa: A002 - as in the contract
        module: Any,
        tokenizer: Any,
        transform: PixelTransform,
        side: int,
        *,
        device: Device = None,
        precision: Precision = "auto",
        words_at_once: int = 16,
    ) -> None:
        if words_at_once < 1:
            raise ValueError(f"words_at_once is {words_at_once}: it must be 1 or more")
        self.spec, self.license = spec, license
        self.options = {"words_at_once": words_at_once}
        self._module, self._transform, self._side = module, transform, side
        self._precision = check_precision(precision)
        length = int(module.config.text_config.max_position_embeddings)
        self._words = WordFeatures(spec, tokenizer, length, self._read)
        self.to(find_device(device))

    def to(self, device: torch.device | str) -> ClipSeg:
        """Move the weights to ``device`` and return self."""
        self._device = torch.device(device)
        self._module.to(self._device)
        self._words.forget()
        return self

    @torch.inference_mode()
    def begin(self, image: NDArray[np.uint8]) -> ClipSegPrompter:
        """Encode an RGB image (H, W, 3) once."""
        pixels = self._transform(image, (self._side, self._side))[None].to(self._device)
        with autocast(self._device, self._precision):
            seen = self._module.clip.get_image_features(pixels, output_hidden_states=True).hidden_states
        # The first hidden state is the tower's input.
        layers = [seen[layer + 1] for layer in self._module.extract_layers]
        return ClipSegPrompter(self, layers, (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def decode(self, layers: Sequence[torch.Tensor], words: Sequence[str]) -> torch.Tensor:
        """Probabilities (words, h, w) from one pass of the decoder over the features of one photograph."""
        texts = torch.stack([self._words(word)[0] for word in words])
        many = [layer.expand(len(words), -1, -1) for layer in layers]
        with autocast(self._device, self._precision):
            logits: torch.Tensor = self._module.decoder(many, texts).logits
        return logits.float().sigmoid()

    def _read(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The vector (1, C) of one text."""
        with autocast(self._device, self._precision):
            found = self._module.clip.get_text_features(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device)
            )
        vector: torch.Tensor = found.pooler_output
        return vector


class ClipSegPrompter:
    """One photograph, encoded once; see :class:`ClipSeg`."""

    def __init__(self, model: ClipSeg, layers: Sequence[torch.Tensor], size: tuple[int, int]) -> None:
        self._model, self._layers, self._size = model, layers, size

    def find(self, words: Sequence[str]) -> Iterator[Concept]:
        """Yield what is found for each word; see :class:`~fmbseg.models.contracts.ConceptPrompter`.

        Raises:
            ValueError: a word has no token, or more tokens than the model reads.
        """
        for batch in batches(words, self._model.options["words_at_once"]):
            for probabilities in self._model.decode(self._layers, batch):
                yield self._concept(probabilities)

    @torch.inference_mode()
    def _concept(self, probabilities: torch.Tensor) -> Concept:
        enlarged = F.interpolate(probabilities[None, None], self._size, mode="bilinear", align_corners=False)
        return Concept(
            presence=float(probabilities.max()),
            masks=MaskSet.empty(self._size),
            semantic=enlarged[0, 0].cpu().numpy(),
        )


def clipseg(
    name: str,
    *,
    hub: HubOptions | None = None,
    device: Device = None,
    precision: Precision = "auto",
    words_at_once: int = 16,
) -> ClipSeg:
    """Load a CLIPSeg of transformers, for example ``CIDAS/clipseg-rd64-refined``.

    Args:
        name: ``owner/name`` on the Hub or ``local-dir:/path``; ``?revision=...`` may follow.
        hub: how files are looked for.
        device: see :class:`ClipSeg`, also for the next two.
        precision: used on accelerators.
        words_at_once: words that the decoder looks for in one pass.

    Raises:
        SpecError: the spec has an unknown option.
        AssetUnavailableError: files are not here and cannot be fetched.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        ValueError: an option is outside its range.
    """
    import transformers

    bare, written = split_options(name, ("revision",), family="clipseg")
    hub = (hub or HubOptions()).at(written.get("revision"))
    folder = transformers_folder(bare, hub)
    kind = read_object(folder / CONFIG).get("model_type")
    if kind != "clipseg":
        raise WeightsError(f"{folder / CONFIG} is of model_type {kind!r}: 'clipseg:' is for clipseg")
    transform = pixel_transform(folder)
    module = load_transformer(transformers.CLIPSegForImageSegmentation, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    spec = join_options(f"clipseg:{bare}", {"revision": hub.revision})
    side = _stated_side(folder, module.config.vision_config.patch_size)
    return ClipSeg(
        spec,
        license_of(folder),
        module,
        tokenizer,
        transform,
        side,
        device=device,
        precision=precision,
        words_at_once=words_at_once,
    )


def _stated_side(folder: Path, patch: int) -> int:
    """The side that photographs are resized to: larger than in the tower's own training.

    Raises:
        WeightsError: the preprocessing states none, one that is not a multiple of a patch, or not a square.
    """
    path = folder / PREPROCESSOR
    stated = read_object(path).get("size")
    sides = list(stated.values()) if isinstance(stated, dict) else [stated]
    side = sides[0] if sides == sides[:1] * len(sides) and sides else None
    if not isinstance(side, int) or side < patch or side % patch:
        raise WeightsError(
            f"{path} states size {stated!r}: a square whose side is a multiple of {patch} is needed; get the "
            "model's own"
        )
    return side
