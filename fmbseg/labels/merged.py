"""Several collections of labels joined into one, under one vocabulary."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.labels.collection import LabelCollection
from fmbseg.sources.contract import joined
from fmbseg.sources.listing import common_root
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fmbseg.labels.record import LabeledImage

_REPEATED = ("refuse", "first")


def merge(*labels: LabelCollection, repeated: str = "refuse") -> MergedLabels:
    """Join the photographs of several collections, in order, under one vocabulary.

    Classes with the same name become one. Photographs are found from the folder that all roots share.

    Args:
        labels: at least one collection.
        repeated: what a photograph in two collections means: ``"refuse"``, or ``"first"`` to take it from
            the first collection that has it (for example corrected labels before the rest).

    Raises:
        ValueError: no collection, templates that differ, a word of two classes, or an unknown value of
            ``repeated``. Repeated photographs are found when the merged labels are first counted or iterated.
    """
    return MergedLabels(labels, repeated=repeated)


class MergedLabels(LabelCollection):
    """The photographs of several collections, one collection after another.

    Args:
        parts: the collections.
        repeated: ``"refuse"`` photographs that are in two of them, or take each from the ``"first"``.

    Raises:
        ValueError: see :func:`merge`. Photographs are compared by their paths.
    """

    def __init__(self, parts: Sequence[LabelCollection], *, repeated: str = "refuse") -> None:
        if repeated not in _REPEATED:
            raise ValueError(f"repeated is {repeated!r}: it must be one of {', '.join(_REPEATED)}")
        if not parts:
            raise ValueError("there are no labels to merge: give one collection or more")
        self._parts = tuple(parts)
        self._repeated = repeated
        self._vocabulary = merge_vocabularies([part.vocabulary for part in self._parts])
        self._root = _common([part.root for part in self._parts])

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes of all parts, in order of first appearance."""
        return self._vocabulary

    @property
    def root(self) -> Path | str:
        """The folder or URI that contains the roots of all parts."""
        return self._root

    @property
    def fingerprint(self) -> str:
        """Hash of the parts' fingerprints, in order, and of how repeated photographs are handled."""
        content = json.dumps([self._repeated, *(part.fingerprint for part in self._parts)])
        return sha256(content.encode()).hexdigest()

    @property
    def origin(self) -> dict[str, Any]:
        """The models that all parts agree on, every part's teacher and its licence, and each part's origin.

        The licence of a teacher holds for a head whatever other labels it learned from.
        """
        origins = [part.origin for part in self._parts]
        models = origins[0].get("models", {})
        of_teachers = {
            key: ", ".join(found)
            for key in ("teacher", "license")
            if (found := _each_once([origin.get("models", {}).get(key) for origin in origins]))
        }
        agreed = {
            key: value
            for key, value in models.items()
            if all(origin.get("models", {}).get(key) == value for origin in origins)
        }
        return {"models": agreed | of_teachers, "merged": origins}

    @property
    def whole(self) -> MergedLabels:
        """The same with what is less certain than each part shows; see :attr:`LabelCollection.whole`."""
        return MergedLabels([part.whole for part in self._parts], repeated=self._repeated)

    def certain(self, certainty: float) -> MergedLabels:
        """The same with what is as certain in each part; see :meth:`LabelCollection.certain`."""
        return MergedLabels([part.certain(certainty) for part in self._parts], repeated=self._repeated)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LabeledImage]:
        seen: set[str] = set()
        for part in self._parts:
            prefix = _below(self._root, part.root)
            indices = np.array([self._vocabulary.index(name) for name in part.vocabulary.names], np.int32)
            for image in part:
                path = (prefix / image.path).as_posix()
                if path not in seen:
                    seen.add(path)
                    yield _moved(image, path, indices)
                elif self._repeated == "refuse":
                    raise ValueError(
                        f"{joined(str(self._root), path)} is in two of the label sets: merge sets of "
                        'different photographs, or take each from the first that has it with repeated="first"'
                    )

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self)  # so that a repeated photograph is refused before anything is written


def merge_vocabularies(vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    """One vocabulary with all classes; classes with the same name become one, with all their words.

    Raises:
        ValueError: templates that differ, or a word that stands for two classes.

    Example:
        >>> merge_vocabularies([Vocabulary.of(["cat", "dog"]), Vocabulary.of({"puppy": "dog"})]).prompts
        (('cat',), ('dog', 'puppy'))
    """
    templates = {vocabulary.templates for vocabulary in vocabularies}
    if len(templates) > 1:
        raise ValueError(f"the label sets have different templates, {sorted(templates)}: label with the same")
    words: dict[str, dict[str, None]] = {}
    background: set[str] = set()
    for vocabulary in vocabularies:
        for name, prompts in zip(vocabulary.names, vocabulary.prompts, strict=True):
            words.setdefault(name, {}).update(dict.fromkeys(prompts))
        background.update(vocabulary.names[index] for index in vocabulary.background)
    names = tuple(words)
    return Vocabulary(
        names=names,
        prompts=tuple(tuple(each) for each in words.values()),
        background=frozenset(names.index(name) for name in background),
        templates=next(iter(templates)),
    )


def _each_once(given: Sequence[str | None]) -> list[str]:
    """What was given, each once, in order."""
    return list(dict.fromkeys(one for one in given if one))


def _moved(image: LabeledImage, path: str, indices: NDArray[np.int32]) -> LabeledImage:
    """The record with another path and translated class indices."""
    detected = indices[np.asarray(image.detected, np.int64)]
    order = np.argsort(detected)
    return replace(
        image,
        path=path,
        detected=tuple(detected[order].tolist()),
        presences=image.presences[order],
        class_ids=indices[image.class_ids],
    )


def _common(roots: Sequence[Path | str]) -> Path | str:
    """The folder or URI that all roots lie in; a ValueError if there is none."""
    paths = [root.absolute() for root in roots if isinstance(root, Path)]
    if len(paths) == len(roots):
        return Path(os.path.commonpath(paths))
    return common_root([joined(str(root), "a photograph") for root in roots])


def _below(whole: Path | str, root: Path | str) -> PurePosixPath:
    if isinstance(root, Path):
        return PurePosixPath(root.absolute().relative_to(whole).as_posix())
    return PurePosixPath(joined(root, "")[len(joined(str(whole), "")) :])
