"""What a model's texts say of words: how well a word is known, and which words mean nearly the same.

A model made from a classifier (ConSE) sees only what its classes' names can express: it knows a word as
well as the word is near to one of them. CLIP and its like learned from captions, which nobody can list:
for them, nothing is said about words.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.models.contracts import KnowsNames
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabularies import common_background_words
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from fmbseg.models.contracts import ImageTextEncoder

HARDLY = 0.5
"""A word less similar than this to every known name is hardly known. Of the 80 COCO names on 34 photographs,
those below it are found with a recall of 0.11, those above it with 0.42."""
SAME = 0.6
"""Words nearer than this to one another share pixels: "sofa" and "couch"."""
_NEAREST = 3
_SPELLING = 0.85


class Word(NamedTuple):
    """How well a model knows one class.

    Attributes:
        name: the class's name.
        familiarity: similarity to the nearest known name, up to 1; None if that cannot be told.
        nearest: the nearest known names, best first.
        meant: a known name with a similar spelling, if the word is hardly known.
        near: other classes of the vocabulary that will share its pixels.

    Example:
        >>> Word("person", 0.39, ("upright", "photocopier"), None, ()).hardly_known
        True
    """

    name: str
    familiarity: float | None
    nearest: tuple[str, ...]
    meant: str | None
    near: tuple[str, ...]

    @property
    def hardly_known(self) -> bool:
        """Whether the model hardly knows the word."""
        return self.familiarity is not None and self.familiarity < HARDLY


@torch.no_grad()
def look_up(encoder: ImageTextEncoder, vocabulary: Vocabulary) -> list[Word]:
    """Say for every class how well a model knows it, and which others it will be confused with.

    Args:
        encoder: the image-text model.
        vocabulary: K classes.

    Returns:
        K words, in the order of the vocabulary.
    """
    vectors = embed_vocabulary(encoder, vocabulary)
    common = Vocabulary(tuple(common_background_words()), templates=vocabulary.templates)
    alike = nearness(vectors, vectors, embed_vocabulary(encoder, common)) >= SAME
    near = [
        tuple(vocabulary.names[other] for other in row.nonzero()[:, 0].tolist() if other != index)
        for index, row in enumerate(alike)
    ]
    if not isinstance(encoder, KnowsNames):
        return [Word(name, None, (), None, near[index]) for index, name in enumerate(vocabulary.names)]
    names = tuple(encoder.known_names)
    known = embed_vocabulary(encoder, Vocabulary(names, templates=vocabulary.templates))
    best = (vectors @ known.T).topk(min(_NEAREST, len(names)), dim=1)
    words = []
    for index, name in enumerate(vocabulary.names):
        familiarity = float(best.values[index, 0])
        spelled = get_close_matches(name, names, 1, _SPELLING) if familiarity < HARDLY else []
        nearest = tuple(names[one] for one in best.indices[index].tolist())
        words.append(Word(name, familiarity, nearest, spelled[0] if spelled else None, near[index]))
    return words


def told_of(encoder: ImageTextEncoder, vocabulary: Vocabulary, most: int = 5) -> list[str]:
    """A line for each class that a model hardly knows, and one for the rest if they are more than ``most``.

    Background classes are skipped.

    Args:
        encoder: the image-text model.
        vocabulary: K classes.
        most: largest number of classes that get a line of their own.
    """
    if not isinstance(encoder, KnowsNames):
        return []
    words = look_up(encoder, vocabulary)
    hardly = [
        word for index, word in enumerate(words) if word.hardly_known and index not in vocabulary.background
    ]
    lines = [
        f'{word.name}: the image-text model "{encoder.spec}" hardly knows this word (nearest: '
        f"{', '.join(word.nearest)}); a recipe with CLIP does"
        for word in hardly[:most]
    ]
    if len(hardly) > most:
        more = len(hardly) - most
        lines.append(f"{more} more words are hardly known: `fmbseg words` with the same words shows them")
    return lines


NEAR = 0.4
"""Words at least this near share pixels: "tree" and "forest", "road" and "pavement"; chosen by eye among
the neighbours of everyday words; between 0.3 and 0.4 it has no effect on what one word alone finds."""


def nearness(texts: torch.Tensor, others: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """How near texts lie to one another, relative to how near any two texts lie.

    Some text spaces (CLIP's) hold all texts in a narrow cone, others do not. So what the reference texts have
    in common is subtracted before the cosine.

    Args:
        texts: unit vectors, (K, D).
        others: unit vectors, (M, D).
        reference: unit vectors of many common words, (R, D).

    Returns:
        (K, M), -1 to 1.

    Example:
        >>> import torch
        >>> cone = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1]]), dim=1)
        >>> nearness(cone, cone, cone).round().tolist()  # their cosines are all above 0.98
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    middle = reference.mean(dim=0)
    return F.normalize(texts - middle, dim=1) @ F.normalize(others - middle, dim=1).T


def noun_of(name: str) -> str:
    """The noun that a name ends in, in the singular: names that share it are of one kind.

    Example:
        >>> noun_of("trees"), noun_of("Brick wall"), noun_of("water bottle"), noun_of("grass")
        ('tree', 'wall', 'bottle', 'grass')
    """
    last: str = (re.findall(r"\w+", name.casefold()) or [name])[-1]
    if last.endswith(("shes", "ches", "sses", "xes")):
        return last[:-2]
    return last[:-1] if last.endswith("s") and not last.endswith(("ss", "us", "is")) else last
