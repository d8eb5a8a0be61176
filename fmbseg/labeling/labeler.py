"""PseudoLabeler: photographs and a vocabulary in, a label set on disk out (Stage 1)."""

from __future__ import annotations

import warnings
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.image_text import AlignedImageText
from fmbseg.image_files import passed_over
from fmbseg.images import load_image
from fmbseg.labeling.classes import Classes
from fmbseg.labeling.image_labels import ImageLabels
from fmbseg.labeling.look_ahead import photographs_of, run_manifest
from fmbseg.labeling.pipeline import label_files
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labeling.stage1 import Labels, label_image
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.writer import LabelWriter
from fmbseg.models.catalog import find_card
from fmbseg.models.contracts import HasOptions
from fmbseg.models.loading.create import create_model
from fmbseg.models.mask_generators.kept_masks import KeptMasks
from fmbseg.models.registries import IMAGE_TEXT, MASK_GENERATORS
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmbseg.images import ImageInput
    from fmbseg.labeling.image_labels import ImageLabelSource
    from fmbseg.models.contracts import ImageTextEncoder, MaskGenerator
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.vocabulary import VocabularySource

STAND_IN = "superpixels"
"""Mask generator that is used where a recipe's own cannot be had."""


class PseudoLabeler:
    """Label photographs without annotation: an image-text model names classes, a mask model cuts them out.

    Args:
        recipe: names the models and their settings; what is given below goes before it.
        image_text: an image-text encoder, or its spec.
        mask_generator: a mask generator, or its spec. What one that is made already says of its ``options``
            is recorded with the labels, as ``mask_options`` are.
        mask_options: of the mask generator, for example ``{"points_per_side": 16}``; only with a spec.
        settings: of Stage 1.
        device: where the image-text model computes; a GPU if there is one.
        mask_cache: folder in which masks of "segment everything" are kept, so that the same photographs are
            labelled with other words or settings without the mask model making them again.
        aligned: a head of an earlier round, or its folder or name: it makes the dense map in the image-text
            model's place, so that masks are named by what the head has learned.
        hub: how files of the models are looked for, if not as the Hub's client is set up.

    Raises:
        UnknownNameError: the registry does not know a recipe or a spec.
        AlignedEncoderError: ``aligned`` is no head, or one of another image-text model.

    Where the recipe's mask model cannot be had, superpixels stand in for it, with a warning.
    """

    def __init__(
        self,
        recipe: str = "offline",
        *,
        image_text: ImageTextEncoder | str | None = None,
        mask_generator: MaskGenerator | str | None = None,
        mask_options: Mapping[str, Any] | None = None,
        settings: LabelingSettings | None = None,
        device: torch.device | str | None = None,
        mask_cache: str | Path | None = None,
        aligned: AlignedEncoder | str | Path | None = None,
        hub: HubOptions | None = None,
    ) -> None:
        chosen = get_recipe(recipe)
        self.settings = settings or LabelingSettings.from_dict(chosen.labeling)
        self.mask_options = dict(mask_options or {})
        if mask_generator is None:
            mask_generator, self.mask_options = _or_stand_in(
                chosen.mask_generator, {**chosen.mask_options, **self.mask_options}
            )
        if isinstance(mask_generator, str):
            mask_generator = create_model(MASK_GENERATORS, mask_generator, hub, **self.mask_options)
        elif mask_options:
            raise ValueError("mask_options are for a spec: a mask generator that is made already has its own")
        else:
            self.mask_options = dict(mask_generator.options) if isinstance(mask_generator, HasOptions) else {}
        if mask_cache is not None:
            mask_generator = KeptMasks(mask_generator, self.mask_options, mask_cache)
        self.generator: MaskGenerator = mask_generator
        encoder = image_text or chosen.image_text
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if isinstance(encoder, str):
            encoder = create_model(IMAGE_TEXT, encoder, hub)
        if isinstance(aligned, str | Path):
            aligned = AlignedEncoder.from_pretrained(aligned, hub=hub)
        self._aligned = aligned
        self.encoder: ImageTextEncoder = (
            encoder if aligned is None else AlignedImageText(encoder, aligned)
        ).to(self._device)
        self._embedded: tuple[Vocabulary, Classes] | None = None

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings that labels are made with, as JSON values."""
        models = {
            "image_text": self.encoder.spec,
            "mask_generator": self.generator.spec,
            "mask_options": self.mask_options,
        }
        if self._aligned is not None:
            models["aligned"] = self._aligned.describe()
        return {"models": models, "settings": asdict(self.settings)}

    def label_image(self, image: ImageInput, vocabulary: VocabularySource, *, key: str = "") -> Labels:
        """Label one image and return all that Stage 1 saw; nothing is written.

        Args:
            image: see :func:`fmbseg.images.load_image`.
            vocabulary: the classes to look for.
            key: what the seeded draw of Stage 1.2 hangs on.
        """
        classes = self._classes(Vocabulary.of(vocabulary))
        return label_image(load_image(image), key, classes, self.encoder, self.generator, self.settings)

    def label(
        self,
        photographs: str | Path | Sequence[str | Path],
        vocabulary: VocabularySource,
        out: str | Path,
        *,
        image_labels: ImageLabelSource | None = None,
        shard_size: int = 1000,
        workers: int = 1,
        progress: bool = True,
    ) -> LabelSet:
        """Label photographs into the folder ``out``; a run that was stopped continues where it stopped.

        A photograph that cannot be read is noted in ``errors.jsonl`` and passed over.

        Args:
            photographs: a folder, or files.
            vocabulary: the classes to look for: a list, a mapping, a file or a benchmark's name.
            out: folder for ``manifest.json`` and the shards.
            image_labels: the classes that photographs are known to show, as a mapping from path to names or
                a CSV file (see :class:`~fmbseg.labeling.image_labels.ImageLabels`); they replace the presence
                step for these photographs. The manifest records a hash of them.
            shard_size: photographs a shard.
            workers: photographs that masks are made for at once, each on a thread; the labels do not depend
                on it. On a CPU that the models do not fill, about half as many as cores serve best.
            progress: show a bar.

        Returns:
            The label set. Warnings tell how many photographs could not be read, and how many files were
            passed over.

        Raises:
            ImageError: no photograph found.
            ValueError: a vocabulary that is none; image labels that name other photographs or classes; or
                ``out`` holds labels of another configuration, or another run is writing to it.
            OSError: ``out`` cannot be written. After a full disk, the same call continues.
        """
        if workers < 1:
            raise ValueError(f"workers is {workers}: it must be 1 or more")
        classes = Vocabulary.of(vocabulary)
        root, paths = photographs_of(photographs)
        if left := passed_over(photographs):
            warnings.warn(str(left), stacklevel=2)
        if not self.generator.promptable:
            warnings.warn(
                f"{self.generator.spec} takes no point prompts: Stage 1.1 is left out", stacklevel=2
            )
        known = ImageLabels(image_labels or {}, classes, root, paths)
        manifest = run_manifest(classes, self.origin, root, paths, shard_size)
        if image_labels is not None:
            manifest["image_labels"] = known.to_manifest()
        with LabelWriter(out, manifest) as writer:
            if not writer.done:
                embedded = self._classes(classes)
                todo = [paths[position] for position in writer.positions()]
                results = label_files(
                    root,
                    todo,
                    embedded,
                    self.encoder,
                    self.generator,
                    self.settings,
                    present=known.of,
                    workers=workers,
                )
                with Progress(progress) as bars, closing(results):
                    done = len(paths) - len(todo)
                    for path, result in bars.track(results, "labelling", len(paths), done=done):
                        if isinstance(result, str):
                            writer.append_error(path, result)
                        else:
                            writer.append(result)
        labels = LabelSet(out)
        if errors := labels.errors:
            warnings.warn(
                f"{len(errors)} of {len(paths)} photographs could not be labelled, {errors[0]['path']} first "
                f"({errors[0]['error']}); all are in {labels.folder / 'errors.jsonl'}",
                stacklevel=2,
            )
        return labels

    def _classes(self, vocabulary: Vocabulary) -> Classes:
        if self._embedded is None or self._embedded[0] != vocabulary:
            with torch.inference_mode():
                embedded = Classes.embed(self.encoder, vocabulary, hubness=self.settings.hubness)
                self._embedded = (vocabulary, embedded)
        return self._embedded[1]


def _or_stand_in(spec: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The spec with its options where the model can be had, else those of what stands in for it."""
    card = find_card("mask generator", spec)
    lack = card.lacks(fetch=True) if card else None
    if lack is None:
        return spec, dict(options)
    warnings.warn(f"mask generator {spec}: {lack}. Superpixels stand in for it", stacklevel=3)
    return STAND_IN, {}
