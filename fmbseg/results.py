"""The result of a segmentation, and the forms in which it can be saved, drawn and exported."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmbseg.drawing.classes import classes_in, draw_classes
from fmbseg.drawing.colours import ClassColours
from fmbseg.drawing.heatmap import draw_heatmap
from fmbseg.drawing.layout import side_by_side
from fmbseg.drawing.legend import draw_legend, unknown_entry
from fmbseg.drawing.palette import palette
from fmbseg.masks import MaskSet
from fmbseg.missing_package import require
from fmbseg.unknown_name import UnknownNameError
from fmbseg.written import single_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.drawing.legend import Entry
    from fmbseg.drawing.palette import Colour

_PNG_NONE = 255
MOST_PNG_CLASSES = 65_535
"""Most classes in a 16-bit PNG, with one value left for "no class"."""

_NAMED = 6
"""Classes that a result's text names."""

_GAP = 6
"""Pixels between pictures shown side by side."""


@dataclass(frozen=True, eq=False, repr=False)
class TopClasses:
    """The best few words of each pixel, best first, before any threshold.

    Args:
        labels: (n, H, W) int32, the classes of the words, as positions in the result's ``names``;
            words that mean background lead to the same class.
        scores: (n, H, W) float32, their similarities.
    """

    labels: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.labels.shape}"


@dataclass(frozen=True, eq=False, repr=False)
class Similarities:
    """What similarity maps are computed from: small, unlike a map for each word.

    Args:
        text_map: (D, h, w) float32, the image in the text space.
        prototypes: (K, D) float32, the words there.
        words: the K classes that were requested.
    """

    text_map: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    words: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.words)} words on {self.text_map.shape[1:]} cells)"

    def of(self, word: str) -> NDArray[np.float32]:
        """Similarity of each cell to a word, (h, w).

        Raises:
            UnknownNameError: (a KeyError) the word was not requested; the message offers near misses.
        """
        if word not in self.words:
            raise UnknownNameError("word", word, self.words)
        similarity: NDArray[np.float32] = np.einsum(
            "d,dhw->hw", self.prototypes[self.words.index(word)], self.text_map
        )
        return similarity


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """One class for each pixel of an image.

    Args:
        labels: (H, W) int32, positions in ``names``; -1 where no class was given: nothing is known there.
        scores: (H, W) float32, of the class given, or of the one that was not certain enough to be given.
        names: the classes' names.
        image: RGB, uint8, (H, W, 3), to draw on; optional.
        background: what made a pixel background, in words; ``none`` if nothing did. Else the first of
            ``names`` is ``background``.
        confidence: (H, W) float32, the best word's share of the softmax over all words, if requested.
        certainty: (H, W) float32, how likely the best word is right, where the head knows (see
            :mod:`fmbseg.certainty`).
        top: the best few words of each pixel, if requested.
        similarities: what :meth:`heatmap` draws.
        device: where it was computed, such as ``cuda:0``, if that is known.

    Raises:
        ValueError: shapes that differ, or a label that is not a position in ``names``.

    Example:
        >>> import numpy as np
        >>> result = Segmentation(np.array([[0, 0, -1]]), np.ones((1, 3)), ("cat", "dog"))
        >>> result.areas
        {'cat': 2, 'dog': 0}
        >>> result
        Segmentation(3 x 1 pixels: cat 66.7%, no class 33.3%)
    """

    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    names: tuple[str, ...]
    image: NDArray[np.uint8] | None = None
    background: str = "none"
    confidence: NDArray[np.float32] | None = None
    certainty: NDArray[np.float32] | None = None
    top: TopClasses | None = None
    similarities: Similarities | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels)
        if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels must be integers of shape (H, W), got {labels.dtype} {labels.shape}")
        scores = np.asarray(self.scores, dtype=np.float32)
        if scores.shape != labels.shape:
            raise ValueError(f"scores {scores.shape} must have the shape of labels, {labels.shape}")
        if self.image is not None and self.image.shape != (*labels.shape, 3):
            raise ValueError(f"image {self.image.shape} must have shape (H, W, 3) with labels {labels.shape}")
        if labels.size and not (labels.min() >= -1 and labels.max() < len(self.names)):
            raise ValueError(
                f"labels go from {labels.min()} to {labels.max()}, but must lie between -1 (none) and "
                f"{len(self.names) - 1}, the last of the {len(self.names)} names"
            )
        object.__setattr__(self, "labels", labels.astype(np.int32, copy=False))
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "names", tuple(self.names))

    def __repr__(self) -> str:
        """The size, and the classes that are there with their shares, largest first."""
        height, width = self.labels.shape
        there = sorted(((area, name) for name, area in self.areas.items() if area), key=lambda one: -one[0])
        shares = [f"{name} {area / self.labels.size:.1%}" for area, name in there]
        more = [f"{len(shares) - _NAMED} more"] if len(shares) > _NAMED else []
        unknown = [f"no class {self.unknown / self.labels.size:.1%}"] if self.unknown else []
        told = ", ".join([*shares[:_NAMED], *more, *unknown]) or "nothing"
        return f"{type(self).__name__}({width} x {height} pixels: {told})"

    @property
    def areas(self) -> dict[str, int]:
        """Pixels of every class, in the order of ``names``; 0 for an absent class."""
        counts = np.bincount(self.labels.ravel() + 1, minlength=len(self.names) + 1)[1:]
        return dict(zip(self.names, counts.tolist(), strict=True))

    @property
    def unknown(self) -> int:
        """Pixels to which no class was given."""
        return int(np.count_nonzero(self.labels < 0))

    @property
    def foreground(self) -> NDArray[np.int32]:
        """:attr:`labels` without background: -1 there, too."""
        return self._without_background(self.labels)

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where a class is, (H, W) bool.

        Raises:
            UnknownNameError: (a KeyError) ``name`` is not among ``names``; the message offers near misses.
        """
        if name not in self.names:
            raise UnknownNameError("class", name, self.names)
        return np.equal(self.labels, self.names.index(name))

    def similarity(self, word: str) -> NDArray[np.float32]:
        """How similar each pixel is to a requested word, (H, W).

        Raises:
            UnknownNameError: (a KeyError) the word was not requested.
            ValueError: the result was made without its similarities.
        """
        if self.similarities is None:
            raise ValueError(
                "this result was made without its similarities; results of OpenVocabSegmenter have them"
            )
        height, width = self.labels.shape
        cells = Image.fromarray(self.similarities.of(word))
        return np.asarray(cells.resize((width, height), Image.Resampling.BILINEAR))

    def heatmap(self, word: str, limits: tuple[float, float] | None = None) -> Image.Image:
        """Draw where the image is similar to a word (as in the paper's figure 2), dark to bright.

        Args:
            word: a requested word; background words count, too.
            limits: similarities drawn darkest and brightest; by default those of this picture.
                Use the same limits for pictures that are compared.

        Returns:
            RGB, laid over the image if the result has it.

        Raises:
            UnknownNameError: (a KeyError) the word was not requested.
            ValueError: the result was made without its similarities.
        """
        return draw_heatmap(self.similarity(word), self.image, limits)

    def to_png(self, path: str | Path) -> None:
        """Save the class map as a PNG: value = position in ``names``.

        Up to 255 classes it has PASCAL VOC's palette, 8 bits, and 255 means no class; beyond them it has 16
        bits, no colours, and 65535 means no class.

        Args:
            path: a file name ending in ``.png``; only files that this method wrote are replaced.

        Raises:
            ValueError: more than 65,535 classes, which sixteen bits cannot tell apart.
            WouldReplaceError: another file exists there.
            OSError: it cannot be written.
        """
        content = self.png()
        with single_file(path, "class map") as temporary:
            temporary.write_bytes(content)

    def png(self) -> bytes:
        """The content of the file that :meth:`to_png` saves.

        Raises:
            ValueError: more than 65,535 classes.
        """
        count = len(self.names)
        if count > MOST_PNG_CLASSES:
            raise ValueError(
                f"a PNG holds at most {MOST_PNG_CLASSES} classes, this has {count}; save the "
                f"labels with numpy.savez_compressed, or use to_coco"
            )
        none = _PNG_NONE if count <= _PNG_NONE else MOST_PNG_CLASSES
        values = np.where(self.labels < 0, none, self.labels)
        if none == MOST_PNG_CLASSES:
            png = Image.fromarray(values.astype(np.uint16))
        else:
            png = Image.fromarray(values.astype(np.uint8))
            # Black where there is no class.
            png.putpalette(palette(count).tobytes() + bytes(3 * (256 - count)))
        file = BytesIO()
        png.save(file, format="PNG")
        return file.getvalue()

    def to_geojson(self) -> dict[str, Any]:
        """GeoJSON, one feature for each class present.

        Returns:
            A ``FeatureCollection`` of ``MultiPolygon`` in pixels, x to the right and y **down**, along the
            pixels' edges, so that areas are exact; each has the properties ``class``, ``index`` (position in
            ``names``), ``area`` in pixels and ``score``, the mean. JSON-able.
        """
        from fmbseg.polygons import polygons  # needs SciPy, which takes a while to load

        features = [
            {
                "type": "Feature",
                "properties": {
                    "class": self.names[index],
                    "index": index,
                    "area": int(np.count_nonzero(self.labels == index)),
                    "score": float(self.scores[self.labels == index].mean()),
                },
                "geometry": {"type": "MultiPolygon", "coordinates": polygons(self.labels == index)},
            }
            for index in self._present()[0]
        ]
        return {"type": "FeatureCollection", "features": features}

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """COCO annotations, one for each class present.

        Args:
            image_id: of the image in the data set.

        Returns:
            Dictionaries with ``id``, ``image_id``, ``category_id`` (position in ``names`` + 1),
            ``segmentation`` (compressed run lengths as text), ``area`` in pixels, ``bbox`` as x, y, width,
            height in pixels, and ``iscrowd`` 0. JSON-able.
        """
        present, masks = self._present()
        areas = masks.areas.tolist()
        return [
            {
                "id": position + 1,
                "image_id": image_id,
                "category_id": index + 1,
                "segmentation": {"size": list(masks.size), "counts": masks.rles[position].decode("ascii")},
                "area": areas[position],
                "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
                "iscrowd": 0,
            }
            for position, (index, (x0, y0, x1, y1)) in enumerate(zip(present, masks.boxes, strict=True))
        ]

    def to_supervision(self) -> Any:
        """``supervision.Detections``, one for each class present; confidence is the mean score.

        Raises:
            ImportError: the package supervision is not installed.
        """
        supervision = require("supervision", None, "to_supervision")
        present, masks = self._present()
        pixels = masks.decode()
        return supervision.Detections(
            xyxy=masks.boxes,
            mask=pixels,
            confidence=np.array([self.scores[mask].mean() for mask in pixels], dtype=np.float32),
            class_id=np.array(present, dtype=np.int64),
            data={"class_name": np.array([self.names[index] for index in present], dtype=np.str_)},
        )

    def plot(
        self, max_side: int | None = None, legend: bool = True, colours: ClassColours | None = None
    ) -> Image.Image:
        """Draw the classes over the image, with their names on the right, largest first, if they fit.

        Args:
            max_side: longest allowed side in pixels, without the legend; larger pictures are shrunk.
            legend: whether to add the names.
            colours: of the classes; give the same to every picture of a run, so that a class keeps its own.

        Returns:
            RGB; background shows the image as it is, and what has no class is hatched. Without an image the
            map alone is drawn.
        """
        shown = self.foreground
        chosen = (colours or ClassColours()).of_map(shown)
        picture = draw_classes(shown, chosen, self.image, max_side=max_side, unknown=self.labels < 0)
        return self._with_legend(picture, shown, chosen) if legend else picture

    def compare(
        self,
        truth: NDArray[np.integer],
        max_side: int | None = None,
        colours: ClassColours | None = None,
    ) -> Image.Image:
        """Draw the image, the ground truth and the result side by side, with the names of both.

        Args:
            truth: (H, W), positions in ``names``; -1 where the truth is unknown.
            max_side: longest allowed side of each picture in pixels; larger ones are shrunk.
            colours: of the classes; give the same to every picture of a run, so that a class keeps its own.

        Raises:
            ValueError: the truth has another shape, or values that are not a class.
        """
        truth = np.asarray(truth)
        if truth.shape != self.labels.shape:
            raise ValueError(f"the truth is {truth.shape}, the result {self.labels.shape}: sizes must match")
        if truth.size and not (truth.min() >= -1 and truth.max() < len(self.names)):
            raise ValueError(
                f"the truth goes from {truth.min()} to {truth.max()}: allowed are -1 (nothing) to "
                f"{len(self.names) - 1}"
            )
        maps = [self._without_background(truth.astype(np.int32)), self.foreground]
        nothing, chosen = np.full_like(self.labels, -1), (colours or ClassColours()).of_map(*maps)
        unknown = (None, None, self.labels < 0)
        pictures = [
            draw_classes(one, chosen, self.image, max_side=max_side, unknown=blank)
            for one, blank in zip((nothing, *maps), unknown, strict=True)
        ]
        drawn = side_by_side(pictures, gap=_GAP)
        return self._with_legend(drawn, np.concatenate(maps), chosen, columns=2)

    def _without_background(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        return labels if self.background == "none" else np.where(labels == 0, np.int32(-1), labels)

    def _with_legend(
        self,
        picture: Image.Image,
        labels: NDArray[np.int32],
        colours: Mapping[int, Colour],
        columns: int = 4,
    ) -> Image.Image:
        shown: list[Entry] = [(one.name, one.colour) for one in classes_in(labels, self.names, colours)]
        shown += unknown_entry(self.unknown / self.labels.size)
        return side_by_side([picture, draw_legend(shown, picture.height, columns)])

    def _present(self) -> tuple[list[int], MaskSet]:
        """The classes present, with one mask for each."""
        present = [index for index, area in enumerate(self.areas.values()) if area]
        none = [MaskSet.empty((self.labels.shape[0], self.labels.shape[1]))]
        masks = [MaskSet.from_masks((self.labels == index)[None]) for index in present]
        return present, MaskSet.concat(masks or none)
