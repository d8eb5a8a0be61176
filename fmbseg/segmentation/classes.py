"""The words that are asked for, and the classes of the result that they lead to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fmbseg.models.familiarity import noun_of
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabularies import BACKGROUND, common_background_words
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fmbseg.segment_settings import Background

NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class ResultClasses:
    """The classes of a result, and how the words lead to them.

    Attributes:
        asked: the K classes whose prototypes are compared with each pixel.
        names: of the result's classes; background, if there is one, is the first.
        result_of: (K,) the result's class of each class asked for.
        background: position of background in ``names``; None where there is none.
        rule: what makes a pixel background, in words.
        common: words that may compete as background beside those asked for: which of them are near none of
            these, a text encoder has to say (:meth:`with_common`).
    """

    asked: Vocabulary
    names: tuple[str, ...]
    result_of: NDArray[np.int32]
    background: int | None
    rule: str
    common: Vocabulary | None = None

    @classmethod
    def of(cls, vocabulary: Vocabulary, background: Background) -> ResultClasses:
        """Lay out the result's classes.

        Raises:
            ValueError: nothing but background is left, or a class of that name is not marked as background.

        Example:
            >>> from fmbseg.segment_settings import Background
            >>> from fmbseg.vocabulary import Vocabulary
            >>> words = Vocabulary(("cat", "sky", "wall"), background=frozenset({1, 2}))
            >>> classes = ResultClasses.of(words, Background())
            >>> classes.names, classes.result_of.tolist(), classes.rule
            (('background', 'cat'), [1, 0, 0], '2 words mean background')
        """
        marked = vocabulary.background
        front = [name for index, name in enumerate(vocabulary.names) if index not in marked]
        if not front:
            raise ValueError(f"all {len(vocabulary)} classes mean background; give one that does not")
        by_words = background.rule in ("words", "common") and bool(marked)
        if background.rule == "common" and not marked and BACKGROUND not in front:
            return cls._beside_common(vocabulary)
        if background.rule in ("words", "common", "none") and not by_words:
            asked = vocabulary.without_background() if marked else vocabulary
            return cls(asked, tuple(front), np.arange(len(front), dtype=np.int32), None, "none")
        if BACKGROUND in front:
            raise ValueError(
                f"the class {BACKGROUND!r} is a word like others here: mark it as background "
                f"(Vocabulary(..., background={{{vocabulary.index(BACKGROUND)}}})) or leave it out"
            )
        names = (BACKGROUND, *front)
        if not by_words:
            positions = np.arange(1, len(names), dtype=np.int32)
            return cls(vocabulary.without_background(), names, positions, 0, str(background))
        result_of = np.zeros(len(vocabulary), dtype=np.int32)
        result_of[[index for index in range(len(vocabulary)) if index not in marked]] = range(1, len(names))
        word = "word means" if len(marked) == 1 else "words mean"
        return cls(vocabulary, names, result_of, 0, f"{len(marked)} {word} background")

    @classmethod
    def _beside_common(cls, vocabulary: Vocabulary) -> ResultClasses:
        taken = {noun_of(word) for words in (vocabulary.names, *vocabulary.prompts) for word in words}
        free = tuple(word for word in common_background_words() if noun_of(word) not in taken)
        return cls(
            vocabulary,
            (BACKGROUND, *vocabulary.names),
            np.arange(1, len(vocabulary) + 1, dtype=np.int32),
            0,
            "no common word is far from all classes",
            Vocabulary(free, templates=vocabulary.templates) if free else None,
        )

    def with_common(self, competing: NDArray[np.bool_]) -> ResultClasses:
        """The same classes, for which some of the common words are asked as well and mean background.

        Args:
            competing: whether each word of ``common`` competes.

        Example:
            >>> from fmbseg.segment_settings import Background
            >>> classes = ResultClasses.of(Vocabulary.of(["dog", "brick wall"]), Background("common"))
            >>> "wall" in classes.common.names  # which would take bricks from "brick wall"
            False
            >>> beside = classes.with_common(np.array([name == "sky" for name in classes.common.names]))
            >>> beside.asked.names, beside.result_of.tolist(), beside.rule
            (('dog', 'brick wall', 'sky'), [1, 2, 0], '1 common word means background')
        """
        if self.common is None or not competing.any():
            return replace(self, common=None)
        names = [name for name, competes in zip(self.common.names, competing, strict=True) if competes]
        count = len(names)
        return replace(
            self,
            asked=replace(
                self.asked,
                names=(*self.asked.names, *names),
                prompts=(*self.asked.prompts, *((name,) for name in names)),
                background=frozenset(range(len(self.asked), len(self.asked) + count)),
            ),
            result_of=np.concatenate([self.result_of, np.zeros(count, np.int32)]),
            rule=f"{count} common {'word means' if count == 1 else 'words mean'} background",
            common=None,
        )

    def thresholds(self, by_name: Mapping[str, float]) -> NDArray[np.float32] | None:
        """Least score of each class of the result, with one more for "no class"; None if none was given.

        Raises:
            UnknownNameError: a name that is not a class of the result.
        """
        if not by_name:
            return None
        least = np.full(len(self.names) + 1, -np.inf, dtype=np.float32)
        for name, value in by_name.items():
            if name not in self.names:
                raise UnknownNameError("class", name, self.names)
            least[self.names.index(name)] = value
        return least
