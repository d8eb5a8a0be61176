"""A trained head as a method: with the evaluation's settings, or with those of a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.segment_settings import MaskNaming, MaskSnap
from fmbseg.segmentation.segmenter import OpenVocabSegmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.methods.pool import ModelPool
    from fmbseg.recipes import Recipe
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import Pamr, SegmentSettings
    from fmbseg.vocabulary import Vocabulary

    _Refinement = Pamr | MaskSnap | MaskNaming | None


class HeadMethod:
    """Segments by a head.

    Args:
        head: folder that ``save_pretrained`` wrote, ``owner/name`` on the Hub, a head of the package, or an
            ``.onnx`` file.
        pool: of the frozen models.
        recipe: whose settings for segmenting take the place of the protocol's; background and what a
            benchmark asks for stay the protocol's.

    Raises:
        AlignedEncoderError: there is no head in that folder.
        AssetUnavailableError: its files, or those of its models, are not here.
    """

    def __init__(self, head: str, pool: ModelPool, recipe: Recipe | None = None) -> None:
        self._pool, self._recipe = pool, recipe
        self.spec = head if recipe is None else f"{head}@{recipe.name}"
        if Path(head).suffix == ".onnx":
            from fmbseg.models.exported import ExportedEncoder

            self.segmenter = OpenVocabSegmenter(ExportedEncoder(head, device=pool.device, hub=pool.hub))
            self.models: tuple[str, ...] = ()
            self.license = "not stated"
            return
        encoder = AlignedEncoder.from_pretrained(head, device=pool.device, hub=pool.hub)
        encoder.backbone = pool.backbone(encoder.backbone)
        self.segmenter = OpenVocabSegmenter(encoder)
        config = encoder.config
        self.models = (config.backbone, config.text_encoder, *_generators(recipe))
        self.license = ", ".join(dict.fromkeys(filter(None, (config.backbone_license, config.text_license))))

    def segment(
        self, images: NDArray[Any], vocabulary: Vocabulary, *, settings: SegmentSettings | None = None
    ) -> Segmentation:
        """Segment one image."""
        self._pool.memory.turn_to(images)
        wanted = self._settings(settings)
        encoder = self.segmenter.encoder
        if isinstance(encoder, AlignedEncoder) and self._needs_words(encoder, vocabulary, wanted):
            encoder.text_encoder = self._pool.image_text(encoder.config.text_encoder)
        result: Segmentation = self.segmenter.segment(images, vocabulary, settings=wanted)
        return result

    def describe(self) -> dict[str, Any]:
        """The head, and what of a recipe's settings takes the place of the protocol's."""
        described = self.segmenter.describe()
        if self._recipe is None:
            return described
        told = self._recipe.segmenting.describe()
        window = told["window"]
        instead = {
            "resolution": f"short side {told['short_side']} px; figures at the masks' own size",
            "windows": "the whole image" if window is None else f"{window} px, step {told['step']} px",
            "hubness": "as suits the head" if told["hubness"] is None else f"{told['hubness']:g}",
            "scales": ", ".join(f"{scale:g}" for scale in told["scales"]),
            "mirrored too": "yes" if told["mirror"] else "no",
            "knowledge preservation": str(told["preserve"] or "none"),
            "refinement": str(told["refine"] or "none"),
            "beside common words": str(told.get("refine_common") or "the same"),
        }
        return {**described, "settings of": self._recipe.name, "instead": instead}

    @property
    def saved_seconds(self) -> float:
        """What the last call did not take because other methods had seen the image."""
        return self._pool.memory.saved

    def _settings(self, of_protocol: SegmentSettings | None) -> SegmentSettings | None:
        if self._recipe is None or of_protocol is None:
            return of_protocol
        own = self._recipe.segmenting
        return replace(
            own,
            background=of_protocol.background,
            certainty=of_protocol.certainty,
            refine=self._with_own_generator(own.refine),
            refine_common=self._with_own_generator(own.refine_common),
        )

    def _with_own_generator(self, refine: _Refinement) -> _Refinement:
        """The refinement with the pool's mask generator, which remembers."""
        if not isinstance(refine, MaskNaming | MaskSnap) or not isinstance(refine.generator, str):
            return refine
        if isinstance(refine, MaskSnap):
            return replace(refine, generator=self._pool.mask_generator(refine.generator))
        generator = self._pool.mask_generator(refine.generator, refine.options)
        return replace(refine, generator=generator, options={})

    def _needs_words(
        self, encoder: AlignedEncoder, vocabulary: Vocabulary, settings: SegmentSettings | None
    ) -> bool:
        if settings is not None and settings.preserve is not None:
            return True
        return encoder.prototypes is None or encoder.prototypes.of(vocabulary) is None


def _generators(recipe: Recipe | None) -> tuple[str, ...]:
    own = None if recipe is None else recipe.segmenting
    specs = (
        refine.generator
        for refine in (() if own is None else (own.refine, own.refine_common))
        if isinstance(refine, MaskNaming | MaskSnap) and isinstance(refine.generator, str)
    )
    return tuple(dict.fromkeys(specs))
