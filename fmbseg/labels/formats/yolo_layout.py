"""Where Ultralytics' YOLO looks for photographs and their labels, and which photographs it reads."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from PIL import Image

from fmbseg.labels.formats.places import first_clash

if TYPE_CHECKING:
    from collections.abc import Sequence

# What every version reads; newer ones read AVIF, HEIC and JPEG 2000, too.
_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
_FORMATS = {"BMP", "JPEG", "MPO", "PNG", "TIFF", "WEBP"}
_IMAGES = "images"


def is_read_by_yolo(photograph: Path) -> bool:
    """Whether Ultralytics reads a photograph, judged by its suffix and by its format according to Pillow.

    Raises:
        OSError: it cannot be read, or is not an image.
    """
    if photograph.suffix.lower() not in _SUFFIXES:
        return False
    with Image.open(photograph) as image:
        return image.format in _FORMATS


def places_of(paths: Sequence[str], *, val: float, seed: int) -> dict[str, tuple[str, str]]:
    """Where each photograph and its labels are written.

    Args:
        paths: of the photographs.
        val: share of them for validation; none at 0, else at least one and not all.
        seed: of the random choice.

    Returns:
        For each path its part, ``"train/"``, ``"val/"`` or ``""``, and its path there, without a suffix and
        without folders named ``images``.

    Raises:
        ValueError: two photographs would have the same path, or there are too few to set some apart.

    Example:
        >>> places_of(["train/images/a.jpg"], val=0, seed=0)
        {'train/images/a.jpg': ('', 'train/a')}
    """
    stems = _stems(paths)
    if not val:
        return {path: ("", stem) for path, stem in stems.items()}
    if len(paths) < 2:
        raise ValueError(f"val is {val}, but there are too few photographs to set any apart: {len(paths)}")
    count = min(max(1, round(val * len(paths))), len(paths) - 1)
    apart = set(
        sorted(paths, key=lambda path: sha256(f"{seed}\n{path}".encode("utf-8", "surrogatepass")).digest())[
            :count
        ]
    )
    return {path: ("val/" if path in apart else "train/", stem) for path, stem in stems.items()}


def _stems(paths: Sequence[str]) -> dict[str, str]:
    """Each place, with folders named ``images`` left out, or called ``images_`` where two would be one."""
    found = {path: _stem(path, []) for path in paths}
    if first_clash(found):
        found = {path: _stem(path, ["images_"]) for path in paths}
    clash = first_clash(found)
    if clash is None:
        return found
    one, other = clash
    raise ValueError(
        f"{one} and {other} would both be {found[other]} in this format: rename one, or export to COCO"
    )


def _stem(path: str, instead: list[str]) -> str:
    plain = PurePosixPath(path).with_suffix("")
    parts: list[str] = []
    for folder in plain.parts[:-1]:
        # Ultralytics passes over what is hidden.
        parts += (
            instead if folder == _IMAGES else [folder.replace(".", "_", 1) if folder[0] == "." else folder]
        )
    return "/".join([*parts, plain.name.replace(".", "_", 1) if plain.name[0] == "." else plain.name])
