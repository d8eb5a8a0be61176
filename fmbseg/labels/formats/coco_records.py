"""A COCO file and its photographs as records of a label set, with the class of each category."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fmbseg.files import sha256_of
from fmbseg.images import load_image
from fmbseg.labels.formats.coco_file import CocoFile
from fmbseg.labels.formats.coco_masks import run_lengths_of
from fmbseg.labels.formats.photographs import PhotographFinder
from fmbseg.labels.shards import from_row
from fmbseg.vocabulary import Vocabulary, meaning_of_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fmbseg.labels.formats.coco_file import CocoAnnotation, CocoCategory, CocoImage, Id
    from fmbseg.labels.record import LabeledImage
    from fmbseg.vocabulary import VocabularySource


@dataclass(frozen=True)
class CocoClasses:
    """The classes of a file.

    Attributes:
        vocabulary: the classes.
        index: of each used category's class, by the category's id.
        no_class: names of used categories that are not a class, by id: they mean background, or pixels that
            do not count.
    """

    vocabulary: Vocabulary
    index: dict[Id, int]
    no_class: dict[Id, str]

    @classmethod
    def of(cls, file: CocoFile, vocabulary: VocabularySource | None = None) -> CocoClasses:
        """Find the class of each category by its name.

        Args:
            file: with its categories.
            vocabulary: the classes. If not given, those that fmbseg wrote when it exported the labels; else
                the categories, except those that mean background or pixels that do not count, and except an
                unused one that is only the ``supercategory`` of others (Roboflow writes one).

        Raises:
            ValueError: no class is left, two categories have one name, or the vocabulary lacks one.
        """
        used = {one.category for group in file.annotations.values() for one in group}
        if vocabulary is not None:
            classes = Vocabulary.of(vocabulary)
        elif "vocabulary" in file.about:
            classes = _exported(file.about["vocabulary"])
        else:
            classes = Vocabulary.of(_names(file, used))
        index: dict[Id, int] = {}
        no_class: dict[Id, str] = {}
        for key in sorted(used, key=_order):
            name = file.categories[key].name.strip()
            if name not in classes.names and meaning_of_name(name) is not None:
                no_class[key] = name
            else:
                index[key] = classes.index(name)
        return cls(classes, index, no_class)


def _exported(saved: Any) -> Vocabulary:
    """The vocabulary that fmbseg wrote; tools may have changed it."""
    try:
        return Vocabulary.from_dict(saved)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"info.fmbseg.vocabulary is not a vocabulary: {error}") from error


def _names(file: CocoFile, used: set[Id]) -> list[str]:
    """The categories that are classes, in the order of their ids."""
    chosen = [
        file.categories[key]
        for key in sorted(file.categories, key=_order)
        if meaning_of_name(file.categories[key].name) is None
        and (key in used or not _stands_above(file.categories[key], file))
    ]
    if not chosen:
        raise ValueError("no category is a class: name at least one that is not background")
    seen: dict[str, Id] = {}
    for one in chosen:
        if one.name.strip() in seen:
            raise ValueError(
                f"the categories {seen[one.name.strip()]!r} and {one.id!r} are both named {one.name!r}: "
                "rename one, or give the classes"
            )
        seen[one.name.strip()] = one.id
    return list(seen)


def _stands_above(category: CocoCategory, file: CocoFile) -> bool:
    return any(
        other.supercategory == category.name and other.id != category.id for other in file.categories.values()
    )


def _order(key: Id) -> tuple[bool, int, str]:
    """Numbers before strings."""
    return (False, key, "") if isinstance(key, int) else (True, 0, key)


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
        masks: list[dict[str, Any]] = []
        unknown: list[str] = []  # annotations of something that is there, but nobody knows where
        vocabulary = self.classes.vocabulary
        presences = {
            vocabulary.index(word): likely
            for word, likely in entry.detected.items()
            if word in vocabulary.names
        }
        for one in self.annotations.get(entry.id, []):
            counts = _mask(one, entry.size)
            if one.category in self.classes.no_class:
                self.without_class.append(one.id)
                if meaning_of_name(self.classes.no_class[one.category]) == "ignore":
                    unknown.append(repr(one.id))
                continue
            presences.setdefault(self.classes.index[one.category])
            if counts is None:
                self.without_mask.append(one.id)
                unknown.append(repr(one.id))
            else:
                masks.append(_as_row(one, counts, self.classes.index[one.category]))
        if unknown and not masks:
            return f"none of its annotations has a mask of a class in it (ids {', '.join(unknown[:5])})"
        height, width = entry.size
        row = {"path": name, "sha256": digest, "height": height, "width": width, "masks": masks}
        detected = sorted(presences)
        return from_row({**row, "detected": detected, "presences": [presences[index] for index in detected]})

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


def _as_row(one: CocoAnnotation, counts: bytes, class_id: int) -> dict[str, Any]:
    """A mask as a shard has it."""
    same = ("stage", "predicted_iou", "stability", "similarity", "kept", "points", "certainty")
    return {
        "counts": counts.decode("ascii"),
        "class_id": class_id,
        "feature": None,
        **{name: getattr(one, name) for name in same},
    }


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
