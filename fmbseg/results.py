"""What a segmentation is, and the forms it can be saved, drawn and handed on in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmbseg.legend import draw_legend
from fmbseg.masks import MaskSet
from fmbseg.palette import colorize, overlay, palette
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_PNG_NONE = 255


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One class for each pixel of one image.

    Args:
        labels: (H, W) int32, positions in ``names``; -1 where no class was given.
        scores: (H, W) float32, of the class that was given.
        names: the classes' names.
        image: RGB, uint8, (H, W, 3), to draw on; may be left out.

    Raises:
        ValueError: shapes that differ, or a label that is no position in ``names``.

    Example:
        >>> import numpy as np
        >>> result = Segmentation(np.array([[0, 0, -1]]), np.ones((1, 3)), ("cat", "dog"))
        >>> result.areas
        {'cat': 2, 'dog': 0}
    """

    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    names: tuple[str, ...]
    image: NDArray[np.uint8] | None = None

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

    @property
    def areas(self) -> dict[str, int]:
        """Pixels of every class, in the order of ``names``; 0 for a class that is not there."""
        counts = np.bincount(self.labels.ravel() + 1, minlength=len(self.names) + 1)[1:]
        return dict(zip(self.names, counts.tolist(), strict=True))

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where a class is, (H, W) bool.

        Raises:
            UnknownNameError: (a KeyError) ``name`` is none of ``names``; the message offers near misses.
        """
        if name not in self.names:
            raise UnknownNameError("class", name, self.names)
        return np.equal(self.labels, self.names.index(name))

    def to_png(self, path: str | Path) -> None:
        """Save the class map as an indexed PNG: value = position in ``names``, 255 = no class.

        Args:
            path: a file name that ends in ``.png``.

        Raises:
            ValueError: more than 255 classes, which eight bits cannot tell apart.
        """
        if len(self.names) > _PNG_NONE:
            raise ValueError(
                f"an indexed PNG holds at most {_PNG_NONE} classes, this has {len(self.names)}; save the "
                f"labels with numpy.savez_compressed, or use to_coco"
            )
        values = np.where(self.labels < 0, _PNG_NONE, self.labels).astype(np.uint8)
        colours = colorize(
            np.array([*range(len(self.names)), *[-1] * (256 - len(self.names))]), len(self.names)
        )
        png = Image.fromarray(values)
        png.putpalette(colours.tobytes())
        png.save(path, format="PNG")

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """COCO annotations, one for each class that is there.

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
        """``supervision.Detections``, one for each class that is there; confidence is the mean score.

        Raises:
            ImportError: the package supervision is not installed.
        """
        try:
            supervision = import_module("supervision")
        except ModuleNotFoundError as error:
            raise ImportError(
                "to_supervision needs the package supervision: pip install supervision", name=error.name
            ) from error
        present, masks = self._present()
        pixels = masks.decode()
        return supervision.Detections(
            xyxy=masks.boxes,
            mask=pixels,
            confidence=np.array([self.scores[mask].mean() for mask in pixels], dtype=np.float32),
            class_id=np.array(present, dtype=np.int64),
            data={"class_name": np.array([self.names[index] for index in present], dtype=np.str_)},
        )

    def plot(self, max_side: int | None = None, legend: bool = True) -> Image.Image:
        """Draw the classes over the image, with their names to the right, largest first.

        Args:
            max_side: shrink the picture, without its legend, so that no side is longer; in pixels.
            legend: whether to add the names.

        Returns:
            RGB; a class has one colour in every picture. Without an image the map alone is drawn.
        """
        height, width = self.labels.shape
        scale = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        # Nearest for the labels: a mean of class numbers is a third class.
        small = np.asarray(Image.fromarray(self.labels).resize(size, Image.Resampling.NEAREST))
        if self.image is None:
            picture = Image.fromarray(colorize(small, len(self.names)))
        else:
            photo = np.asarray(Image.fromarray(self.image).resize(size, Image.Resampling.LANCZOS))
            picture = Image.fromarray(overlay(photo, small, len(self.names)))
        return self._with_legend(picture) if legend else picture

    def _with_legend(self, picture: Image.Image) -> Image.Image:
        colours = palette(len(self.names)).tolist()
        shown = [(area, index) for index, area in enumerate(self.areas.values()) if area]
        shown.sort(key=lambda entry: -entry[0])
        names = draw_legend(
            [(self.names[index], tuple(colours[index])) for _, index in shown], picture.height
        )
        joined = Image.new("RGB", (picture.width + names.width, max(picture.height, names.height)), "white")
        joined.paste(picture, (0, 0))
        joined.paste(names, (picture.width, 0))
        return joined

    def _present(self) -> tuple[list[int], MaskSet]:
        """The classes that are there, and one mask for each."""
        present = [index for index, area in enumerate(self.areas.values()) if area]
        none = [MaskSet.empty((self.labels.shape[0], self.labels.shape[1]))]
        masks = [MaskSet.from_masks((self.labels == index)[None]) for index in present]
        return present, MaskSet.concat(masks or none)
