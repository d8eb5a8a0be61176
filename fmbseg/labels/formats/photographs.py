"""Finding the photograph that a name in another tool's file refers to."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fmbseg.images import find_images

if TYPE_CHECKING:
    from collections.abc import Iterator

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the names of uploaded files
_UPLOADED = re.compile(r"^(?:(?:.*/)?(?:data|media)/upload/|images/(?=\d+/[0-9a-f]{8}-))\d+/")  # and these
_ROBOFLOW = re.compile(r"_[a-z]{3,4}\.rf\.[0-9a-zA-Z]{16,}(?=\.[a-z]+$)")  # before the extension
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"^[a-z]:/", re.IGNORECASE)
_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
_FOLDERS_OF_TOOLS = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "photos", "data", "default", "export", "obj_train_data"}
)
"""Folders that tools put photographs in, in any case; they do not say which photographs are meant."""


class PhotographFinder:
    """Finds photographs in a folder by names that annotation tools may have changed.

    A name is tried as it is, then without what tools put before it: the address of Label Studio's local
    storage and uploads, folders such as ``images/``, the folders of another machine in an absolute path, and
    the eight digits before an uploaded file's name. Any other folder that a name gives must be the one that
    the photograph lies in.

    Args:
        folder: of the photographs; its subfolders are searched too.

    Raises:
        ImageError: it holds no photograph.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = {path.relative_to(folder).as_posix() for path in find_images(folder)}
        self._by_end: dict[str, list[str]] = {}
        for path in sorted(self.paths):
            self._by_end.setdefault(PurePosixPath(path).name, []).append(path)
        self._elsewhere: tuple[tuple[str, ...], str] | None = None

    def find(self, name: str) -> str:
        """The path of a photograph from the folder, with forward slashes.

        Args:
            name: the name as the other tool wrote it.

        Raises:
            ValueError: there is none, it may be one of several, it lies in another folder than the name
                says, or the name leads out of the folder.
        """
        if name in self.paths:
            return name
        plain = _without_address(name.replace("\\", "/"))
        if ".." in plain.split("/"):
            raise ValueError(
                f"{name!r} leads out of the folder {self.folder}: only paths within it are taken"
            )
        absolute = plain.startswith("/") or bool(_ADDRESS.match(plain)) or bool(_DRIVE.match(plain))
        parts = PurePosixPath(_ADDRESS.sub("/", plain)).parts[1 if absolute else 0 :]
        if not absolute and "/".join(parts) in self.paths:
            return "/".join(parts)
        if not parts:
            raise ValueError(f"{name!r} is not a name of a photograph")
        if absolute:
            self._check_other_file(name)
        return self._lookup(name, parts, absolute=absolute)

    def _lookup(self, name: str, parts: tuple[str, ...], *, absolute: bool) -> str:
        """The photograph whose file name and folders fit."""
        *folders, last = parts
        for end in dict.fromkeys((last, _UPLOAD.sub("", last))):
            candidates = self._by_end.get(end, [])
            agreeing = {path: _disagreeing(folders, path) for path in candidates}
            fitting = [path for path in candidates if self._fits(agreeing[path], absolute=absolute)]
            found = _longest(folders, fitting)
            if len(found) == 1:
                self._note_elsewhere(agreeing[found[0]] or (), found[0], name)
                return found[0]
            if found:
                raise ValueError(
                    f"{name!r} may be {found[0]} or {found[1]} in {self.folder}: "
                    "write the whole path in the file, or give the folder that holds them"
                )
            if candidates:
                raise self._another_folder(name, folders, candidates[0])
        raise self._not_there(name, _UPLOAD.sub("", last))

    def _fits(self, left: tuple[str, ...] | None, *, absolute: bool) -> bool:
        """Whether what a name's folders say beyond those of the photograph is true, or says nothing."""
        if left is None:
            return False
        if not left or absolute:
            return True
        return left[-1] == self.folder.absolute().name

    def _note_elsewhere(self, left: tuple[str, ...], path: str, name: str) -> None:
        """One folder here cannot be several folders of the machine that the names are from."""
        if not left or left[-1] == self.folder.absolute().name:
            return
        if self._elsewhere is None:
            self._elsewhere = (left, name)
        if self._elsewhere[0] != left:
            raise ValueError(
                f"{self._elsewhere[1]!r} and {name!r} are in different folders, but would both be taken from "
                f"{self.folder} ({path}): write paths from that folder in the file"
            )

    def _check_other_file(self, name: str) -> None:
        """An absolute path that is there must be of the folder."""
        try:
            there = Path(name).is_file() and not Path(name).resolve().is_relative_to(self.folder.resolve())
        except (OSError, ValueError):  # too long a name, or a NUL in it
            return
        if there:
            raise ValueError(
                f"{name!r} is there, but not in the folder of the photographs, {self.folder}: "
                "give the folder that holds it"
            )

    def _another_folder(self, name: str, folders: list[str], path: str) -> ValueError:
        return ValueError(
            f"{name!r} is in the folder {'/'.join(folders)!r}, but in {self.folder} there is {path!r}: give "
            f"the folder that holds {folders[-1]!r}, or correct the name in the file if it is the same one"
        )

    def _not_there(self, name: str, last: str) -> ValueError:
        wanted = _folded(last)
        near = [path for path in sorted(self.paths) if _folded(PurePosixPath(path).name) == wanted][:3]
        meant = (
            f"; did you mean {' or '.join(map(repr, near))}? Then correct the name in the file"
            if near
            else ""
        )
        composed = unicodedata.normalize("NFC", last)
        if any(unicodedata.normalize("NFC", PurePosixPath(path).name) == composed for path in near):
            meant += " (it looks the same, but its letters have another Unicode form)"
        return ValueError(
            f"{name!r} is not in {self.folder}{meant or ': give the folder that holds the photographs'}"
        )


def _without_address(name: str) -> str:
    """The path that Label Studio's addresses stand for."""
    if "?d=" in name:
        return unquote(name.rpartition("?d=")[2]).replace("\\", "/").lstrip("/")
    return _UPLOADED.sub("", name)


def _folded(name: str) -> str:
    """Equal for names that differ in case, Unicode form, kind of extension or what tools replace alone."""
    composed = _ROBOFLOW.sub("", unicodedata.normalize("NFC", unquote(name)).casefold())
    stem, dot, suffix = composed.rpartition(".")
    # Label Studio keeps letters and digits.
    plain = re.sub(r"[\W_]+", "_", stem if dot else composed).strip("_")
    return f"{plain}.{_SUFFIXES.get(suffix, suffix)}"


def _disagreeing(folders: list[str], path: str) -> tuple[str, ...] | None:
    """What a name's folders say beyond those that the photograph lies in; None where they are others."""
    named, there = tuple(_meaningful(folders)), tuple(_meaningful(PurePosixPath(path).parts[:-1]))
    shared = _common_end(named, there)
    if shared < min(len(named), len(there)):
        return None
    return named[: len(named) - shared]


def _meaningful(folders: list[str] | tuple[str, ...]) -> Iterator[str]:
    return (folder for folder in folders if folder.casefold() not in _FOLDERS_OF_TOOLS)


def _longest(folders: list[str], candidates: list[str]) -> list[str]:
    """The candidates that share the most folders with a name, counted from the end."""
    shared = {path: _common_end(tuple(folders), PurePosixPath(path).parts[:-1]) for path in candidates}
    return [path for path in candidates if shared[path] == max(shared.values())]


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        count += 1
    return count
