"""Writing a collection of labels to a new folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fmbseg
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import SCHEMA_VERSION
from fmbseg.labels.writer import LabelWriter

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.collection import LabelCollection


def save(labels: LabelCollection, out: str | Path, *, shard_size: int = 1000) -> LabelSet:
    """Write labels to a new folder; a run that was stopped continues where it stopped.

    Args:
        labels: a label set, or a collection derived from one; the manifest records how.
        out: folder to write to.
        shard_size: photographs a shard.

    Returns:
        The label set that was written.

    Raises:
        ValueError: ``out`` holds other labels, or ``shard_size`` is below 1.
    """
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "fmbseg": fmbseg.__version__,
        "vocabulary": labels.vocabulary.to_dict(),
        **labels.origin,
        "source": labels.fingerprint,
        "images": {"count": len(labels)},
        "shard_size": shard_size,
        "root": str(labels.root),
    }
    with LabelWriter(out, manifest) as writer:
        todo = set(writer.positions())
        for position, image in enumerate(labels):
            if position in todo:
                writer.append(image)
    return LabelSet(out)
