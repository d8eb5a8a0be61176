"""The two ways of Stage 1, made from what PseudoLabeler was given."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.image_text import AlignedImageText
from fmbseg.contract_check import require_contract
from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.labeling.prefilter import Prefilter
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labeling.teacher import Teacher
from fmbseg.labeling.two_models import TwoModels
from fmbseg.models.catalog import find_card
from fmbseg.models.contracts import ConceptModel, HasOptions, Movable
from fmbseg.models.loading.create import create_model
from fmbseg.models.mask_generators.kept_masks import KeptMasks
from fmbseg.models.registries import CONCEPTS, IMAGE_TEXT, MASK_GENERATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from fmbseg.models.contracts import ImageTextEncoder, MaskGenerator
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.models.loading.speed import Speed
    from fmbseg.recipes import Recipe

STAND_IN = "superpixels"
"""Mask generator that is used where a recipe's own cannot be had."""


def make_two_models(
    recipe: Recipe | None,
    image_text: ImageTextEncoder | str | None,
    mask_generator: MaskGenerator | str | None,
    mask_options: Mapping[str, Any] | None,
    settings: LabelingSettings | None,
    device: torch.device,
    *,
    mask_cache: str | Path | None,
    aligned: AlignedEncoder | str | Path | None,
    hub: HubOptions | None,
    speed: Speed,
) -> TwoModels:
    """Load an image-text model and a mask generator; see :class:`fmbseg.PseudoLabeler`.

    Without a recipe both must be given.
    """
    if settings is None:
        spec = image_text if image_text is None or isinstance(image_text, str) else image_text.spec
        settings = LabelingSettings.of_recipe(recipe, spec, aligned=aligned is not None)
    options = dict(mask_options or {})
    if mask_generator is None:
        assert recipe is not None
        assert recipe.mask_generator is not None
        mask_generator, options = _or_stand_in(recipe.mask_generator, {**recipe.mask_options, **options})
    if isinstance(mask_generator, str):
        mask_generator = create_model(MASK_GENERATORS, mask_generator, hub, **options)
        if isinstance(mask_generator, Movable):
            mask_generator.to(device)
    elif mask_options:
        raise ValueError("mask_options are for a spec: a mask generator given as an object has its own")
    else:
        options = _options_of(mask_generator)
    speed.apply(mask_generator)
    if mask_cache is not None:
        mask_generator = KeptMasks(mask_generator, options, mask_cache)
    if image_text is None:
        assert recipe is not None
        image_text = recipe.image_text
    encoder = create_model(IMAGE_TEXT, image_text, hub) if isinstance(image_text, str) else image_text
    speed.apply(encoder)
    if isinstance(aligned, str | Path):
        aligned = AlignedEncoder.from_pretrained(aligned, device=device, hub=hub)
    named_by = encoder if aligned is None else AlignedImageText(encoder, aligned)
    return TwoModels(named_by.to(device), mask_generator, options, settings, aligned)


def make_teacher(
    teacher: ConceptModel | str,
    options: Mapping[str, Any] | None,
    settings: LabelingSettings | CompetitionSettings | None,
    prefilter: tuple[ImageTextEncoder | str, int] | None,
    device: torch.device,
    hub: HubOptions | None,
) -> Teacher:
    """Load a concept model; see :class:`fmbseg.PseudoLabeler`."""
    if isinstance(settings, LabelingSettings):
        raise ValueError("LabelingSettings are for an image-text model: a teacher takes CompetitionSettings")
    given = dict(options or {})
    if isinstance(teacher, str):
        teacher = create_model(CONCEPTS, teacher, hub, **given)
    elif given:
        raise ValueError("teacher_options are for a spec: a teacher given as an object has its own")
    else:
        require_contract(teacher, ConceptModel, "the teacher")
        given = _options_of(teacher)
    chooses = None
    if prefilter is not None:
        encoder, keep = prefilter
        if isinstance(encoder, str):
            encoder = create_model(IMAGE_TEXT, encoder, hub)
        chooses = Prefilter(encoder.to(device), keep)
    settings = settings or CompetitionSettings.suited_to(teacher.spec)
    return Teacher(teacher.to(device), given, settings, chooses)


def _options_of(model: object) -> dict[str, Any]:
    return dict(model.options) if isinstance(model, HasOptions) else {}


def _or_stand_in(spec: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The spec and options of the model if it is available, else of what stands in for it."""
    card = find_card("mask generator", spec)
    lack = card.lacks(fetch=True) if card else None
    if lack is None:
        return spec, dict(options)
    warnings.warn(f"mask generator {spec}: {lack}. Superpixels stand in for it", stacklevel=4)
    return STAND_IN, {}
