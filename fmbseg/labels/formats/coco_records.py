"""A COCO file and its photographs as records of a label set."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.files import sha256_of
from fmbseg.images import load_image
from fmbseg.labels.formats.coco_classes import CocoClasses
from fmbseg.labels.formats.coco_file import CocoFile
from fmbseg.labels.formats.coco_masks import run_lengths_of
from fmbseg.labels.formats.photographs import PhotographFinder
from fmbseg.labels.record import LabeledImage
from fmbseg.masks import MaskSet
from fmbseg.vocabulary import meaning_of_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmbseg.labels.formats.coco_file import CocoAnnotation, CocoImage, Id
    from fmbseg.vocabulary import VocabularySource


@dataclass(frozen=True)
class CocoRecords:
    """A COCO file with its photographs.

    Attributes:
        root: folder of the photographs.
        classes: of its categories.
        models: that made the labels, where the file says so.
        annotations: of each image id.
        entries: each photograph's path with its entry, sorted by path.
        without_mask: ids of annotations that were left out because they have no mask.
        without_class: of those whose category is not a class.
    """

    root: Path
    classes: CocoClasses
    models: dict[str, Any]
    annotations: dict[Id, list[CocoAnnotation]]
    entries: list[tuple[str, CocoImage]]
    without_mask: list[Id] = field(default_factory=list)
    without_class: list[Id] = field(default_factory=list)

    @classmethod
    def of(cls, content: Any, root: Path, vocabulary: VocabularySource | None) -> CocoRecords:
        """Check the file as a whole, and find the photographs."""
        file = CocoFile.of(content)
        classes = CocoClasses.of(file, vocabulary)
        models = file.about.get("models", {})
        if not isinstance(models, dict):
            raise ValueError("info.fmbseg.models must be an object")
        finder = PhotographFinder(root)
        found: dict[str, CocoImage] = {}
        for entry in file.images.values():
            try:
                name = finder.find(entry.file_name)
            except ValueError as error:
                raise ValueError(f"image {entry.id!r}: {error}") from error
            if name in found:
                raise ValueError(f"images {found[name].id!r} and {entry.id!r} are both {name}")
            found[name] = entry
        return cls(root, classes, models, file.annotations, sorted(found.items()))

    def record(self, name: str, entry: CocoImage) -> LabeledImage | str:
        """The labels of one photograph, or why it has none although it has annotations.

        Raises:
            ValueError: a mask that cannot be read, or a photograph that is not the one that was labelled.
            OSError: the photograph cannot be read.
        """
        digest = _checked(self.root / name, entry)
        kept: list[tuple[CocoAnnotation, bytes]] = []
        unknown: list[str] = []  # annotations of something that is there, but nobody knows where
        detected = {word for word in entry.detected if word in self.classes.vocabulary.names}
        classes = {self.classes.vocabulary.index(word) for word in detected}
        for one in self.annotations.get(entry.id, []):
            counts = _mask(one, entry.size)
            if one.category in self.classes.no_class:
                self.without_class.append(one.id)
                if meaning_of_name(self.classes.no_class[one.category]) == "ignore":
                    unknown.append(repr(one.id))
                continue
            classes.add(self.classes.index[one.category])
            if counts is None:
                self.without_mask.append(one.id)
                unknown.append(repr(one.id))
            else:
                kept.append((one, counts))
        if unknown and not kept:
            return f"none of its annotations has a mask of a class in it (ids {', '.join(unknown[:5])})"
        return self._labeled(name, digest, entry.size, classes, kept)

    def _labeled(
        self,
        name: str,
        digest: str,
        size: tuple[int, int],
        classes: set[int],
        kept: Sequence[tuple[CocoAnnotation, bytes]],
    ) -> LabeledImage:
        annotations = [one for one, _ in kept]
        return LabeledImage(
            path=name,
            sha256=digest,
            detected=tuple(sorted(classes)),
            masks=MaskSet(
                size=size,
                rles=tuple(counts for _, counts in kept),
                predicted_iou=np.array([one.predicted_iou for one in annotations], np.float32),
                stability=np.array([one.stability for one in annotations], np.float32),
            ),
            class_ids=np.array([self.classes.index[one.category] for one in annotations], np.int32),
            stages=np.array([one.stage for one in annotations], np.int8),
            similarities=np.array([one.similarity for one in annotations], np.float32),
            kept=np.array([one.kept for one in annotations], np.bool_),
            points=tuple(np.array(one.points, np.float32).reshape(-1, 2) for one in annotations),
        )

    def tell(self, path: Path) -> None:
        """Warn of what was left out."""
        if self.without_mask:
            warnings.warn(
                f"{path}: {_counted(self.without_mask)} left out, without a mask within the image: draw "
                "masks for them, or take their photographs out",
                stacklevel=3,
            )
        if self.without_class:
            names = ", ".join(map(repr, self.classes.no_class.values()))
            warnings.warn(
                f"{path}: {_counted(self.without_class)} left out, because {names} is not a class: their "
                "pixels are not labelled. Give a vocabulary that has this name to make it a class",
                stacklevel=3,
            )


def _mask(annotation: CocoAnnotation, size: tuple[int, int]) -> bytes | None:
    try:
        return run_lengths_of(annotation.segmentation, size)
    except ValueError as error:
        raise ValueError(f"the mask of annotation {annotation.id!r} cannot be read: {error}") from error


def _counted(ids: Sequence[Id]) -> str:
    shown = ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")
    return f"{len(ids)} annotation{'s' if len(ids) > 1 else ''} (id {shown})"


def _checked(path: Path, entry: CocoImage) -> str:
    """The photograph's hash, if the photograph is the one that was labelled."""
    digest = sha256_of(path)
    if entry.sha256 is not None and entry.sha256 != digest:
        raise ValueError("the photograph was changed since it was labelled: put back the one that was")
    height, width = load_image(path).shape[:2]
    if (height, width) != entry.size:
        raise ValueError(
            f"the file says {entry.size[0]} x {entry.size[1]} (height x width), but the photograph is "
            f"{height} x {width}: was it changed, or did the tool leave out its EXIF turn?"
        )
    return digest
