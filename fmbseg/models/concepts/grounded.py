"""Any text-prompted detector of transformers with any mask generator: words find boxes, masks fill them.

Ren et al. 2024, "Grounded SAM: Assembling Open-World Models for Diverse Visual Tasks" (arXiv 2401.14159).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torchvision.ops import box_convert, clip_boxes_to_image, nms  # type: ignore[import-untyped]

from fmbseg.devices import Device, find_device
from fmbseg.masks import MaskSet
from fmbseg.models.checks import check_image
from fmbseg.models.concepts.detectors.grounding_dino import GroundingDino
from fmbseg.models.concepts.detectors.omdet_turbo import OmDetTurbo
from fmbseg.models.concepts.detectors.owl import Owl
from fmbseg.models.concepts.word_features import batches
from fmbseg.models.contracts import Concept, HasOptions, Movable
from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.errors import SpecError, WeightsError, first_line
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
from fmbseg.models.loading.weights import reading
from fmbseg.models.registries import MASK_GENERATORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.models.concepts.detectors.detector import Detections, Detector
    from fmbseg.models.contracts import MaskGenerator, Prompter
    from fmbseg.models.loading.precision import Precision


class _Family(NamedTuple):
    model_class: str
    image_processor: str
    detector: type[GroundingDino] | type[Owl] | type[OmDetTurbo]


_FAMILIES = {
    "grounding-dino": _Family(
        "GroundingDinoForObjectDetection", "GroundingDinoImageProcessor", GroundingDino
    ),
    "mm-grounding-dino": _Family(
        "MMGroundingDinoForObjectDetection", "GroundingDinoImageProcessor", GroundingDino
    ),
    "omdet-turbo": _Family("OmDetTurboForObjectDetection", "DetrImageProcessor", OmDetTurbo),
    "owlv2": _Family("Owlv2ForObjectDetection", "Owlv2ImageProcessor", Owl),
    "owlvit": _Family("OwlViTForObjectDetection", "OwlViTImageProcessor", Owl),
}


class Grounded:
    """A detector with a mask generator as a concept model; it has no semantic map.

    Presence is the score of a word's best box. Scores of detectors are low: they count a box from 0.1 to
    0.3 upwards, so as a teacher it needs ``CompetitionSettings`` with their thresholds.

    Args:
        spec: spec that recreates this model.
        license: licence of both models' weights.
        detector: finds boxes.
        image_processor: prepares the detector's pixels; from transformers.
        masks: mask generator that cuts out what is in a box.
        device: where to compute; by default the best there is.
        precision: the detector's on accelerators; a CPU always computes in float32.
        words_at_once: words that the detector looks for in one pass.
        min_score: boxes with this score or less are left out; if ``None``, transformers' threshold.
        min_text_score: boxes that fit the word itself, without its sentence, no better are left out; only
            Grounding DINO tells the two apart.
        box_nms_threshold: of two boxes of a word with an IoU above this, the lower-scored is left out.

    Raises:
        ValueError: an option is outside its range, or the mask generator takes no boxes.
    """

    def __init__(
        self,
        spec: str,
        license: str,  # noqa: A002 - as in the contract
        detector: Detector,
        image_processor: Any,
        masks: MaskGenerator,
        *,
        device: Device = None,
        precision: Precision = "auto",
        words_at_once: int = 8,
        min_score: float | None = None,
        min_text_score: float | None = None,
        box_nms_threshold: float | None = None,
    ) -> None:
        if words_at_once < 1:
            raise ValueError(f"words_at_once is {words_at_once}: it must be 1 or more")
        if not masks.promptable:
            raise ValueError(f"{spec}: {masks.spec} takes no boxes: name a promptable mask generator")
        given = (min_score, min_text_score, box_nms_threshold)
        names = ("min_score", "min_text_score", "box_nms_threshold")
        self._thresholds = {
            name: default if value is None else value
            for name, value, default in zip(names, given, detector.thresholds, strict=True)
        }
        for name, value in self._thresholds.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}: it must lie in 0 to 1")
        self.spec, self.license, self.masks = spec, license, masks
        self.words_at_once = words_at_once
        self._detector, self._image_processor = detector, image_processor
        self._precision = check_precision(precision)
        self.to(find_device(device))

    @property
    def options(self) -> dict[str, Any]:
        """What decides which masks come out, besides the spec."""
        of_masks = dict(self.masks.options) if isinstance(self.masks, HasOptions) else {}
        return {**self._thresholds, **({"mask_options": of_masks} if of_masks else {})}

    def to(self, device: torch.device | str) -> Grounded:
        """Move the weights to ``device`` and return self; ONNX Runtime stays on the CPU."""
        self._device = torch.device(device)
        self._detector.forget()
        self._detector.module.to(self._device)
        if isinstance(self.masks, Movable):
            self.masks.to(self._device)
        return self

    @torch.inference_mode()
    def begin(self, image: NDArray[np.uint8]) -> GroundedPrompter:
        """Encode an RGB image (H, W, 3) once for the detector, and for masks once the first box is found.

        Raises:
            ValueError: it is not an RGB image of uint8, or would have no width in the detector's frame.
        """
        check_image(image, self.spec)
        channels = torch.tensor(image).permute(2, 0, 1)
        try:
            pixels = self._image_processor(
                images=channels, input_data_format="channels_first", return_tensors="pt"
            )["pixel_values"]
        except ValueError as error:
            raise ValueError(
                f"{self.spec} cannot take a photograph of {image.shape[1]} x {image.shape[0]} px (width x "
                f"height): {first_line(error)[:100]}"
            ) from error
        with autocast(self._device, self._precision):
            encoded = self._detector.encode(pixels.to(self._device))
        return GroundedPrompter(self, image, encoded)

    @torch.inference_mode()
    def boxes(self, encoded: Any, words: Sequence[str], size: tuple[int, int]) -> list[Boxes]:
        """Find the boxes of a few words in one photograph of ``size`` (height, width)."""
        with autocast(self._device, self._precision):
            found = self._detector.detect(encoded, words)
        return [self._boxes_of(found, index, size) for index in range(len(words))]

    def _boxes_of(self, found: Detections, index: int, size: tuple[int, int]) -> Boxes:
        height, width = (max(size), max(size)) if self._detector.square else size
        corners = box_convert(found.boxes[index], "cxcywh", "xyxy")
        corners = corners * corners.new_tensor([width, height, width, height])
        placed = clip_boxes_to_image(corners, size)
        fits = found.own_scores[index] > self._thresholds["min_text_score"]
        fits &= (placed[:, :2] < placed[:, 2:]).all(dim=1)  # some lie in the padding of a square frame
        corners, placed, scores = corners[fits], placed[fits], found.scores[index][fits]
        presence = float(scores.max()) if len(scores) else 0.0
        enough = torch.nonzero(scores > self._thresholds["min_score"]).flatten()
        # Before they are clipped, as in transformers.
        best = enough[nms(corners[enough], scores[enough], self._thresholds["box_nms_threshold"])]
        return Boxes(presence, placed[best].cpu().numpy(), scores[best].cpu().numpy())


class Boxes(NamedTuple):
    """What was found for one word.

    Attributes:
        presence: the best score of any box that fits the word, whether it is high enough or not.
        corners: (N, 4), x0, y0, x1, y1 in pixels of the photograph, best first.
        scores: (N,).
    """

    presence: float
    corners: NDArray[np.float32]
    scores: NDArray[np.float32]


class GroundedPrompter:
    """One photograph, encoded once; see :class:`Grounded`."""

    def __init__(self, model: Grounded, image: NDArray[np.uint8], encoded: Any) -> None:
        self._model, self._image, self._encoded = model, image, encoded

    @cached_property
    def _masks(self) -> Prompter:
        return self._model.masks.begin(self._image)

    def find(self, words: Sequence[str]) -> Iterator[Concept]:
        """Yield what is found for each word; see :class:`~fmbseg.models.contracts.ConceptPrompter`.

        Raises:
            ValueError: a word has no token, or more tokens than the model reads.
        """
        size = (self._image.shape[0], self._image.shape[1])
        for batch in batches(words, self._model.words_at_once):
            for found in self._model.boxes(self._encoded, batch, size):
                yield Concept(found.presence, self._cut(found, size), None)

    def _cut(self, found: Boxes, size: tuple[int, int]) -> MaskSet:
        """The masks of the boxes, with the boxes' scores; an empty mask is not an instance."""
        if not len(found.scores):
            return MaskSet.empty(size)
        masks = self._masks.prompt(boxes=found.corners)
        return MaskSet(size, masks.rles, found.scores, masks.stability).select(masks.areas > 0)


def grounded(
    name: str,
    *,
    hub: HubOptions | None = None,
    mask_options: Mapping[str, Any] | None = None,
    device: Device = None,
    precision: Precision = "auto",
    words_at_once: int = 8,
    min_score: float | None = None,
    min_text_score: float | None = None,
    box_nms_threshold: float | None = None,
) -> Grounded:
    """Load a text-prompted detector and a mask generator.

    Args:
        name: ``DETECTOR+MASKS``: ``owner/name`` on the Hub or ``local-dir:/path``, which
            ``?revision=...`` may follow; and the spec of any mask generator that takes boxes.
        hub: how files are looked for.
        mask_options: options of the mask generator, for example ``{"points_per_batch": 32}``.
        device: see :class:`Grounded`, also for the next five.
        precision: the detector's on accelerators.
        words_at_once: words that the detector looks for in one pass.
        min_score: boxes with this score or less are left out.
        min_text_score: boxes that fit the word itself no better are left out.
        box_nms_threshold: of two boxes of a word whose IoU is above this, one is left out.

    Raises:
        UnknownNameError: there is no such mask generator.
        SpecError: the name is not a pair, or an option of a spec is unknown.
        AssetUnavailableError: files are not here and cannot be fetched.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        ValueError: an option is outside its range, or the mask generator takes no boxes.
    """
    of_detector, of_masks = _parts(name, MASK_GENERATORS.names())
    bare, written = split_options(of_detector, ("revision",), family="grounded")
    masks = create_model(MASK_GENERATORS, of_masks, hub, **(mask_options or {}))
    at = (hub or HubOptions()).at(written.get("revision"))
    folder = transformers_folder(bare, at)
    spec = f"grounded:{join_options(bare, {'revision': at.revision})}+{masks.spec}"
    detector, image_processor = _load(folder, spec)
    licences = dict.fromkeys((license_of(folder), masks.license))
    same = len({one.lower() for one in licences}) == 1
    licence = masks.license if same else " AND ".join(licences)
    return Grounded(
        spec,
        licence,
        detector,
        image_processor,
        masks,
        device=device,
        precision=precision,
        words_at_once=words_at_once,
        min_score=min_score,
        min_text_score=min_text_score,
        box_nms_threshold=box_nms_threshold,
    )


def _parts(name: str, generators: Sequence[str]) -> tuple[str, str]:
    """Split ``DETECTOR+MASKS`` where a mask generator's name begins, since a path may also contain a plus."""
    places = [place for place, letter in enumerate(name) if letter == "+"]
    if not places:
        raise SpecError(
            f"'grounded:{name}' names no mask generator: write grounded:DETECTOR+MASKS, for example "
            "grounded:IDEA-Research/grounding-dino-tiny+hf-sam:facebook/sam-vit-base"
        )
    known = [at for at in places if name[at + 1 :].partition("?")[0].partition(":")[0] in generators]
    at = known[0] if known else places[-1]
    return name[:at], name[at + 1 :]


def _load(folder: Path, spec: str) -> tuple[Detector, Any]:
    """A detector, and what prepares its pixels."""
    import transformers

    kind = read_object(folder / CONFIG).get("model_type")
    if kind not in _FAMILIES:
        raise WeightsError(
            f"{folder / CONFIG} is of model_type {kind!r}: 'grounded:' is for {', '.join(sorted(_FAMILIES))}"
        )
    family = _FAMILIES[kind]
    pixel_transform(folder)  # refuses a folder without preprocessing, where transformers would use its own
    if not read_object(folder / PREPROCESSOR).get("size"):
        raise WeightsError(f"{folder / PREPROCESSOR} states no size of the pixels: get the model's own")
    with reading(folder / PREPROCESSOR):
        image_processor = getattr(transformers, family.image_processor).from_pretrained(
            folder, local_files_only=True
        )
    with reading(folder / "tokenizer.json"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    module = load_transformer(getattr(transformers, family.model_class), folder)
    return family.detector(spec, module, tokenizer), image_processor
