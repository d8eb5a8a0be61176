"""Which files of a folder are photographs to work on, and which are skipped."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from fmbseg.signatures import ImageError
from fmbseg.written import OwnResults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ImageFiles: TypeAlias = "str | Path | Iterable[str | Path]"

IMAGE_EXTENSIONS = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx"}
    | {".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""The extensions, in upper or lower case, by which :func:`find_images` recognises an image."""

_COMPANIONS = frozenset(
    {".bin", ".cache", ".cfg", ".csv", ".db", ".doc", ".docx", ".geojson", ".htm", ".html", ".ini", ".ipynb"}
    | {".json", ".jsonl", ".lnk", ".lock", ".log", ".md", ".md5", ".ods", ".odt", ".parquet", ".pdf", ".py"}
    | {".rst", ".sh", ".sha256", ".sqlite", ".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".xmp"}
    | {".yaml", ".yml"}
)
"""Extensions of files that are kept beside photographs: lists, annotations, notes."""
_COMPANION_NAMES = frozenset({"authors", "checksums", "copying", "license", "makefile", "notice", "readme"})
_SHOWN = 3


@dataclass(frozen=True)
class PassedOver:
    """Files that may be photographs but that :func:`find_images` left out; falsy if there are none.

    Attributes:
        paths: sorted by their text with forward slashes.
    """

    paths: tuple[PurePath, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def by_suffix(self) -> dict[str, int]:
        """The number of files by lower-case extension, most frequent first."""
        counts = Counter(path.suffix.lower() or "without an extension" for path in self.paths)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def __str__(self) -> str:
        """One sentence: how many, of which kinds, some names, and what to do; empty if there are none."""
        if not self.paths:
            return ""
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in self.by_suffix().items())
        names = ", ".join(path.name for path in self.paths[:_SHOWN])
        more = f" and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""
        files = "1 file was" if len(self) == 1 else f"{len(self)} files were"
        return (
            f"{files} passed over ({kinds}: {names}{more}): fmbseg does not read these formats; save "
            "photographs as JPEG or PNG, and move other files away"
        )


def find_images(folder_or_paths: ImageFiles, *, recursive: bool = True) -> list[Path]:
    """List the image files of a folder, a single file, or several of either.

    In a folder, files are recognised by their extension (:data:`IMAGE_EXTENSIONS`); hidden files and
    folders (a leading dot) are left out, as are results that fmbseg wrote there. The photographs of an
    export to a folder within count only if there are no others, for they would count twice. A file that is
    named explicitly is taken whatever its extension. :func:`passed_over` lists the other files.

    Args:
        folder_or_paths: a folder, a file, or any number of them.
        recursive: also search subfolders. Links to files and folders are followed, wherever they
            lead, and each folder is entered once.

    Returns:
        Paths without repetition, sorted by their text with forward slashes.

    Raises:
        ImageError: a path does not exist, a folder cannot be read or holds no image, no path is given, or
            a file that is named explicitly is one of fmbseg's own results.
    """
    paths = _listed(folder_or_paths)
    if not paths:
        raise ImageError("no image: the list of paths is empty; give a folder or at least one file")
    own = OwnResults()
    found: set[Path] = set()
    for path in paths:
        if _is_folder(path):
            found.update(_images_in(path, own, recursive=recursive))
        elif path in own:
            raise ImageError(
                f"{path} is a result that fmbseg wrote, not a photograph; name photographs, or copy it to "
                "another folder to work on it all the same"
            )
        else:
            found.add(path)
    return _in_order(found)


def passed_over(folder_or_paths: ImageFiles, *, recursive: bool = True) -> PassedOver:
    """List the files in the same folders that :func:`find_images` leaves out but that may be photographs.

    These are all files with other extensions, such as ``.heic``, ``.cr2`` or ``.mp4``, or none. What
    is clearly not a photograph does not count: hidden files, fmbseg's own results, and lists, notes and
    annotations (``.txt``, ``.csv``, ``.json``, ``.xml``, ...).

    Commands print a non-empty result as a warning and, as for unreadable images, exit with 1 under
    ``--strict``, as it does for images that cannot be read.

    Args:
        folder_or_paths: as for :func:`find_images`; paths of files add nothing.
        recursive: as for :func:`find_images`.

    Raises:
        ImageError: a path does not exist, or a folder cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.jpg", "b.HEIC", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     left = passed_over(folder)
        >>> left.by_suffix(), [path.name for path in left.paths]
        ({'.heic': 1}, ['b.HEIC'])
    """
    own = OwnResults()
    folders = [path for path in _listed(folder_or_paths) if _is_folder(path)]
    found = {path for folder in folders for path in _others_in(folder, own, recursive=recursive)}
    return PassedOver(tuple(_in_order(found)))


def missing(path: Path | str) -> ImageError:
    """The error for a path that does not exist."""
    return ImageError(f"{path} does not exist (looked from {Path.cwd()}); check its spelling")


def unreadable(path: Path | str, error: OSError) -> ImageError:
    """The error for a path that may not be read."""
    return ImageError(f"{path} cannot be read ({error.strerror}); check its permissions")


def _listed(folder_or_paths: ImageFiles) -> list[Path]:
    paths = [folder_or_paths] if isinstance(folder_or_paths, (str, Path)) else folder_or_paths
    return [Path(path) for path in paths]


def _in_order(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.as_posix())


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing(path) from error
    except ValueError as error:  # a NUL in the name
        raise ImageError(f"{str(path)!r} is not a path ({error})") from error
    except OSError as error:
        raise unreadable(path, error) from error


def is_image(path: PurePath) -> bool:
    """Whether a file's extension is that of an image."""
    return path.suffix.lower() in IMAGE_EXTENSIONS


def is_companion(path: PurePath) -> bool:
    """Whether a file is one that is kept beside photographs, by its name."""
    return path.suffix.lower() in _COMPANIONS or path.stem.lower() in _COMPANION_NAMES


def _images_in(folder: Path, own: OwnResults, *, recursive: bool) -> list[Path]:
    files = list(_files_in(folder, recursive=recursive))
    candidates = [file for file in files if is_image(file)]
    images = [file for file in candidates if file not in own]
    if not images:
        results = f", fmbseg's own results: {len(candidates)}" if candidates else ""
        raise ImageError(
            f"no image in the folder {folder}{'' if recursive else ' itself'} (other files: "
            f"{len(files) - len(candidates)}{results}); images are recognised by the extensions "
            f"{' '.join(sorted(IMAGE_EXTENSIONS))}"
        )
    originals = [file for file in images if not own.copied_below(folder, file)]
    return originals or images


def _others_in(folder: Path, own: OwnResults, *, recursive: bool) -> Iterator[Path]:
    for file in _files_in(folder, recursive=recursive):
        if not (is_image(file) or is_companion(file) or file in own):
            yield file


def _files_in(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """Files that are not hidden; links are followed, and no folder is entered twice."""
    entered = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_stop):
        yield from (Path(parent, name) for name in files if not name.startswith("."))
        names = sorted(name for name in folders if recursive and not name.startswith("."))
        folders.clear()
        for name in names:
            place = os.path.realpath(Path(parent, name))
            if place not in entered:
                entered.add(place)
                folders.append(name)


def _stop(error: OSError) -> NoReturn:
    raise unreadable(error.filename, error) from error
