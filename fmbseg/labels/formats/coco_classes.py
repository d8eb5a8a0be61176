"""Which class each category of a COCO file stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmbseg.vocabulary import Vocabulary, meaning_of_name

if TYPE_CHECKING:
    from fmbseg.labels.formats.coco_file import CocoCategory, CocoFile, Id
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
