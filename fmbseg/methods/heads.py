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
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.vocabulary import Vocabulary


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
        refine = own.refine
        if isinstance(refine, MaskNaming | MaskSnap) and isinstance(refine.generator, str):
            options = refine.options if isinstance(refine, MaskNaming) else {}
            generator = self._pool.mask_generator(refine.generator, options)
            refine = (
                replace(refine, generator=generator, options={})
                if isinstance(refine, MaskNaming)
                else replace(refine, generator=generator)
            )
        return replace(own, background=of_protocol.background, certainty=of_protocol.certainty, refine=refine)

    def _needs_words(
        self, encoder: AlignedEncoder, vocabulary: Vocabulary, settings: SegmentSettings | None
    ) -> bool:
        if settings is not None and settings.preserve is not None:
            return True
        return encoder.prototypes is None or encoder.prototypes.of(vocabulary) is None


def _generators(recipe: Recipe | None) -> tuple[str, ...]:
    refine = None if recipe is None else recipe.segmenting.refine
    if isinstance(refine, MaskNaming | MaskSnap) and isinstance(refine.generator, str):
        return (refine.generator,)
    return ()
