"""Stage 1 as a method: the masks that an image-text model and a mask model find, or a concept model's.

No head is trained: this is the paper's training-free variant (its appendix), and with the classes of each
image given, the one that it calls state of the art without any training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.labeling.pipeline import Photograph
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labeling.teacher import Teacher
from fmbseg.labeling.two_models import TwoModels
from fmbseg.labels.manifest import shown_from
from fmbseg.labels.record import CONCEPT_STAGE, EVERYTHING_STAGE, POINT_STAGE
from fmbseg.masks import MaskSet
from fmbseg.results import Segmentation
from fmbseg.segment_settings import SegmentSettings
from fmbseg.segmentation.classes import ResultClasses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.labeling.pipeline import Way
    from fmbseg.methods.pool import ModelPool
    from fmbseg.models.contracts import MaskGenerator, Prompter
    from fmbseg.recipes import Recipe
    from fmbseg.vocabulary import Vocabulary

STAGES = {"1.1": POINT_STAGE, "1.2": EVERYTHING_STAGE}
"""The parts of Stage 1 by their names in specs."""


class MaskMethod:
    """Segments by named masks, painted as labels are; of the masks drawn for training, all are painted.

    A pixel without a mask has no class; where background counts as a class, it is background.

    Args:
        spec: of the method.
        license: of the models.
        models: specs of the models.
        way: makes the masks.
        pool: of the models.
        stages: whose masks are painted.
    """

    def __init__(
        self,
        spec: str,
        license: str,  # noqa: A002 - as in the contract
        models: tuple[str, ...],
        way: Way,
        pool: ModelPool,
        stages: Sequence[int],
    ) -> None:
        self.spec, self.license, self.models = spec, license, models
        self._way, self._pool, self._stages = way, pool, tuple(stages)

    def segment(
        self, images: NDArray[Any], vocabulary: Vocabulary, *, settings: SegmentSettings | None = None
    ) -> Segmentation:
        """Segment one image."""
        return self._segment(images, vocabulary, settings or SegmentSettings(), None)

    def describe(self) -> dict[str, Any]:
        """The spec, and the models and settings of Stage 1."""
        return {
            "method": self.spec,
            **self._way.origin["models"],
            "stage 1": self._way.origin["settings"],
            "instead": {
                "resolution": "as Stage 1 has it; figures at the masks' own size",
                "windows": "crops of Stage 1",
                "threshold": "none",
                "hubness": "as Stage 1 has it",
                "knowledge preservation": "none",
                "refinement": "none",
            },
        }

    @property
    def saved_seconds(self) -> float:
        """What the last call did not take because other methods had seen the image."""
        return self._pool.memory.saved

    def _segment(
        self,
        image: NDArray[np.uint8],
        vocabulary: Vocabulary,
        settings: SegmentSettings,
        present: tuple[int, ...] | None,
    ) -> Segmentation:
        self._pool.memory.turn_to(image)
        classes = ResultClasses.of(vocabulary, settings.background)
        steps = self._way.steps(classes.asked, 1)
        (described,) = steps.describe([steps.prepare(image)])
        if present is not None:
            known = {vocabulary.names[index] for index in present}
            present = tuple(index for index, name in enumerate(classes.asked.names) if name in known)
        record = steps.label(Photograph("", "", image), described, present)
        record = record.certain(shown_from(self._way.origin))  # what labels show, others count as missed
        top = record.top_masks(self._stages, kept_only=False)
        nothing = -1 if classes.background is None else classes.background
        # The last of each is where -1 points to.
        of_mask = np.append(classes.result_of[record.class_ids], nothing).astype(np.int32)
        scores = np.append(record.similarities, 0).astype(np.float32)
        return Segmentation(
            labels=of_mask[top],
            scores=scores[top],
            names=classes.names,
            image=image,
            background=classes.rule,
            device=str(self._pool.device),
        )


class KnowingMaskMethod(MaskMethod):
    """The same where it is known which classes an image shows (the paper's semi-supervised variant)."""

    def segment_known(
        self,
        image: NDArray[np.uint8],
        vocabulary: Vocabulary,
        present: tuple[int, ...],
        *,
        settings: SegmentSettings,
    ) -> Segmentation:
        """Segment an image that shows these classes of the vocabulary."""
        return self._segment(image, vocabulary, settings, present)

    def describe(self) -> dict[str, Any]:
        """The same, with the labels mentioned."""
        return {**super().describe(), "image-level labels": "those of the ground truth"}


def stage1(recipe: Recipe, parts: Sequence[str], pool: ModelPool) -> MaskMethod:
    """Stage 1 of a recipe.

    Args:
        recipe: names the models and their settings.
        parts: of ``1.1``, ``1.2`` and ``labels``; without one of the stages, both.
        pool: of the models.

    Raises:
        ValueError: a part that a teacher does not have.
        AssetUnavailableError: a model is not here. Nothing stands in for it.
    """
    spec = f"stage1:{recipe.name}" + (f"@{'+'.join(parts)}" if parts else "")
    kind = KnowingMaskMethod if "labels" in parts else MaskMethod
    wanted = [part for part in STAGES if part in parts]
    if recipe.teacher is not None:
        if wanted:
            raise ValueError(
                f"{spec}: the teacher {recipe.teacher} names and cuts in one step, without {wanted[0]}"
            )
        return _of_teacher(kind, spec, recipe.teacher, pool)
    assert recipe.mask_generator is not None
    encoder = pool.image_text(recipe.image_text)
    generator: MaskGenerator = pool.mask_generator(recipe.mask_generator, recipe.mask_options)
    models = (encoder.spec, generator.spec)
    licenses = ", ".join(dict.fromkeys((encoder.license, generator.license)))
    if len(wanted) == 1:
        generator = OneStage(generator, points=wanted[0] == "1.1")
    settings = LabelingSettings.from_dict(recipe.labeling)
    way = TwoModels(encoder, generator, recipe.mask_options, settings)
    return kind(spec, licenses, models, way, pool, [STAGES[part] for part in wanted or STAGES])


def concept(model: str, pool: ModelPool, *, labels: bool = False) -> MaskMethod:
    """A concept model, whose words compete for pixels."""
    spec = f"concept:{model}" + ("@labels" if labels else "")
    return _of_teacher(KnowingMaskMethod if labels else MaskMethod, spec, model, pool)


def _of_teacher(kind: type[MaskMethod], spec: str, teacher: str, pool: ModelPool) -> MaskMethod:
    model = pool.concept_model(teacher)
    way = Teacher(model, {}, CompetitionSettings.suited_to(model.spec))
    return kind(spec, model.license, (model.spec,), way, pool, [CONCEPT_STAGE])


class OneStage:
    """A mask generator that is asked by one part of Stage 1 only, so that the other costs nothing.

    Args:
        inner: the generator.
        points: whether it is asked at points (1.1), and not for everything (1.2).
    """

    def __init__(self, inner: MaskGenerator, *, points: bool) -> None:
        self._inner, self._points = inner, points
        self.spec, self.license = inner.spec, inner.license
        self.promptable = inner.promptable and points

    def begin(self, image: NDArray[np.uint8]) -> Prompter:
        """Encode an RGB image (H, W, 3)."""
        begun = self._inner.begin(image)
        return _PointsOnly(begun, (image.shape[0], image.shape[1])) if self._points else begun


class _PointsOnly:
    def __init__(self, inner: Prompter, size: tuple[int, int]) -> None:
        self._inner, self._size = inner, size

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        return self._inner.prompt(points, boxes=boxes)

    def everything(self) -> MaskSet:
        return MaskSet.empty(self._size)
