"""The words: which classes there are, what each may be called, and which of them mean background."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabularies import BACKGROUND, benchmark_classes, benchmark_names, is_benchmark
from fmbseg.vocabularies.templates import SIMPLE, templates_of

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
    """Tell whether a class's name means background, or pixels that do not count, as other tools write it.

    Background are ``background``, ``_background_`` (labelme), ``bg`` and ``bkg``. Pixels that do not count
    are ``ignore``, ``__ignore__`` (labelme), ``void`` (PASCAL VOC, CamVid), ``unlabeled`` and ``unlabelled``
    (Cityscapes, Mapillary), ``unlabeled area``, ``unannotated``, ``out of roi``, ``dontcare`` (KITTI) and
    ``ignored regions`` (VisDrone). Upper and lower case are one, and so are spaces, hyphens and underscores;
    those around a name, and brackets, do not count.

    Args:
        name: of a class, from a file or a data set.

    Returns:
        ``"background"``, ``"ignore"``, or nothing for a class like any other.

    Example:
        >>> [meaning_of_name(name) for name in ("_background_", "Void", "cat", "Unlabelled")]
        ['background', 'ignore', None, 'ignore']
    """
    plain = " ".join(re.sub(r"[\s_\-<>\[\](){}]+", " ", name).split()).casefold()
    if plain in _BACKGROUND_NAMES:
        return "background"
    return "ignore" if plain in _IGNORE_NAMES else None


@dataclass(frozen=True)
class Vocabulary:
    """K classes, each with one word or more, and the templates that turn words into sentences.

    Names and words are stripped of outer white space. Order counts: a class's index is its position.

    Args:
        names: one name a class, each once.
        prompts: the words of each class, at least one; each class's own name where left out.
        background: indices of the classes that mean "none of the others".
        templates: sentences with exactly one ``{}``, where a word is put.

    Raises:
        ValueError: no class, a name or word that is empty, spans lines or stands twice, prompts that do
            not match the names, a background index that is no class, or a template without one slot.

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
        names = tuple(_clean_word(name, f"class {index}") for index, name in enumerate(self.names))
        _check_names(names)
        given = self.prompts or tuple((name,) for name in names)
        prompts = tuple(
            tuple(_clean_word(word, f"a word of class {index}") for word in words)
            for index, words in enumerate(given)
        )
        _check_prompts(names, prompts)
        background = frozenset(self.background)
        outside = sorted(index for index in background if not 0 <= index < len(names))
        if outside:
            raise ValueError(f"background names class {outside}, but classes go from 0 to {len(names) - 1}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "prompts", prompts)
        object.__setattr__(self, "background", background)
        object.__setattr__(self, "templates", _checked_templates(self.templates))

    @classmethod
    def of(cls, source: VocabularySource, *, templates: str | Sequence[str] | None = None) -> Vocabulary:
        """Make a vocabulary from whatever names one.

        Args:
            source: a vocabulary; a list of names; a mapping ``{word: class}`` (several words may lead to
                one class; classes are in the order of their first word); a benchmark's name (``voc20``,
                ``voc20:clean``); or the path of a ``.txt`` file (one name a line, ``#`` starts a comment)
                or a ``.json`` file (a list, a mapping, or what :meth:`to_dict` gave).
            templates: instead of the source's own: ``"simple"``, ``"clip80"`` or sentences with one ``{}``.

        Raises:
            ValueError: a source that is empty, not readable as one of these, or fails the checks above.
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
        if Path(text).suffix.lower() in (".txt", ".json"):
            return cls._from_file(Path(text))
        raise ValueError(
            f"{UnknownNameError('class list', text, benchmark_names())}. "
            f"For words give a list, [{text!r}]; for a file, the path of a .txt or .json"
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
            content = _parse(path)
            return cls.from_dict(content) if _is_saved(content) else cls._of(content)
        except (OSError, ValueError) as error:
            raise ValueError(f"no vocabulary in {path}: {error}") from error

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
        """The same classes but those that mean background; indices move up."""
        kept = [index for index in range(len(self)) if index not in self.background]
        return replace(
            self,
            names=tuple(self.names[index] for index in kept),
            prompts=tuple(self.prompts[index] for index in kept),
            background=frozenset(),
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
        return cls(
            names=tuple(saved["names"]),
            prompts=tuple(tuple(words) for words in saved["prompts"]),
            background=frozenset(saved["background"]),
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
        if template.count(_SLOT) != 1:
            raise ValueError(
                f"template {template!r} has {template.count(_SLOT)} slots {_SLOT}; it needs exactly one, "
                f"as in {DEFAULT_TEMPLATES[0]!r}"
            )
    return tuple(templates)


def _parse(path: Path) -> Any:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        content = json.loads(text)
        if not isinstance(content, (list, dict)):
            raise ValueError("the JSON is neither a list of names nor a mapping {word: class}")
        return content
    if path.suffix.lower() != ".txt":
        raise ValueError(f"a file of names ends in .txt or .json, not {path.suffix!r}")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _is_saved(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("names"), list)
