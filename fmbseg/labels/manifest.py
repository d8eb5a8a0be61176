"""What a label set says of itself: its vocabulary, models and settings, and a hash over them all."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION = 3
MANIFEST = "manifest.json"


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over all that decides a label set's bytes: everything but where the photographs lie."""
    content = {key: value for key, value in manifest.items() if key not in ("root", "hash")}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def shard_count(manifest: Mapping[str, Any]) -> int:
    """Shards of a finished label set."""
    return -(-int(manifest["images"]["count"]) // int(manifest["shard_size"]))


def shard_length(manifest: Mapping[str, Any], index: int) -> int:
    """How many photographs, those that could not be labelled too, belong to a shard."""
    size = int(manifest["shard_size"])
    return min(size, int(manifest["images"]["count"]) - index * size)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check a label set's manifest.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of another version, or not what was written.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no label set: {MANIFEST} is missing. Make one with `fmbseg label` or "
            "PseudoLabeler().label(photographs, vocabulary, out)"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a label set's manifest: {error!r}") from error
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version}; this fmbseg reads {SCHEMA_VERSION}. "
            "Use the version of fmbseg that its field `fmbseg` names, or label again"
        )
    if manifest_hash(manifest) != manifest.get("hash"):
        raise ValueError(f"{path} was changed after it was written: its hash does not fit. Restore it")
    return manifest
