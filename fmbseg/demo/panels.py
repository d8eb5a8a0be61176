"""The eight pictures that the report shows of a photograph, as in the paper's figures 2 to 4."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.demo import drawing
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.demo.scene import Scene

_SIDE = 640
_JPEG_QUALITY = 82
_NAMED_AREA = 0.01
"""Part of a photograph that a mask must cover to have its name written on it."""
_LISTED_AREA = 0.01
"""Part of a photograph that a class must cover to be in a legend."""


@dataclass(frozen=True)
class Panel:
    """One picture with its text.

    Attributes:
        title: what it is.
        note: what to see in it.
        jpeg: the picture's bytes.
        legend: names with their colours (red, green, blue) and a figure.
    """

    title: str
    note: str
    jpeg: bytes
    legend: tuple[tuple[str, tuple[int, int, int], str], ...] = ()


def panels_of(scene: Scene, classes: Sequence[str], *, packaged: str | None = None) -> list[Panel]:
    """Draw a photograph's eight panels.

    Args:
        scene: of the photograph.
        classes: names of the classes that its labels point to.
        packaged: name of the package's head that found the new words, if that did.
    """
    image = drawing.shrink(scene.image, _SIDE)
    colours = drawing.colours(len(classes))
    return [
        Panel("Photograph", f"{scene.image.shape[1]} by {scene.image.shape[0]} pixels", _jpeg(image)),
        _similarity(scene, image, classes),
        _points(scene, image, classes, colours),
        _everything(scene, image, classes, colours),
        _map_panel(
            "Labels for training",
            "The masks of both stages in one map. Grey: no label.",
            image,
            scene.labels.label_map(),
            classes,
        ),
        _map_panel(
            "Before alignment",
            "The image-text model alone: each cell's most similar word.",
            image,
            scene.before,
            classes,
        ),
        _map_panel(
            "After alignment",
            "The frozen encoder with its trained head, the same words.",
            image,
            scene.after.labels,
            classes,
        ),
        _map_panel(
            "Other words",
            "The head just trained, words that it was never trained on."
            if packaged is None
            else f"The head “{packaged}” of the package, which saw none of these photographs.",
            image,
            scene.new.labels,
            scene.new.names,
        ),
    ]


def _similarity(scene: Scene, image: NDArray[np.uint8], classes: Sequence[str]) -> Panel:
    low, high = float(scene.similarity.min()), float(scene.similarity.max())
    return Panel(
        f"Similarity to “{classes[scene.shown_class]}”",
        f"Before alignment, from {low:.2f} (dark) to {high:.2f} (bright).",
        _jpeg(drawing.heat_map(image, scene.similarity)),
    )


def _points(
    scene: Scene, image: NDArray[np.uint8], classes: Sequence[str], colours: NDArray[np.uint8]
) -> Panel:
    which = np.flatnonzero(scene.labels.stages == POINT_STAGE)
    picture = _draw_masks(scene, image, which, classes, colours, write=False)
    for index in which:
        scale = image.shape[1] / scene.image.shape[1]
        picture = drawing.dots(
            picture, scene.labels.points[index], scale, colours[scene.labels.class_ids[index]]
        )
    note = "Each class found asks for one mask, by the five places most similar to it."
    if not len(which):
        note = "No mask: no class was found, no mask was good enough, or the mask model takes no points."
    return Panel("Stage 1.1: points", note, _jpeg(picture), _mask_legend(scene, which, classes, colours))


def _everything(
    scene: Scene, image: NDArray[np.uint8], classes: Sequence[str], colours: NDArray[np.uint8]
) -> Panel:
    which = np.flatnonzero(scene.labels.stages == EVERYTHING_STAGE)
    kept = int(scene.labels.kept[which].sum())
    picture = _draw_masks(scene, image, which, classes, colours, write=True)
    note = f"{_masks(len(which))}, each named with the best of the classes found; {kept} drawn for training."
    if kept < len(which):
        note += " The others are outlined."
    return Panel(
        "Stage 1.2: everything",
        note if len(which) else "No mask.",
        _jpeg(picture),
        _mask_legend(scene, which, classes, colours),
    )


def _draw_masks(
    scene: Scene,
    image: NDArray[np.uint8],
    which: NDArray[np.intp],
    classes: Sequence[str],
    colours: NDArray[np.uint8],
    *,
    write: bool,
) -> NDArray[np.uint8]:
    """Draw masks, the smaller on top, with their names if wanted."""
    labels = scene.labels
    areas = labels.masks.areas
    order = which[np.argsort(-areas[which], kind="stable")]
    small = [
        drawing.fit_map(labels.masks.decode(int(index)).astype(np.uint8), image.shape[:2]).astype(bool)
        for index in order
    ]
    tints = [colours[labels.class_ids[index]] for index in order]
    picture = drawing.masks_over(image, small, tints, [bool(labels.kept[index]) for index in order])
    if not write:
        return picture
    least = _NAMED_AREA * labels.size[0] * labels.size[1]
    named = [
        (classes[labels.class_ids[index]], drawing.inside(mask), tint)
        for index, mask, tint in zip(order, small, tints, strict=True)
        if areas[index] >= least and mask.any()
    ]
    return drawing.captions(picture, named)


def _mask_legend(
    scene: Scene, which: NDArray[np.intp], classes: Sequence[str], colours: NDArray[np.uint8]
) -> tuple[tuple[str, tuple[int, int, int], str], ...]:
    counts = Counter(scene.labels.class_ids[which].tolist())
    return tuple(
        (classes[index], _rgb(colours[index]), _masks(count)) for index, count in counts.most_common()
    )


def _map_panel(
    title: str, note: str, image: NDArray[np.uint8], labels: NDArray[np.int32], names: Sequence[str]
) -> Panel:
    colours = drawing.colours(len(names))
    shares = np.bincount(labels.ravel() + 1, minlength=len(names) + 1)[1:] / labels.size
    legend = tuple(
        (names[index], _rgb(colours[index]), f"{shares[index]:.0%}")
        for index in np.argsort(-shares, kind="stable").tolist()
        if shares[index] >= _LISTED_AREA
    )
    return Panel(title, note, _jpeg(drawing.class_map(image, labels, colours)), legend)


def _masks(count: int) -> str:
    return f"{count} mask" if count == 1 else f"{count} masks"


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _rgb(colour: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue
