"""Vocabularies: the classes, the words for each, and which of them mean background."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabularies import (
    BACKGROUND,
    SIMPLE,
    benchmark_classes,
    benchmark_names,
    is_benchmark,
    templates_of,
)
from fmbseg.vocabulary_files import SUFFIXES, is_saved, read_classes

VocabularySource: TypeAlias = "Vocabulary | str | Path | Sequence[str] | Mapping[str, str]"

DEFAULT_TEMPLATES = SIMPLE
_SLOT = "{}"

_BACKGROUND_NAMES = frozenset({"background", "backgrounds", "bg", "bkg"})
_IGNORE_NAMES = frozenset(
    {"ignore", "ignored", "ignore region", "ignored region", "ignored regions", "void", "unlabeled"}
    | {"unlabelled", "unlabeled area", "unannotated", "not annotated", "dont care", "don't care", "dontcare"}
    | {"out of roi"}
)


def meaning_of_name(name: str) -> Literal["background", "ignore"] | None:
    """Tell whether a class name, as other tools write it, means background or pixels that do not count.

    Background are ``background``, ``_background_`` (labelme), ``bg`` and ``bkg``. Pixels that do not count
    are ``ignore``, ``__ignore__`` (labelme), ``void`` (PASCAL VOC, CamVid), ``unlabeled`` and ``unlabelled``
    (Cityscapes, Mapillary), ``unlabeled area``, ``unannotated``, ``out of roi``, ``dontcare`` (KITTI) and
    ``ignored regions`` (VisDrone). Case is ignored, and spaces, hyphens and underscores are equivalent;
    those around a name, and brackets, do not count, nor does a remark in brackets behind it.

    Args:
        name: of a class, from a file or a data set.

    Returns:
        ``"background"``, ``"ignore"``, or None for an ordinary class.

    Example:
        >>> [meaning_of_name(name) for name in ("_background_", "Void", "cat", "ignore (crowds)")]
        ['background', 'ignore', None, 'ignore']
    """
    for text in (name, re.sub(r"(?<=\S)\s*\([^()]*\)\s*$", "", name)):
        plain = " ".join(re.sub(r"[\s_\-<>\[\](){}]+", " ", text).split()).casefold()
        if plain in _BACKGROUND_NAMES:
            return "background"
        if plain in _IGNORE_NAMES:
            return "ignore"
    return None


@dataclass(frozen=True)
class Vocabulary:
    """K classes, each with one or more words, and the templates that turn words into sentences.

    Names and words are stripped of outer white space. Order matters: a class's index is its position.

    Args:
        names: one unique name per class.
        prompts: the words of each class, at least one; by default the class's name.
        background: indices of the classes that mean "none of the others".
        templates: sentences with exactly one ``{}``, which a word replaces.

    Raises:
        ValueError: no class, a name or word that is empty, spans lines or stands twice, prompts that do
            not match the names, a background index that is not a class, or a template without one slot.

    Example:
        >>> animals = Vocabulary.of({"cat": "cat", "kitten": "cat", "dog": "dog"})
        >>> animals.names, animals.prompts[0], animals.index("dog")
        (('cat', 'dog'), ('cat', 'kitten'), 1)
        >>> animals.texts()[1]
        (0, 'a photo of a kitten.')
    """

    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...] = ()
    background: frozenset[int] = frozenset()
    templates: tuple[str, ...] = DEFAULT_TEMPLATES

    def __post_init__(self) -> None:
        given_names: object = self.names
        if isinstance(given_names, str):
            raise ValueError(f"names is a list; write [{given_names!r}]")
        names = tuple(_clean_word(name, f"class {index}") for index, name in enumerate(self.names))
        _check_names(names)
        given = self.prompts or tuple((name,) for name in names)
        prompts = tuple(_clean_words(words, f"class {index}") for index, words in enumerate(given))
        _check_prompts(names, prompts)
        background = frozenset(_indices(self.background))
        outside = sorted(index for index in background if not 0 <= index < len(names))
        if outside:
            raise ValueError(f"background names class {outside}, but classes go from 0 to {len(names) - 1}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "prompts", prompts)
        object.__setattr__(self, "background", background)
        object.__setattr__(self, "templates", _checked_templates(self.templates))

    @classmethod
    def of(cls, source: VocabularySource, *, templates: str | Sequence[str] | None = None) -> Vocabulary:
        """Make a vocabulary from any kind of source.

        Args:
            source: a vocabulary; a list of names; a mapping ``{word: class}`` (several words may lead to
                one class; classes are in the order of their first word); a benchmark's name (``voc20``,
                ``voc20:clean``); or the path of a file: ``.txt`` (one name a line, ``#`` starts a comment),
                ``.json`` (a list, a mapping, or what :meth:`to_dict` gave), ``.yaml`` or ``.names``, in any
                form that :func:`fmbseg.vocabulary_files.read_classes` knows. Names in a file have the
                meaning that :meth:`with_meanings` gives them.
            templates: instead of the source's own: ``"simple"``, ``"clip80"`` or sentences with one ``{}``.

        Raises:
            ValueError: the source is empty, is not one of these, or fails the checks above.
        """
        made = cls._of(source)
        return made if templates is None else replace(made, templates=templates_of(templates))

    @classmethod
    def _of(cls, source: VocabularySource) -> Vocabulary:
        if isinstance(source, Vocabulary):
            return source
        if isinstance(source, Path):
            return cls._from_file(source)
        if isinstance(source, str):
            return cls._from_text(source)
        if isinstance(source, Mapping):
            return cls._from_mapping(source)
        if not isinstance(source, Iterable):
            raise ValueError(f"a vocabulary is a list of names, not {type(source).__name__} {source!r}")
        return cls(names=tuple(source))

    @classmethod
    def _from_text(cls, text: str) -> Vocabulary:
        if is_benchmark(text):
            names = tuple(benchmark_classes(text))
            # Only the lists that add the class have it, and they have it first.
            return cls(names=names, background=frozenset({0} if names[0] == BACKGROUND else ()))
        if Path(text).suffix.lower() in SUFFIXES:
            return cls._from_file(Path(text))
        raise ValueError(
            f"{UnknownNameError('class list', text, benchmark_names())}. "
            f"For words give a list, [{text!r}]; for a file, a path that ends in {', '.join(SUFFIXES)}"
        )

    @classmethod
    def _from_mapping(cls, classes: Mapping[str, str]) -> Vocabulary:
        words: dict[str, list[str]] = {}
        for word, name in classes.items():
            words.setdefault(_clean_word(name, f"the class of {word!r}"), []).append(word)
        return cls(names=tuple(words), prompts=tuple(tuple(each) for each in words.values()))

    @classmethod
    def _from_file(cls, path: Path) -> Vocabulary:
        try:
            content = read_classes(path)
            if is_saved(content):
                return cls.from_dict(content)
            return cls._of(content).with_meanings(str(path))
        except (OSError, ValueError) as error:
            said = str(error.strerror) if isinstance(error, OSError) else str(error)
            raise ValueError(said if str(path) in said else f"no vocabulary in {path}: {said}") from error

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def index(self, name: str) -> int:
        """The index of a class.

        Raises:
            UnknownNameError: (a KeyError) no class has that name; the message offers near misses.
        """
        if name not in self.names:
            raise UnknownNameError("class", name, self.names)
        return self.names.index(name)

    def without_background(self) -> Vocabulary:
        """The same classes without those that mean background; indices move up."""
        kept = [index for index in range(len(self)) if index not in self.background]
        return replace(
            self,
            names=tuple(self.names[index] for index in kept),
            prompts=tuple(self.prompts[index] for index in kept),
            background=frozenset(),
        )

    def with_meanings(self, source: str) -> Vocabulary:
        """The same classes, with names interpreted as in other tools.

        Names that mean background (:func:`meaning_of_name`) become background classes; names for pixels that
        do not count are left out, with a warning.

        Args:
            source: of the names, for the warning.

        Raises:
            ValueError: no class is left.

        Example:
            >>> read = Vocabulary.of(["_background_", "cat"]).with_meanings("labels.txt")
            >>> read.names, read.background
            (('_background_', 'cat'), frozenset({0}))
        """
        meanings = [meaning_of_name(name) for name in self.names]
        kept = [index for index, meaning in enumerate(meanings) if meaning != "ignore"]
        for name, meaning in zip(self.names, meanings, strict=True):
            if meaning == "ignore":
                warnings.warn(
                    f"{source}: {name!r} means pixels that do not count, and is left out; "
                    "if it is a real class, give it another name",
                    stacklevel=2,
                )
        return replace(
            self,
            names=tuple(self.names[index] for index in kept),
            prompts=tuple(self.prompts[index] for index in kept),
            background=frozenset(
                place
                for place, index in enumerate(kept)
                if index in self.background or meanings[index] == "background"
            ),
        )

    def texts(self) -> list[tuple[int, str]]:
        """Every sentence with its class: classes x words x templates, in that order."""
        return [
            (index, template.replace(_SLOT, word))
            for index, words in enumerate(self.prompts)
            for word in words
            for template in self.templates
        ]

    def to_dict(self) -> dict[str, Any]:
        """As lists and strings, for JSON."""
        return {
            "names": list(self.names),
            "prompts": [list(words) for words in self.prompts],
            "background": sorted(self.background),
            "templates": list(self.templates),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that :meth:`to_dict` turned into ``saved``.

        Raises:
            ValueError: keys are missing or the content fails the checks.
        """
        missing = sorted({"names", "prompts", "background", "templates"} - set(saved))
        if missing:
            raise ValueError(f"a saved vocabulary lacks {', '.join(missing)}")
        for key in ("names", "prompts", "background", "templates"):
            if not isinstance(saved[key], (list, tuple)):
                raise ValueError(
                    f"{key} of a saved vocabulary is a list, not {type(saved[key]).__name__} {saved[key]!r}"
                )
        return cls(
            names=tuple(saved["names"]),
            prompts=tuple(saved["prompts"]),
            background=frozenset(_indices(saved["background"])),
            templates=tuple(saved["templates"]),
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of :meth:`to_dict`, in hex: equal for equal vocabularies only."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return sha256(text.encode("ascii")).hexdigest()


def _clean_word(word: object, what: str) -> str:
    if not isinstance(word, str):
        raise ValueError(f"{what} must be text, got {type(word).__name__} {word!r}")
    stripped = word.strip()
    if not stripped:
        raise ValueError(f"{what} is empty ({word!r}); give it a name or leave it out")
    if len(stripped.splitlines()) > 1:
        raise ValueError(f"{what} spans several lines: {word!r}; give one name a class")
    return stripped


def _clean_words(words: object, what: str) -> tuple[str, ...]:
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise ValueError(f"the words of {what} are a list, not {type(words).__name__} {words!r}")
    return tuple(_clean_word(word, f"a word of {what}") for word in words)


def _indices(background: Iterable[object]) -> list[int]:
    indices = [index for index in background if isinstance(index, int) and not isinstance(index, bool)]
    wrong = [index for index in background if isinstance(index, bool) or not isinstance(index, int)]
    if wrong:
        raise ValueError(f"background holds indices of classes, not {type(wrong[0]).__name__} {wrong[0]!r}")
    return indices


def _check_names(names: tuple[str, ...]) -> None:
    if not names:
        raise ValueError("the vocabulary is empty; give at least one class name")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"class named twice: {', '.join(map(repr, twice))}; name each class once "
            f"(several words for one class: a mapping {{word: class}})"
        )


def _check_prompts(names: tuple[str, ...], prompts: tuple[tuple[str, ...], ...]) -> None:
    if len(prompts) != len(names):
        raise ValueError(f"{len(names)} names, but words for {len(prompts)} classes; give one tuple a class")
    classes: dict[str, str] = {}
    for name, words in zip(names, prompts, strict=True):
        if not words:
            raise ValueError(f"class {name!r} has no word; give at least its name")
        for word in words:
            if word in classes:
                raise ValueError(f"word {word!r} stands for {classes[word]!r} and for {name!r}; keep one")
            classes[word] = name


def _checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    if isinstance(templates, str):
        raise ValueError(f"templates is a list; write [{templates!r}]")
    if not templates:
        raise ValueError(f"no template; the plain word is {_SLOT!r}, the default {DEFAULT_TEMPLATES[0]!r}")
    for template in templates:
        if not isinstance(template, str):
            raise ValueError(
                f"a template is text with one {_SLOT}, not {type(template).__name__} {template!r}"
            )
        if template.count(_SLOT) != 1:
            raise ValueError(
                f"template {template!r} has {template.count(_SLOT)} slots {_SLOT}; it needs exactly one, "
                f"as in {DEFAULT_TEMPLATES[0]!r}"
            )
    return tuple(templates)
