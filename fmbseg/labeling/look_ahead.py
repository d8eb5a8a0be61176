"""What can be said of a run before any model is loaded: that it is already finished, or cannot be."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.labeling.image_labels import ImageLabels
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labeling.teacher import refuse_beside_a_teacher, refuse_without_a_teacher
from fmbseg.labels.claimed import check_same_run
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import (
    MANIFEST,
    manifest_hash,
    new_manifest,
    read_manifest,
    recorded_recipe,
)
from fmbseg.labels.place import is_there, place_of
from fmbseg.labels.writer import LabelWriter
from fmbseg.models.registries import CONCEPTS, IMAGE_TEXT, MASK_GENERATORS
from fmbseg.recipes import AUTO, RECIPES, get_recipe
from fmbseg.recipes.auto import named_by_environment
from fmbseg.sources.opened import open_source
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fmbseg.labeling.image_labels import ImageLabelSource
    from fmbseg.labels.place import Place
    from fmbseg.part import Part
    from fmbseg.recipes import Recipe
    from fmbseg.sources.contract import Source
    from fmbseg.sources.opened import Photographs
    from fmbseg.vocabulary import VocabularySource


class Ahead(NamedTuple):
    """What is known of a run before it.

    Attributes:
        photographs: listed.
        labels: where all that the run would make is there already; else None.
    """

    photographs: Source
    labels: LabelSet | None


def look_ahead(
    photographs: Photographs,
    vocabulary: VocabularySource,
    out: str | Path,
    *,
    recipe: str = AUTO,
    image_text: str | None = None,
    mask_generator: str | None = None,
    aligned: str | None = None,
    teacher: str | None = None,
    teacher_options: Mapping[str, Any] | None = None,
    prefilter: tuple[str, int] | None = None,
    image_labels: ImageLabelSource | None = None,
    shard_size: int = 1000,
    part: Part | None = None,
    workers: int = 1,
    settings: LabelingSettings | None = None,
) -> Ahead:
    """Check what a run is asked to do, as ``PseudoLabeler`` does, but with no model loaded.

    Args:
        photographs: as in ``PseudoLabeler.label``, like ``vocabulary`` and ``out``.
        vocabulary: the classes to look for.
        out: folder of the label set.
        recipe: as in ``PseudoLabeler``.
        image_text: spec of the image-text model.
        mask_generator: spec of the mask generator.
        aligned: folder or name of a head.
        teacher: spec of a concept model, in place of the recipe's models.
        teacher_options: of the teacher.
        prefilter: spec of an image-text model, and how many classes it leaves to the teacher.
        image_labels: the classes that photographs are known to show.
        shard_size: photographs a shard.
        part: of the run, if not the whole.
        workers: photographs that masks are made for at once.
        settings: of Stage 1, instead of the recipe's.

    Raises:
        UnknownNameError: a recipe or a spec that does not exist.
        ImageError: no photograph found.
        ValueError: a vocabulary that is none, image labels that do not fit, or labels of another
            configuration in ``out``.
    """
    check_workers(workers)
    of_two = {"image_text": image_text, "mask_generator": mask_generator, "aligned": aligned}
    chosen = _recipe_of(recipe, place_of(out), needed=teacher is None and not (image_text and mask_generator))
    named = chosen.name if teacher is None and chosen is not None else None
    teacher = teacher if teacher is not None or chosen is None else chosen.teacher
    if teacher is not None:
        refuse_beside_a_teacher(of_two)
        origin = _origin_of_teacher(teacher, teacher_options, prefilter, named)
    else:
        refuse_without_a_teacher(None, teacher_options, prefilter)
        own = settings or LabelingSettings.of_recipe(chosen, image_text, aligned=aligned is not None)
        origin = _origin_of_two(chosen, image_text, mask_generator, own)
    source = open_source(photographs)
    run = planned(origin, Vocabulary.of(vocabulary), source, place_of(out), image_labels, shard_size)
    wanted = json.loads(json.dumps(run.manifest))
    return Ahead(source, _finished(place_of(out), wanted, part, teacher=teacher, aligned=aligned))


def _finished(
    out: Place, wanted: dict[str, Any], part: Part | None, *, teacher: str | None, aligned: str | None
) -> LabelSet | None:
    """The labels in ``out``, where they are all of a run whose manifest would be ``wanted``."""
    if not is_there(out / MANIFEST):
        return None
    found = read_manifest(out)
    _check_same_teacher(out, found["models"], wanted["models"])
    check_same_run(out, _without_models(found), _without_models(wanted))
    if teacher is not None and "license" in found["models"]:
        wanted["models"]["license"] = found["models"]["license"]  # known only once the teacher is loaded
    # A spec may stand for a revision that only loading tells, and a model that is lacking for another one.
    if aligned is not None or manifest_hash(wanted) != found["hash"]:
        return None
    with LabelWriter(out, wanted, part) as writer:
        done = writer.done
    return LabelSet(out, part) if done else None


def check_workers(workers: int) -> None:
    """Refuse a number of workers below 1."""
    if workers < 1:
        raise ValueError(f"workers is {workers}: it must be 1 or more")


class PlannedRun(NamedTuple):
    """What a run is to do.

    Attributes:
        known: the classes that photographs are known to show.
        manifest: that its labels will have.
    """

    known: ImageLabels
    manifest: dict[str, Any]


def planned(
    origin: Mapping[str, Any],
    classes: Vocabulary,
    photographs: Source,
    out: Place,
    image_labels: ImageLabelSource | None,
    shard_size: int,
) -> PlannedRun:
    """What a run is to do, from its models and settings (``origin``) and what it was given.

    Args:
        origin: models and settings.
        classes: to look for.
        photographs: that are to be labelled.
        out: folder of the label set.
        image_labels: the classes that photographs are known to show.
        shard_size: photographs a shard.
    """
    known = ImageLabels(image_labels or {}, classes, photographs.root, photographs.keys())
    manifest = run_manifest(classes, as_begun(origin, out), photographs, shard_size)
    if image_labels is not None:
        manifest["image_labels"] = known.to_manifest()
    return PlannedRun(known, manifest)


def as_begun(origin: Mapping[str, Any], out: Place) -> dict[str, Any]:
    """The origin of a run, with the recipe's name that labels in ``out`` have: it decides nothing by itself.

    Args:
        origin: models and settings of the run.
        out: folder of the label set.
    """
    models = dict(origin["models"])
    if is_there(out / MANIFEST):
        models.pop("recipe", None)
        models = _with_name(recorded_recipe(out), models)
    return {**origin, "models": models}


def run_manifest(
    vocabulary: Vocabulary, origin: Mapping[str, Any], photographs: Source, shard_size: int
) -> dict[str, Any]:
    """The manifest of a run.

    Args:
        vocabulary: the classes to look for.
        origin: the models and settings.
        photographs: that are to be labelled.
        shard_size: photographs a shard.

    Raises:
        ValueError: ``shard_size`` is below 1.
    """
    keys = photographs.keys()
    known = {"sha256_of_paths_and_sizes": _fingerprint(keys, photographs.sizes())}
    return new_manifest(
        vocabulary, count=len(keys), shard_size=shard_size, root=photographs.root, images=known, **origin
    )


def _fingerprint(keys: Sequence[str], sizes: Sequence[int]) -> str:
    """SHA-256 of all keys and sizes as one JSON array, which is never whole in memory.

    Sizes too: another folder whose files have the same names must not pass for this one.
    """
    digest, before = sha256(), "["
    for key, size in zip(keys, sizes, strict=True):
        digest.update(f"{before}{json.dumps((key, int(size)))}".encode())
        before = ", "
    digest.update(b"]")
    return digest.hexdigest()


def _recipe_of(name: str, out: Place, *, needed: bool) -> Recipe | None:
    """The recipe of a run; with ``auto`` that of the labels in ``out``, if there are any.

    Where there are none, any recipe will do to check the rest.
    """
    if name != AUTO:
        return get_recipe(name)
    name = (recorded_recipe(out) if needed else None) or named_by_environment() or ""
    return get_recipe(name) if name else RECIPES["offline"] if needed else None


def _origin_of_two(
    recipe: Recipe | None,
    image_text: str | None,
    mask_generator: str | None,
    settings: LabelingSettings,
) -> dict[str, Any]:
    named = RECIPES["offline"] if recipe is None else recipe
    name = None if image_text and mask_generator else named.name
    masks = mask_generator or named.mask_generator
    assert masks is not None
    image_text, masks = IMAGE_TEXT.expand(image_text or named.image_text), MASK_GENERATORS.expand(masks)
    IMAGE_TEXT.get(_family(image_text))
    MASK_GENERATORS.get(_family(masks))
    options = {} if mask_generator else dict(named.mask_options)
    models = {"image_text": image_text, "mask_generator": masks, "mask_options": options}
    return {"models": _with_name(name, models), "settings": asdict(settings)}


def _origin_of_teacher(
    teacher: str,
    options: Mapping[str, Any] | None,
    prefilter: tuple[str, int] | None,
    recipe: str | None = None,
) -> dict[str, Any]:
    spec = CONCEPTS.expand(teacher)
    CONCEPTS.get(_family(spec))
    models: dict[str, Any] = {"teacher": spec, "teacher_options": dict(options or {})}
    if prefilter is not None:
        chooses = IMAGE_TEXT.expand(prefilter[0])
        IMAGE_TEXT.get(_family(chooses))
        models["prefilter"] = {"image_text": chooses, "keep": prefilter[1]}
    return {"models": _with_name(recipe, models), "settings": asdict(CompetitionSettings.suited_to(spec))}


def _with_name(recipe: str | None, models: Mapping[str, Any]) -> dict[str, Any]:
    return {**models} if recipe is None else {"recipe": recipe, **models}


def _family(spec: str) -> str:
    return spec.partition("?")[0].partition(":")[0]


def _check_same_teacher(out: Place, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse labels of another teacher, or of none; a model may add options, as a revision, to its spec."""
    teachers = [re.sub(r"\?[^+]*", "", str(models.get("teacher") or "")) for models in (found, wanted)]
    if teachers[0] != teachers[1]:
        check_same_run(out, {"models": _teacher(found)}, {"models": _teacher(wanted)})


def _teacher(models: Mapping[str, Any]) -> dict[str, Any]:
    return {"teacher": models.get("teacher")}


def _without_models(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != "models"}
