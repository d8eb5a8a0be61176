"""What a label set records about itself: its vocabulary, models and settings, and a hash over them all."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import fmbseg
from fmbseg.certainty import check_certainty
from fmbseg.files import DamagedFileError, parse_json
from fmbseg.labels.place import is_there, read_whole
from fmbseg.storage import is_uri
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fmbseg.labels.place import Place

SCHEMA_VERSION = 4
MANIFEST = "manifest.json"


def new_manifest(
    vocabulary: Vocabulary,
    *,
    count: int,
    shard_size: int,
    root: Path | str,
    images: Mapping[str, Any] | None = None,
    **about: Any,
) -> dict[str, Any]:
    """The manifest of labels that are to be written.

    Args:
        vocabulary: their classes.
        count: photographs.
        shard_size: photographs a shard.
        root: folder or URI that the photographs' paths start from.
        images: what else identifies the photographs.
        about: ``models``, ``settings`` and what else made them.

    Raises:
        ValueError: ``shard_size`` is below 1.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}: it must be 1 or more")
    return {
        "schema_version": SCHEMA_VERSION,
        "fmbseg": fmbseg.__version__,
        "vocabulary": vocabulary.to_dict(),
        **about,
        "images": {"count": count, **(images or {})},
        "shard_size": shard_size,
        "root": str(root),
    }


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over everything that decides a label set's bytes: all but the photographs' folder."""
    content = {key: value for key, value in manifest.items() if key not in ("root", "hash")}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def shown_from(manifest: Mapping[str, Any]) -> float:
    """How certain a mask is at least that labels show, 0 to 1; of merged labels the highest of all parts."""
    parts = [shown_from(part) for part in manifest.get("merged", ())]
    return max([float(manifest.get("settings", {}).get("certainty", 0.0)), *parts])


def shard_count(manifest: Mapping[str, Any]) -> int:
    """Shards of a finished label set."""
    return -(-int(manifest["images"]["count"]) // int(manifest["shard_size"]))


def shard_length(manifest: Mapping[str, Any], index: int) -> int:
    """How many photographs, including those that could not be labelled, belong to a shard."""
    size = int(manifest["shard_size"])
    return min(size, int(manifest["images"]["count"]) - index * size)


def shard_positions(manifest: Mapping[str, Any], index: int) -> range:
    """Which photographs, of all in order, belong to a shard."""
    start = index * int(manifest["shard_size"])
    return range(start, start + shard_length(manifest, index))


def read_manifest(folder: Place) -> dict[str, Any]:
    """Read and check a label set's manifest.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: it was changed since it was written, or is not a manifest.
        ValueError: it has another version.
    """
    path = folder / MANIFEST
    try:
        content = read_whole(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"{folder} holds no label set: {MANIFEST} is missing. Make one with `fmbseg label` or "
            "PseudoLabeler().label(photographs, vocabulary, out)"
        ) from error
    try:
        manifest = parse_json(content, str(path))
    except DamagedFileError as error:
        raise DamagedFileError(f"{path} is not a label set's manifest: {error}") from error
    if not isinstance(manifest, dict) or "schema_version" not in manifest:
        raise DamagedFileError(f"{path} is not a label set's manifest: it names no schema_version")
    version = manifest["schema_version"]
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version!r}; this fmbseg reads {SCHEMA_VERSION}. "
            "Use the version of fmbseg that its field `fmbseg` names, or label again"
        )
    try:
        fits = manifest_hash(manifest) == manifest.get("hash")
    except RecursionError as error:
        raise DamagedFileError(f"{path} is not a label set's manifest: it is nested too deeply") from error
    if not fits:
        raise DamagedFileError(f"{path} was changed after it was written: its hash does not fit. Restore it")
    try:
        check_manifest(manifest)
    except ValueError as error:
        raise DamagedFileError(f"{path} is not a label set's manifest: {error}") from error
    return manifest


def recorded_recipe(folder: Place) -> str | None:
    """The recipe that labels in a folder were begun with; ``None`` without labels, or where none was named.

    Raises:
        ValueError: what is there is no manifest, or is damaged.
    """
    return read_manifest(folder)["models"].get("recipe") if is_there(folder / MANIFEST) else None


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Check every field of a manifest.

    Raises:
        ValueError: one is missing, or is not what it must be; the message names it.
    """
    missing = sorted(_REQUIRED - manifest.keys())
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    for name, (kinds, what) in _KINDS.items():
        if name in manifest and not isinstance(manifest[name], kinds):
            raise ValueError(f"{name} is {short(manifest[name])}: it must be {what}")
    models = manifest["models"]
    for name, kind in _MODELS.items():
        if not isinstance(models.get(name, kind()), kind):
            raise ValueError(f"models.{name} is {short(models[name])}: it must be {_WORDS[kind]}")
    if not _is_whole(manifest["shard_size"], 1):
        raise ValueError(f"shard_size is {short(manifest['shard_size'])}: it must be 1 or more")
    count = manifest["images"].get("count")
    if not _is_whole(count, 0) or shard_count(manifest) > _MOST_SHARDS:
        raise ValueError(
            f"images.count is {short(count)}: it must be the number of photographs, of at most "
            f"{_MOST_SHARDS} shards"
        )
    root = manifest["root"]
    is_whole = is_uri(root) or PurePosixPath(root).is_absolute() or PureWindowsPath(root).is_absolute()
    if "\0" in root or not is_whole:
        raise ValueError(f"root is {short(root)}: it must be the photographs' folder, a whole path or a URI")
    try:
        check_certainty("settings.certainty", shown_from(manifest))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"settings.certainty cannot be read: {error}") from error
    Vocabulary.from_dict(manifest["vocabulary"])


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def short(value: Any) -> str:
    """A value as shown in messages, at most 60 characters long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_MOST_SHARDS = 1_000_000
_REQUIRED = frozenset({"fmbseg", "vocabulary", "models", "images", "shard_size", "root"})
_MODELS: dict[str, type] = {
    **dict.fromkeys(("recipe", "image_text", "mask_generator", "teacher", "license"), str),
    **dict.fromkeys(("mask_options", "teacher_options", "prefilter"), dict),
}
_WORDS: dict[type, str] = {str: "text", dict: "a JSON object"}
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "fmbseg": ((str,), "a version"),
    "vocabulary": ((dict,), "a JSON object"),
    "models": ((dict,), "a JSON object"),
    "settings": ((dict,), "a JSON object"),
    "images": ((dict,), "a JSON object"),
    "image_labels": ((dict,), "a JSON object"),
    "source": ((str, dict), "a hash or a JSON object"),
    "steps": ((list,), "a list"),
    "merged": ((list,), "a list"),
    "root": ((str,), "text"),
}
