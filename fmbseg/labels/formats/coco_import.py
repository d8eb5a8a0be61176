"""Labels from COCO JSON, corrected or drawn by people in any tool."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.files import check_regular, parse_json
from fmbseg.labels.claimed import JOURNAL, LOCK
from fmbseg.labels.formats.coco_export import is_as_exported, was_exported
from fmbseg.labels.formats.coco_records import CocoRecords
from fmbseg.labels.formats.label_studio_file import coco_of_tasks
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import MANIFEST, new_manifest, shard_count
from fmbseg.labels.place import check_local
from fmbseg.labels.shards import shard_name
from fmbseg.labels.writer import LabelWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fmbseg.vocabulary import VocabularySource


def import_coco(
    path: str | Path,
    photographs: str | Path,
    out: str | Path,
    *,
    vocabulary: VocabularySource | None = None,
    shard_size: int = 1000,
) -> LabelSet:
    """Read COCO JSON, or Label Studio's own, as a label set, which ``Aligner.fit`` takes like any other.

    Masks may be polygons or run lengths, compressed or not; a crowd (``iscrowd``) is a mask of its class
    like any other. What :func:`export_coco` wrote comes back equal. From other tools, a mask without
    ``attributes`` counts as drawn by hand: all its scores are 1, and it is trained on. A photograph without
    an annotation is one in which no class was found.

    An annotation without a mask (a box alone, or a polygon beside the image) is left out with a warning that
    counts them. A photograph that is left without any is not a negative: it is listed in
    the label set's ``errors``, and not in the set.

    Args:
        path: of the JSON file, COCO's or Label Studio's own ("JSON"). It is read whole.
        photographs: folder of the photographs; see :class:`PhotographFinder` for names that a tool changed.
        out: local folder for the label set; a run that was stopped continues where it stopped. An import that
            fails removes the folder again if it made it.
        vocabulary: the classes, by whose names the categories are known. If not given, that of the labels
            that were exported, or else the categories' names, but for those that mean background or pixels
            that do not count, and for an unused one that others name as their ``supercategory``.
        shard_size: photographs a shard.

    Raises:
        ValueError: the file is not COCO JSON, or an entry of it is wrong: its fields, ids, category, mask or
            photograph; the message names the entry's id.
        OSError: a file cannot be read, or ``out`` cannot be written.
    """
    check_local(out)
    path, root, out = Path(path), Path(photographs).absolute(), Path(out)
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}: it must be 1 or more")
    check_regular(path)
    content = path.read_bytes()
    with _naming(path):
        parsed = parse_json(content, "it", not_finite=True)
        is_tasks = isinstance(parsed, list) and bool(parsed)
        source = CocoRecords.of(coco_of_tasks(parsed) if is_tasks else parsed, root, vocabulary)
    manifest = new_manifest(
        source.classes.vocabulary,
        count=len(source.entries),
        shard_size=shard_size,
        root=root,
        models=source.models,
        settings={},
        source={"format": "label-studio" if is_tasks else "coco", "sha256": sha256(content).hexdigest()},
    )
    with _naming(path):
        _write(source, out, manifest)
    source.tell(path)
    if not is_tasks and was_exported(content) and not is_as_exported(content):
        warnings.warn(
            f"{path} was changed since fmbseg exported it, and is used as it is. If nobody corrected it, "
            "it is damaged: export it again",
            stacklevel=2,
        )
    return LabelSet(out)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error about what is in it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path} cannot be imported: {error}") from error


def _write(source: CocoRecords, out: Path, manifest: dict[str, Any]) -> None:
    """Write all records; on failure leave nothing behind."""
    is_new = not (out / MANIFEST).exists()
    undo = _undo(out, manifest)
    try:
        with LabelWriter(out, manifest) as writer:
            for position in writer.positions():
                name, entry = source.entries[position]
                try:
                    found = source.record(name, entry)
                except ValueError as error:
                    raise ValueError(f"{entry}: {error}") from error
                if isinstance(found, str):
                    writer.append_error(name, found)
                else:
                    writer.append(found)
    except Exception:
        if is_new:
            undo()
        raise


def _undo(out: Path, manifest: dict[str, Any]) -> Callable[[], None]:
    """Removes what a writer put in a folder that held no label set; other files and folders stay."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    names = {MANIFEST, JOURNAL, LOCK, *map(shard_name, range(shard_count(manifest)))}
    names -= {name for name in names if (out / name).exists()}

    def undo() -> None:
        for name in names:
            (out / name).unlink(missing_ok=True)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    return undo
