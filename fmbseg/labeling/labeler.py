"""PseudoLabeler: photographs and a vocabulary in, a label set on disk out (Stage 1)."""

from __future__ import annotations

import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

from fmbseg.devices import Device, find_device
from fmbseg.engines.engine import engine_of
from fmbseg.images import load_image
from fmbseg.labeling.look_ahead import check_workers, planned
from fmbseg.labeling.on_engine import EngineRun, label_on
from fmbseg.labeling.pipeline import label_files
from fmbseg.labeling.teacher import refuse_beside_a_teacher, refuse_without_a_teacher
from fmbseg.labeling.two_models import TwoModels
from fmbseg.labeling.ways import make_teacher, make_two_models
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import recorded_recipe
from fmbseg.labels.place import place_of
from fmbseg.labels.writer import LabelWriter
from fmbseg.models.loading.speed import Speed
from fmbseg.progress import Progress
from fmbseg.reasons import Reasons
from fmbseg.recipes import AUTO
from fmbseg.recipes.auto import ByRecipe
from fmbseg.sources.opened import open_source
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fmbseg.aligned.encoder import AlignedEncoder
    from fmbseg.engines.engine import Engine, EngineName
    from fmbseg.images import ImageInput
    from fmbseg.labeling.competition import CompetitionSettings
    from fmbseg.labeling.image_labels import ImageLabels, ImageLabelSource
    from fmbseg.labeling.pipeline import Way
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.labels.record import LabeledImage
    from fmbseg.models.contracts import ConceptModel, ImageTextEncoder, MaskGenerator
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.models.loading.precision import Precision
    from fmbseg.part import Part
    from fmbseg.recipes import Recipe
    from fmbseg.sources.contract import Source
    from fmbseg.sources.opened import Photographs
    from fmbseg.vocabulary import VocabularySource


class PseudoLabeler:
    """Label photographs without annotation.

    Two ways: an image-text model names classes and a mask model cuts them out; or, with ``teacher`` or a
    recipe that has one, a concept model names and cuts in one step, and neither of the two is loaded.

    Args:
        recipe: names the models and their settings; the arguments below take precedence. ``"auto"`` is the
            best open one within reach (see :mod:`fmbseg.recipes.auto`), or, if labels are continued,
            the one that they were begun with. It is decided when the models are first needed. Where both
            models or a teacher are given, ``"auto"`` names none, and settings are the defaults.
        image_text: an image-text encoder, or its spec.
        mask_generator: a mask generator, or its spec. What one that is made already says of its ``options``
            is recorded with the labels, as ``mask_options`` are.
        mask_options: of the mask generator, for example ``{"points_per_side": 16}``; only with a spec.
        teacher: a concept model, or its spec, in place of the recipe's models.
        teacher_options: of the teacher; only with a spec.
        prefilter: an image-text encoder or its spec, and a number: of each photograph, the teacher is asked
            only for that many classes, those that look likeliest in any crop. For long vocabularies; what it
            leaves out is lost.
        settings: of Stage 1; with a teacher, of the competition between its words for pixels.
        device: where the models compute; by default the best there is. A mask generator that is made already
            stays where it is.
        mask_cache: folder in which masks of "segment everything" are kept, so that the same photographs are
            labelled with other words or settings without the mask model making them again.
        aligned: a head of an earlier round, or its folder or name: it makes the dense map in the image-text
            model's place, so that masks are named by what the head has learned.
        hub: how files of the models are found; by default as the Hub's client is configured.
        precision: of both models on accelerators: ``fp32``, ``fp16``, ``bf16`` or ``auto`` (bf16, or
            fp16 on a device without), in place
            of what each was loaded with. A CPU uses float32.
        compiled: run both models through ``torch.compile``; the first photograph then waits for it.

    Raises:
        UnknownNameError: the registry does not know a recipe or a spec.
        AlignedEncoderError: ``aligned`` is not a head, or one of another image-text model.
        ContractError: a teacher that lacks a part of the contract of concept models.
        ValueError: options for a model that is already made, or an argument that this way does not take.

    Where the recipe's mask model cannot be had, superpixels stand in for it, with a warning.
    """

    def __init__(
        self,
        recipe: str = AUTO,
        *,
        image_text: ImageTextEncoder | str | None = None,
        mask_generator: MaskGenerator | str | None = None,
        mask_options: Mapping[str, Any] | None = None,
        teacher: ConceptModel | str | None = None,
        teacher_options: Mapping[str, Any] | None = None,
        prefilter: tuple[ImageTextEncoder | str, int] | None = None,
        settings: LabelingSettings | CompetitionSettings | None = None,
        device: Device = None,
        mask_cache: str | Path | None = None,
        aligned: AlignedEncoder | str | Path | None = None,
        hub: HubOptions | None = None,
        precision: Precision | None = None,
        compiled: bool = False,
    ) -> None:
        self._given: dict[str, Any] = {
            "recipe": recipe,
            "image_text": image_text,
            "mask_generator": mask_generator,
            "mask_options": mask_options,
            "teacher": teacher,
            "teacher_options": teacher_options,
            "prefilter": prefilter,
            "settings": settings,
            "device": device,
            "mask_cache": mask_cache,
            "aligned": aligned,
            "hub": hub,
            "precision": precision,
            "compiled": compiled,
        }
        on = find_device(device)
        names = ("image_text", "mask_generator", "mask_options", "mask_cache", "aligned")
        of_two = {name: self._given[name] for name in names}
        speed = Speed(precision, compiled)
        self._of_recipe = teacher is None and (image_text is None or mask_generator is None)

        def make(chosen: Recipe | None) -> Way:
            named = teacher if chosen is None or teacher is not None else chosen.teacher
            if named is not None:
                refuse_beside_a_teacher({**of_two, **speed.given()})
                return make_teacher(named, teacher_options, settings, prefilter, on, hub)
            of_stage1 = refuse_without_a_teacher(settings, teacher_options, prefilter)
            return make_two_models(
                chosen,
                image_text,
                mask_generator,
                mask_options,
                of_stage1,
                on,
                mask_cache=mask_cache,
                aligned=aligned,
                hub=hub,
                speed=speed,
            )

        if teacher is None and any(value is not None for value in of_two.values()):
            refuse_without_a_teacher(settings, teacher_options, prefilter)
        self._way = ByRecipe(recipe, make, hub, on, needed=self._of_recipe)

    @property
    def way(self) -> Way:
        """The models that label, and how; asking for them decides ``auto``."""
        return self._way.made()

    @property
    def two_models(self) -> TwoModels:
        """The way of an image-text model and a mask generator.

        Raises:
            ValueError: a teacher labels.
        """
        way = self.way
        if not isinstance(way, TwoModels):
            teacher = way.origin["models"]["teacher"]
            raise ValueError(f"the teacher {teacher} labels: there is no other model")
        return way

    @property
    def encoder(self) -> ImageTextEncoder:
        """The image-text model; a ValueError where a teacher labels."""
        return self.two_models.encoder

    @property
    def generator(self) -> MaskGenerator:
        """The mask generator; a ValueError where a teacher labels."""
        return self.two_models.generator

    @property
    def settings(self) -> LabelingSettings | CompetitionSettings:
        """Of Stage 1, or of the competition."""
        return self.way.settings

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings that labels are made with, as JSON values; the recipe, if it named any."""
        origin = self.way.origin
        if not self._of_recipe:
            return origin
        return {**origin, "models": {"recipe": self._way.name, **origin["models"]}}

    def label_image(self, image: ImageInput, vocabulary: VocabularySource, *, key: str = "") -> LabeledImage:
        """Label one image; nothing is written. Of two models, all that Stage 1 saw is returned.

        Args:
            image: see :func:`fmbseg.images.load_image`.
            vocabulary: the classes to look for.
            key: what the seeded draw of Stage 1.2 depends on.
        """
        return self.way.label_image(load_image(image), Vocabulary.of(vocabulary), key)

    def label(
        self,
        photographs: Photographs,
        vocabulary: VocabularySource,
        out: str | Path,
        *,
        image_labels: ImageLabelSource | None = None,
        shard_size: int = 1000,
        part: Part | None = None,
        workers: int = 1,
        engine: EngineName = None,
        progress: bool = True,
    ) -> LabelSet:
        """Label photographs into ``out``; a run that was stopped continues where it stopped.

        A photograph that cannot be read is noted in its shard (``labels.errors``) and passed over.

        Args:
            photographs: a folder, files, or what else :func:`~fmbseg.sources.opened.open_source` takes, by
                path or URI.
            vocabulary: the classes to look for: a list, a mapping, a file or a benchmark's name.
            out: folder for ``manifest.json`` and the shards; or a URI, such as ``s3://bucket/labels``, to
                which whole shards are sent; what is not sent yet lies in fmbseg's cache folder here.
            image_labels: the classes that photographs are known to show, as a mapping from path to names or
                a CSV file (see :class:`~fmbseg.labeling.image_labels.ImageLabels`); they replace the presence
                step for these photographs. The manifest records a hash of them.
            shard_size: photographs in a shard.
            part: label the photographs of every n-th shard alone, into a folder of its own; all parts are
                joined by :func:`fmbseg.labels.joined.join`.
            workers: photographs that masks are made for, or a teacher is asked of, at once, each on a thread;
                the labels do not depend on it. On a CPU that the models do not fill, about half as many as
                cores serve best.
            engine: label shards on :class:`~fmbseg.engines.engine.OnRay` (``"ray"``: as it comes) or
                :class:`~fmbseg.engines.engine.OnProcesses`; the labels do not depend on it. Each worker loads
                the models itself, and ``out`` and the photographs must be within reach of all.
            progress: show a bar.

        Returns:
            The label set, or the part of it. Warnings tell how many photographs could not be read, and how
            many files were passed over.

        Raises:
            ImageError: no photograph found.
            StorageError: object storage cannot be reached, or refuses; repeating the call continues the run.
            ValueError: a vocabulary that is none; image labels that name other photographs or classes; or
                ``out`` holds labels of another configuration, or another run is writing to it.
            OSError: ``out`` cannot be written. After a full disk, repeating the call continues the run.
            EngineError: no worker of the engine can do any work.
            WorkFailedError: shards failed on every try; all others are written.
        """
        check_workers(workers)
        if (chosen := engine_of(engine)) is not None:
            return label_elsewhere(
                chosen,
                self._given,
                photographs,
                vocabulary,
                out,
                image_labels=image_labels,
                shard_size=shard_size,
                part=part,
                workers=workers,
                progress=progress,
            )
        classes, source = Vocabulary.of(vocabulary), open_source(photographs)
        if told := source.told():
            warnings.warn(told, stacklevel=2)
        self._way.made(recorded_recipe(place_of(out)), out)
        if left := self.way.left_out:
            warnings.warn(left, stacklevel=2)
        run = planned(self.origin, classes, source, place_of(out), image_labels, shard_size)
        with LabelWriter(out, run.manifest, part) as writer:
            if not writer.done:
                self._write(writer, classes, source, run.known, workers, Progress(progress))
        return _finished(LabelSet(out, part), stacklevel=3)

    def _write(
        self,
        writer: LabelWriter,
        classes: Vocabulary,
        photographs: Source,
        known: ImageLabels,
        workers: int,
        progress: Progress,
    ) -> None:
        """Label the photographs that are not written yet."""
        keys, todo = photographs.keys(), writer.positions()
        steps = self.way.steps(classes, len(todo))
        wanted = (keys[position] for position in todo)
        results = label_files(photographs, wanted, steps, present=known.of, workers=workers)
        failures = Reasons()
        with progress as bars, closing(results):
            bar = bars.bar("labelling", writer.count, done=writer.count - len(todo))
            for path, result in results:
                if isinstance(result, str):
                    writer.append_error(path, result)
                    failures.note(path, result)
                else:
                    writer.append(result)
                bar.advance(1, detail=str(failures))


def label_elsewhere(
    engine: Engine,
    given: Mapping[str, Any],
    photographs: Photographs,
    vocabulary: VocabularySource,
    out: str | Path,
    *,
    image_labels: ImageLabelSource | None = None,
    shard_size: int = 1000,
    part: Part | None = None,
    workers: int = 1,
    progress: bool = True,
) -> LabelSet:
    """Label on an engine, with no model loaded here: what ``PseudoLabeler(**given).label`` does.

    Args:
        engine: that does the work.
        given: arguments of :class:`PseudoLabeler`; models as specs, or picklable.
        photographs: and all that follows, as in :meth:`PseudoLabeler.label`.
        vocabulary: the classes to look for.
        out: folder of the label set.
        image_labels: the classes that photographs are known to show.
        shard_size: photographs a shard.
        part: of the run.
        workers: photographs that one worker labels at once.
        progress: show a bar.
    """
    check_workers(workers)
    classes, source = Vocabulary.of(vocabulary), open_source(photographs)
    if told := source.told():
        warnings.warn(told, stacklevel=3)
    run = EngineRun(source, classes, place_of(out), image_labels, shard_size, part, workers)
    label_on(engine, PseudoLabeler, given, run, shown=progress)
    return _finished(LabelSet(out, part), stacklevel=4)


def _finished(labels: LabelSet, stacklevel: int) -> LabelSet:
    """Warn of the photographs that are not labelled."""
    if errors := labels.errors:
        warnings.warn(
            f"{len(errors)} of {len(labels) + len(errors)} photographs could not be labelled, "
            f"{errors[0]['path']} first ({errors[0]['error']}); "
            f"all are in LabelSet({str(labels.place)!r}).errors",
            stacklevel=stacklevel,
        )
    return labels
