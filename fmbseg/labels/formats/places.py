"""Where an export puts the file of each photograph."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection


def stems(labels: LabelCollection) -> dict[str, str]:
    """For each photograph's path, that path without its extension: what formats of one file a photograph use.

    Raises:
        ValueError: two photographs differ in their extension alone (or in its case, which some file systems
            take for the same), so that one file would stand for both.
    """
    found: dict[str, str] = {}
    paths: dict[str, str] = {}
    for image in labels:
        stem = PurePosixPath(image.path).with_suffix("").as_posix()
        other = paths.setdefault(stem.casefold(), image.path)
        if other != image.path:
            raise ValueError(
                f"{other} and {image.path} would both be {stem} in this format: rename one, or export to COCO"
            )
        found[image.path] = stem
    return found
