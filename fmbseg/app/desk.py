"""What a reviewer has on the desk: one photograph, its masks, and a draft of a new one."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmbseg.drawing.classes import shrink, shrunk_size
from fmbseg.drawing.colours import ClassColours
from fmbseg.escaping import terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.review.cutting import ThingCutter
    from fmbseg.review.decisions import How
    from fmbseg.review.session import Review

LONGEST_SHOWN = 1000
"""Longest side in pixels of what is shown; masks are cut at the photograph's own size."""
MOST_POINTS = 2000
"""Of one stroke or prompt."""


class Desk:
    """One tab of one reviewer. What it is told to do comes from the browser, so all of it is checked.

    Attributes:
        review: the label set and its reviewer; None before one is chosen.
        path: of the photograph on the desk.
        said: what happened last, in words.
    """

    def __init__(self) -> None:
        self.review: Review | None = None
        self.path: str | None = None
        self.said = ""
        self._image: NDArray[np.uint8] | None = None
        self._draft: NDArray[np.bool_] | None = None
        self._how: How = "points"
        self._colours = ClassColours()

    def begin(self, review: Review) -> None:
        """Put the least sure photograph of a label set on the desk."""
        self.review, self._colours = review, ClassColours()
        order = review.order()
        self._show(order[0] if order else None)
        self.said = f"{review.reviewer} reviews {len(order)} photographs"

    def act(self, message: Mapping[str, Any], cutter: ThingCutter) -> None:
        """Do what the browser says.

        Args:
            message: ``does`` and what it needs.
            cutter: of new masks.

        Raises:
            ValueError: it cannot be done; nothing was.
        """
        does = str(message.get("does"))
        actions = {
            "accept": self._judge, "reject": self._judge, "delete": self._judge, "rename": self._rename,
            "undo": self._undo, "done": self._done, "step": self._step, "brush": self._brush,
            "keep": self._keep, "drop": self._drop,
        }  # fmt: skip
        if self.review is None or self.path is None:
            raise ValueError("choose a label set and say who you are first")
        if does == "cut":
            self._cut(message, cutter)
        elif does in actions:
            actions[does](message)
        else:
            raise ValueError(f"{does!r} is nothing that can be done here")

    def _judge(self, message: Mapping[str, Any]) -> None:
        review, path = self._at()
        does, mask = str(message["does"]), str(message.get("mask"))
        {"accept": review.accept, "reject": review.reject, "delete": review.delete}[does](path, mask)
        self.said = {"accept": "accepted", "reject": "rejected", "delete": "deleted"}[does]

    def _rename(self, message: Mapping[str, Any]) -> None:
        review, path = self._at()
        name = str(message.get("name")).strip()
        review.rename(path, name, str(message.get("mask")))
        self.said = f"renamed to {name}"

    def _undo(self, message: Mapping[str, Any]) -> None:
        review, path = self._at()
        if self._draft is not None:
            self._drop(message)
            return
        last = review.undo(path) or review.undo()
        if last is None:
            self.said = "there is nothing of yours to undo"
            return
        if last.photograph != path:
            self._show(last.photograph)
        self.said = f"undone: {last.does}{f' ({last.name})' if last.name else ''}"

    def _done(self, message: Mapping[str, Any]) -> None:
        del message
        review, path = self._at()
        review.done(path)
        self._step({"by": 1})
        self.said = f"{path} is done"

    def _step(self, message: Mapping[str, Any]) -> None:
        review, path = self._at()
        order = review.order()
        left = [one for one in order if one not in review.layer().done] or order
        place = left.index(path) if path in left else -1
        by = -1 if message.get("by") == -1 else 1
        self._show(left[(place + by) % len(left)])
        self.said = ""

    def _cut(self, message: Mapping[str, Any], cutter: ThingCutter) -> None:
        review, path = self._at()
        box = _points(message.get("box", ()))
        if len(box) not in (0, 2):
            raise ValueError("a box has two corners")
        corners = (*np.min(box, axis=0).tolist(), *np.max(box, axis=0).tolist()) if box else None
        found = cutter.cut(
            review.sha256(path),
            self._photograph(),
            inside=_points(message.get("inside", ())),
            outside=_points(message.get("outside", ())),
            box=corners,
        )
        self._draft, self._how = found, "box" if box else "points"
        self.said = f"a draft of {int(found.sum()):,} pixels" if found.any() else "nothing was found there"

    def _brush(self, message: Mapping[str, Any]) -> None:
        image = self._photograph()
        radius = float(message.get("radius", 8))
        if not 0.5 <= radius <= max(image.shape):
            raise ValueError(f"the brush is {radius:g} pixels wide")
        stroke = painted(_points(message.get("stroke", ())), radius, image.shape[:2])
        before = np.zeros(image.shape[:2], np.bool_) if self._draft is None else self._draft
        self._draft = before & ~stroke if message.get("erase") is True else before | stroke
        self._how = "brush"
        self.said = f"a draft of {int(self._draft.sum()):,} pixels"

    def _keep(self, message: Mapping[str, Any]) -> None:
        review, path = self._at()
        if self._draft is None:
            raise ValueError("there is no draft: point at something, draw a box, or brush")
        name = str(message.get("name")).strip()
        review.draw(path, self._draft, name, self._how)
        self._draft, self.said = None, f"kept as {name}"

    def _drop(self, message: Mapping[str, Any]) -> None:
        del message
        self._draft, self.said = None, "the draft is gone"

    def _at(self) -> tuple[Review, str]:
        assert self.review is not None
        assert self.path is not None
        return self.review, self.path

    def _show(self, path: str | None) -> None:
        self.path, self._image, self._draft = path, None, None

    def _photograph(self) -> NDArray[np.uint8]:
        review, path = self._at()
        if self._image is None:
            self._image = review.photograph(path)
        return self._image

    def view(self) -> str:
        """What the browser shows, as JSON; every text in it is shown as text, never read as HTML."""
        if self.review is None or self.path is None:
            return json.dumps({"masks": [], "classes": [], "said": self.said or "Nothing to review yet."})
        image = self._photograph()
        names = list(self.review.names)
        masks = self.review.masks(self.path)
        colours = self._colours.of(dict.fromkeys(names.index(mask.name) for mask, _ in masks))
        size = shrunk_size(image.shape[:2], LONGEST_SHOWN)
        content = {
            "path": terminal(self.path),
            "width": image.shape[1],
            "height": image.shape[0],
            "photograph": _data(Image.fromarray(shrink(image, LONGEST_SHOWN)), "JPEG", quality=90),
            "masks": [
                {
                    "key": mask.key,
                    "name": terminal(mask.name),
                    "judged": mask.judged,
                    "reviewer": mask.reviewer,
                    "sure": mask.sure,
                    "share": mask.pixels / (image.shape[0] * image.shape[1]),
                    "colour": colours[names.index(mask.name)],
                    "bits": _bits(pixels, size),
                }
                for mask, pixels in masks
            ],
            "draft": None if self._draft is None else _bits(self._draft, size),
            "classes": [terminal(name) for name in names],
            "said": terminal(self.said),
        }
        return json.dumps(content).replace("<", "\\u003c")


def painted(stroke: Sequence[tuple[float, float]], radius: float, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (H, W) whose centres lie within ``radius`` of a line through points (x, y)."""
    found = np.zeros(size, np.bool_)
    for (x0, y0), (x1, y1) in zip(stroke, [*stroke[1:], stroke[-1]] if stroke else [], strict=True):
        left, right = (max(0, int(value)) for value in (min(x0, x1) - radius, max(x0, x1) + radius + 1))
        top, bottom = (max(0, int(value)) for value in (min(y0, y1) - radius, max(y0, y1) + radius + 1))
        part = found[top:bottom, left:right]
        ys, xs = np.indices(part.shape) + 0.5
        xs, ys = xs + left - x0, ys + top - y0
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = np.clip((xs * (x1 - x0) + ys * (y1 - y0)) / length, 0, 1) if length else np.zeros(part.shape)
        part |= (xs - along * (x1 - x0)) ** 2 + (ys - along * (y1 - y0)) ** 2 <= radius**2
    return found


def _points(given: Any) -> list[tuple[float, float]]:
    """Points that a browser sent."""
    if not isinstance(given, list | tuple) or len(given) > MOST_POINTS:
        raise ValueError(f"up to {MOST_POINTS} points are taken")
    try:
        points = [(float(x), float(y)) for x, y in given]
    except (TypeError, ValueError) as error:
        raise ValueError("a point is two numbers") from error
    if not np.isfinite(points).all():
        raise ValueError("a point is two numbers")
    return points


def _bits(mask: NDArray[np.bool_], size: tuple[int, int]) -> str:
    """A mask as a picture of one bit a pixel at the size that is shown."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return _data(picture.resize(size[::-1], Image.Resampling.NEAREST).convert("1"), "PNG")


def _data(picture: Image.Image, kind: str, **options: Any) -> str:
    file = BytesIO()
    picture.save(file, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
