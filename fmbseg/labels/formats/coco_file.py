"""The content of a COCO JSON file, checked once, so that later code can rely on every field's type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fmbseg.labels.record import HAND_STAGE, STAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Id: TypeAlias = "int | str"

_LARGEST = 1e9
"""Of a score or a coordinate; more is no number that float32, as which they are kept, tells apart."""
_STAGE_OF = {name: stage for stage, name in STAGES.items()}


@dataclass(frozen=True)
class CocoCategory:
    """One entry of ``categories``."""

    id: Id
    name: str
    supercategory: str | None


@dataclass(frozen=True)
class CocoImage:
    """One entry of ``images``.

    Attributes:
        id: of the entry.
        file_name: as the tool wrote it.
        size: height and width in pixels, each 1 or more.
        sha256: of the photograph's file; None where the file does not say.
        detected: names of classes that were found in it, each with how likely it is there, if that is known.
    """

    id: Id
    file_name: str
    size: tuple[int, int]
    sha256: str | None
    detected: dict[str, float | None]

    def __str__(self) -> str:
        return f"image {self.id!r} ({self.file_name})"


@dataclass(frozen=True)
class CocoAnnotation:
    """One entry of ``annotations``.

    Attributes:
        id: of the entry.
        image: id of its image.
        category: id of its category.
        segmentation: its mask, unchecked; None where it has none.
        stage: of labelling, see :data:`~fmbseg.labels.record.STAGES`; by hand unless it says otherwise.
        kept: whether it is trained on.
        predicted_iou: a score; 1 where it has none.
        stability: a score; 1 where it has none.
        similarity: a score; 1 where it has none.
        points: that the mask was made from, x and y in turn.
        certainty: how likely its class is right; None where it does not say.
    """

    id: Id
    image: Id
    category: Id
    segmentation: Any
    stage: int
    kept: bool
    predicted_iou: float
    stability: float
    similarity: float
    points: tuple[float, ...]
    certainty: float | None


@dataclass(frozen=True)
class CocoFile:
    """A whole file.

    Attributes:
        categories: by id.
        images: by id.
        annotations: of each image's id; none for an image without any.
        about: what fmbseg recorded about the labels when it exported them; empty for other tools' files.
    """

    categories: dict[Id, CocoCategory]
    images: dict[Id, CocoImage]
    annotations: dict[Id, list[CocoAnnotation]]
    about: dict[str, Any]

    @classmethod
    def of(cls, content: Any) -> CocoFile:
        """Check parsed JSON.

        Raises:
            ValueError: it is not COCO JSON; the message names the entry and the field.
        """
        lists = ("images", "annotations", "categories")
        if not isinstance(content, dict) or not set(lists) <= content.keys():
            raise ValueError("it is not COCO JSON: it needs the lists images, annotations and categories")
        entries = {name: _entries(content[name], name) for name in lists}
        about = _object(_object(content.get("info"), "info").get("fmbseg"), "info.fmbseg")
        categories = {key: _category(key, one) for key, one in entries["categories"].items()}
        images = {key: _image(key, one) for key, one in entries["images"].items()}
        annotations: dict[Id, list[CocoAnnotation]] = {}
        for key, one in entries["annotations"].items():
            annotation = _annotation(key, one)
            _check_points_to(key, "image_id", annotation.image, images)
            _check_points_to(key, "category_id", annotation.category, categories)
            annotations.setdefault(annotation.image, []).append(annotation)
        return cls(categories, images, annotations, about)


def _entries(value: Any, name: str) -> dict[Id, dict[str, Any]]:
    """The objects of one list, by their ids."""
    if not isinstance(value, list):
        raise ValueError(f"{name} is {shown(value)}: it must be a list of objects")
    kind = {"categories": "category"}.get(name, name[:-1])
    found: dict[Id, dict[str, Any]] = {}
    for position, entry in enumerate(value, start=1):
        what = f"entry {position} of {name}"
        if not isinstance(entry, dict):
            raise ValueError(f"{what} is {shown(entry)}: it must be an object")
        key = _id(entry, "id", what)
        if key in found:
            raise ValueError(f"two entries have the {kind} id {key!r}: ids must be unique")
        found[key] = entry
    return found


def _category(key: Id, entry: Mapping[str, Any]) -> CocoCategory:
    above = entry.get("supercategory")
    return CocoCategory(
        key, _text(entry, "name", f"category {key!r}"), above if isinstance(above, str) else None
    )


def _image(key: Id, entry: Mapping[str, Any]) -> CocoImage:
    file_name = _text(entry, "file_name", f"image {key!r}")
    what = f"image {key!r} ({file_name})"
    digest, detected = entry.get("sha256"), entry.get("detected")
    if digest is not None and not isinstance(digest, str):
        raise ValueError(f"{what}: sha256 is {shown(digest)}: it must be a string")
    if detected is None:
        detected = []
    if not isinstance(detected, list) or not all(isinstance(name, str) for name in detected):
        raise ValueError(f"{what}: detected is {shown(detected)}: it must be a list of class names")
    size = (_side(entry, "height", what), _side(entry, "width", what))
    likely = entry.get("presences")
    known = likely if isinstance(likely, list) and len(likely) == len(detected) else [None] * len(detected)
    presences = {name: _share(one, f"{what}: presences") for name, one in zip(detected, known, strict=True)}
    return CocoImage(key, file_name, size, digest, presences)


def _annotation(key: Id, entry: Mapping[str, Any]) -> CocoAnnotation:
    what = f"annotation {key!r}"
    scores = _object(entry.get("attributes"), f"{what}: attributes")
    return CocoAnnotation(
        id=key,
        image=_id(entry, "image_id", what),
        category=_id(entry, "category_id", what),
        segmentation=entry.get("segmentation"),
        stage=_STAGE_OF.get(str(scores.get("stage")), HAND_STAGE),
        kept=_kept(scores, what),
        predicted_iou=_score(scores, "predicted_iou", what),
        stability=_score(scores, "stability", what),
        similarity=_score(scores, "similarity", what),
        points=_points(scores, what),
        certainty=_share(scores.get("certainty"), f"{what}: attributes.certainty"),
    )


def _check_points_to(key: Id, field: str, wanted: Id, known: Collection[Id]) -> None:
    if wanted in known:
        return
    what = f"annotation {key!r} has {field} {wanted!r}"
    for other in known:
        if str(other) == str(wanted):
            raise ValueError(
                f"{what}, {shown(wanted)}, but the entry's id is {shown(other)}: write both the same way"
            )
    raise ValueError(f"{what}, which no entry has")


def shown(value: Any) -> str:
    """A JSON value in a few words for a message.

    Example:
        >>> shown("x"), shown(True), shown([1, 2]), shown({})
        ("the text 'x'", 'true', 'a list', 'an object')
    """
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"the number {value!r}" if len(str(value)) <= 40 else "a number with many digits"


def _field(entry: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in entry:
        raise ValueError(f"{what}: the field {name!r} is missing")
    return entry[name]


def _id(entry: Mapping[str, Any], name: str, what: str) -> Id:
    value = _field(entry, name, what)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{what}: {name} is {shown(value)}: it must be a whole number or a string")
    return value


def _text(entry: Mapping[str, Any], name: str, what: str) -> str:
    value = _field(entry, name, what)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what}: {name} is {shown(value)}: it must be a string that is not empty")
    return value


def _side(entry: Mapping[str, Any], name: str, what: str) -> int:
    value = _field(entry, name, what)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 1:
        raise ValueError(f"{what}: {name} is {shown(value)}: it must be a whole number of pixels, 1 or more")
    return int(value)


def _object(value: Any, what: str) -> dict[str, Any]:
    """An object; empty where it was left out."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {shown(value)}: it must be an object, or be left out")
    return value


def _score(scores: Mapping[str, Any], name: str, what: str) -> float:
    """A number, or a number that a tool wrote as text; 1 where there is none."""
    value = scores.get(name)
    number = 1.0 if value is None else _number(value)
    if number is None:
        raise ValueError(f"{what}: attributes.{name} is {shown(value)}: it must be a number")
    return number


def _share(value: Any, what: str) -> float | None:
    """A number from 0 to 1, or None where there is none."""
    if value is None or str(value).lower() in ("", "none"):
        return None
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"{what} is {shown(value)}: it must be a number from 0 to 1, or null")
    return number


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= _LARGEST else None


def _kept(scores: Mapping[str, Any], what: str) -> bool:
    value = scores.get("kept")
    known = {"true": True, "false": False, "none": True, "": True}
    if str(value).lower() not in known:
        raise ValueError(f"{what}: attributes.kept is {shown(value)}: it must be true or false")
    return known[str(value).lower()]


def _points(scores: Mapping[str, Any], what: str) -> tuple[float, ...]:
    value = scores.get("points")
    if not isinstance(value, list):
        return ()  # none, or what a tool made of them
    numbers = tuple(_number(one) for one in value)
    if len(numbers) % 2 or None in numbers:
        raise ValueError(f"{what}: attributes.points must be a list of numbers, x and y in turn")
    return tuple(one for one in numbers if one is not None)
