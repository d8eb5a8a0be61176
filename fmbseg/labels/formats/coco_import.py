"""Labels from COCO JSON: corrected or drawn by people, in whichever tool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco

import fmbseg
from fmbseg.images import load_image
from fmbseg.labels.formats.photographs import PhotographFinder
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import SCHEMA_VERSION
from fmbseg.labels.record import HAND_STAGE, STAGES, LabeledImage
from fmbseg.labels.run_lengths import check_counts, check_runs
from fmbseg.labels.writer import LabelWriter
from fmbseg.masks import MaskSet
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.vocabulary import VocabularySource

_STAGE_OF = {name: stage for stage, name in STAGES.items()}


def import_coco(
    path: str | Path,
    photographs: str | Path,
    out: str | Path,
    *,
    vocabulary: VocabularySource | None = None,
    shard_size: int = 1000,
) -> LabelSet:
    """Read a COCO JSON file as a label set, which ``Aligner.fit`` takes like any other.

    Masks may be polygons or run lengths, compressed or not. What :func:`export_coco` wrote comes back equal.
    From other tools, a mask without ``attributes`` counts as drawn by hand: all its scores are 1, and it is
    trained on. A photograph without an annotation is one in which no class was found.

    Args:
        path: of the JSON file. It is read whole.
        photographs: folder of the photographs; see :class:`PhotographFinder` for names that a tool changed.
        out: folder for the label set; a run that was stopped continues where it stopped.
        vocabulary: the classes, by whose names the categories are known. If not given, that of the labels
            that were exported, or else the categories' names.
        shard_size: photographs a shard.

    Raises:
        ValueError: a file that is no COCO JSON, an id that stands twice or points nowhere, a category that
            the vocabulary does not have, a mask that cannot be read, a photograph that is not there or has
            another size than the file says; each with the entry's id.
        OSError: a file cannot be read, or ``out`` cannot be written.
    """
    path, root = Path(path), Path(photographs).absolute()
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}: it must be 1 or more")
    content = path.read_bytes()
    try:
        parsed = _Coco.of(json.loads(content), vocabulary)
        entries = parsed.located(PhotographFinder(root))
    except (ValueError, KeyError, TypeError) as error:
        what = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} cannot be imported: {what}") from error
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "fmbseg": fmbseg.__version__,
        "vocabulary": parsed.vocabulary.to_dict(),
        "models": parsed.models,
        "settings": {},
        "source": {"format": "coco", "sha256": sha256(content).hexdigest()},
        "images": {"count": len(entries)},
        "shard_size": shard_size,
        "root": str(root),
    }
    with LabelWriter(out, manifest) as writer:
        for position in writer.positions():
            name, entry = entries[position]
            try:
                writer.append(parsed.record(root, name, entry))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, image {entry['id']} ({name}): {error}") from error
    return LabelSet(out)


@dataclass(frozen=True)
class _Coco:
    """A COCO file's content.

    Attributes:
        vocabulary: the classes.
        models: that made the labels, where the file says so.
        class_of: class index of each category id.
        images: the entries.
        annotations: of each image id.
    """

    vocabulary: Vocabulary
    models: dict[str, Any]
    class_of: dict[Any, int]
    images: list[dict[str, Any]]
    annotations: dict[Any, list[dict[str, Any]]]

    @classmethod
    def of(cls, content: Any, vocabulary: VocabularySource | None) -> _Coco:
        """Check what concerns the file as a whole."""
        if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
            raise ValueError("it is not COCO JSON: it needs the lists images, annotations and categories")
        about = (content.get("info") or {}).get("fmbseg") or {}
        names = _by_id(content["categories"], "category")
        if vocabulary is not None:
            classes = Vocabulary.of(vocabulary)
        elif "vocabulary" in about:
            classes = Vocabulary.from_dict(about["vocabulary"])
        else:
            classes = Vocabulary.of([names[key]["name"] for key in sorted(names)])
        images = _by_id(content["images"], "image")
        annotations: dict[Any, list[dict[str, Any]]] = {}
        for key, annotation in _by_id(content["annotations"], "annotation").items():
            _check_points_to(annotation, key, images, names)
            annotations.setdefault(annotation["image_id"], []).append(annotation)
        used = {annotation["category_id"] for group in annotations.values() for annotation in group}
        class_of = {key: classes.index(str(names[key]["name"]).strip()) for key in sorted(used)}
        return cls(classes, dict(about.get("models", {})), class_of, list(images.values()), annotations)

    def located(self, finder: PhotographFinder) -> list[tuple[str, dict[str, Any]]]:
        """Each photograph's path with its entry, sorted by path."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.images:
            name = finder.find(entry["file_name"])
            if name in found:
                raise ValueError(f"images {found[name]['id']} and {entry['id']} are both {name}")
            found[name] = entry
        return sorted(found.items())

    def record(self, root: Path, name: str, entry: dict[str, Any]) -> LabeledImage:
        """The labels of one photograph."""
        content = (root / name).read_bytes()
        size = (int(entry["height"]), int(entry["width"]))
        digest = sha256(content).hexdigest()
        _check_photograph(root / name, digest, size, entry.get("sha256"))
        annotations = [one for one in self.annotations.get(entry["id"], []) if one.get("segmentation")]
        scores = [one.get("attributes") or {} for one in annotations]
        classes = [self.class_of[one["category_id"]] for one in annotations]
        masks = MaskSet(
            size=size,
            rles=tuple(_rle(one, size) for one in annotations),
            predicted_iou=_column(scores, "predicted_iou"),
            stability=_column(scores, "stability"),
        )
        said = {name for name in entry.get("detected") or () if name in self.vocabulary.names}
        return LabeledImage(
            path=name,
            sha256=digest,
            detected=tuple(sorted({*classes, *map(self.vocabulary.index, said)})),
            masks=masks,
            class_ids=np.array(classes, np.int32),
            stages=np.array([_STAGE_OF.get(str(one.get("stage")), HAND_STAGE) for one in scores], np.int8),
            similarities=_column(scores, "similarity"),
            kept=np.array([str(one.get("kept", True)).lower() != "false" for one in scores], np.bool_),
            points=tuple(_points(one) for one in scores),
        )


def _by_id(entries: Sequence[dict[str, Any]], kind: str) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for entry in entries:
        if entry["id"] in found:
            raise ValueError(f"two entries have the {kind} id {entry['id']}: ids must be unique")
        found[entry["id"]] = entry
    return found


def _check_points_to(
    annotation: dict[str, Any], key: Any, images: Mapping[Any, Any], categories: Mapping[Any, Any]
) -> None:
    for field, known in (("image_id", images), ("category_id", categories)):
        if annotation[field] not in known:
            raise ValueError(f"annotation {key} has {field} {annotation[field]}, which no entry has")


def _check_photograph(path: Path, digest: str, size: tuple[int, int], expected: str | None) -> None:
    if expected == digest:
        return  # it was looked at when the labels were made
    if expected is not None:
        raise ValueError("the photograph was changed since it was labelled: put back the one that was")
    height, width = load_image(path).shape[:2]
    if (height, width) != size:
        raise ValueError(
            f"the file says {size[0]} x {size[1]} (height x width), but the photograph is {height} x "
            f"{width}: was it changed, or did the tool leave out its EXIF turn?"
        )


def _column(scores: Sequence[Mapping[str, Any]], name: str) -> Any:
    """A score of each mask; 1 where there is none."""
    given = (one.get(name) for one in scores)
    return np.array([1.0 if value is None else float(value) for value in given], np.float32)


def _points(scores: Mapping[str, Any]) -> NDArray[np.float32]:
    given = scores.get("points")
    return np.array(given if isinstance(given, list) else [], np.float32).reshape(-1, 2)


def _rle(annotation: Mapping[str, Any], size: tuple[int, int]) -> bytes:
    """Compressed run lengths of an annotation's mask."""
    shape = annotation["segmentation"]
    try:
        if isinstance(shape, list):
            return _rle_of_polygons(shape, size)
        if tuple(shape["size"]) != size:
            raise ValueError(f"its size {shape['size']} is not the image's, {list(size)}")
        if isinstance(shape["counts"], list):
            check_runs(shape["counts"], size)
            return bytes(coco.frPyObjects(shape, *size)["counts"])
        counts = shape["counts"].encode("ascii")
        check_counts(counts, size)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the mask of annotation {annotation['id']} cannot be read: {error}") from error
    return bytes(counts)


def _rle_of_polygons(polygons: list[Any], size: tuple[int, int]) -> bytes:
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is a list of three points or more, x and y in turn")
        if not np.isfinite(np.array(polygon, np.float64)).all():
            raise ValueError("a polygon has a point that is not a number")
    return bytes(coco.merge(coco.frPyObjects(polygons, *size))["counts"])
