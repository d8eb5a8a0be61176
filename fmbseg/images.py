"""One door for every image: whatever comes in, RGB uint8 of shape (H, W, 3) comes out, or a clear error."""

from __future__ import annotations

import math
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fmbseg.rgb import ImageError, rgb_from_array, rgb_from_pillow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch
    from numpy.typing import NDArray

__all__ = ["DEFAULT_MAX_PIXELS", "IMAGE_EXTENSIONS", "ImageError", "ImageInput", "find_images", "load_image"]

ImageInput: TypeAlias = "str | Path | Image.Image | NDArray[Any] | torch.Tensor"

DEFAULT_MAX_PIXELS = 178_956_970
"""Pillow's own limit against decompression bombs."""

IMAGE_EXTENSIONS = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx"}
    | {".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""The extensions, in any case, by which :func:`find_images` knows an image."""


def load_image(source: ImageInput, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image as RGB.

    Files and Pillow images are turned as their EXIF orientation says. Transparent parts are laid on
    white. CMYK and other colour spaces are converted; of 16 bits a channel the upper eight count; of an
    animation the first frame. Colour profiles are not applied.

    Args:
        source: a path; a Pillow image; an array (H, W), (H, W, 3) or (H, W, 4), uint8, uint16 or float
            in [0, 1]; or a tensor (3, H, W), uint8 or float in [0, 1].
        max_pixels: refuse larger images; a file by its header, before it is decoded.

    Returns:
        A new array, uint8, (H, W, 3).

    Raises:
        ImageError: missing, damaged, not an image, too large, empty, or not of a form listed above.

    Example:
        >>> import numpy as np
        >>> load_image(np.array([[0.0, 1.0]])).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    if isinstance(source, (str, os.PathLike)):
        with _open(Path(source)) as image:
            return _decode(image, str(source), max_pixels)
    if isinstance(source, Image.Image):
        return _decode(source, str(getattr(source, "filename", "") or "the Pillow image"), max_pixels)
    if isinstance(source, np.ndarray):
        _check_size(source.shape[:2], "the array", max_pixels)
        return rgb_from_array(source, "the array")
    torch = sys.modules.get("torch")  # whoever passes a tensor has imported torch
    if torch is not None and isinstance(source, torch.Tensor):
        return _from_tensor(source, max_pixels)
    raise ImageError(
        f"an image is a path, a Pillow image, a numpy array or a torch tensor, not {type(source).__name__}"
    )


def find_images(folder_or_paths: str | Path | Iterable[str | Path], *, recursive: bool = True) -> list[Path]:
    """The image files of a folder, of a file's own path, or of several of either.

    In a folder, files count by their extension (:data:`IMAGE_EXTENSIONS`, in any case); hidden files and
    folders (a leading dot) do not. A file that is named itself is taken whatever its extension.

    Args:
        folder_or_paths: a folder, a file, or any number of them.
        recursive: also look into the folders within; links to folders are followed, each folder once.

    Returns:
        Paths without repetition, sorted by their text with forward slashes.

    Raises:
        ImageError: a path that does not exist, a folder that cannot be read or holds no image, no path.
    """
    paths = [folder_or_paths] if isinstance(folder_or_paths, (str, Path)) else list(folder_or_paths)
    if not paths:
        raise ImageError("no image: the list of paths is empty; give a folder or at least one file")
    found: set[Path] = set()
    for path in map(Path, paths):
        found.update(_images_in(path, recursive=recursive) if _is_folder(path) else [path])
    return sorted(found, key=lambda path: path.as_posix())


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except MemoryError:
        raise
    except Exception as error:  # readers of headers fail on damaged bytes with nearly any exception
        raise _opening_error(path, error) from error


def _opening_error(path: Path, error: Exception) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return _missing(path)
    if isinstance(error, IsADirectoryError):
        return ImageError(f"{path} is a folder; name a file, or list its files with find_images")
    if isinstance(error, UnidentifiedImageError):
        return ImageError(
            f"{path} is not an image that Pillow can read ({path.stat().st_size} bytes, the first "
            f"{_first_bytes(path)!r}); leave it out, or save it as JPEG or PNG"
        )
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"{path} is too large: {error} Make it smaller, or if you trust it raise max_pixels and "
            f"PIL.Image.MAX_IMAGE_PIXELS"
        )
    if isinstance(error, OSError) and error.errno is not None:  # from the system, not from a decoder
        return _unreadable(path, error)
    return _damaged(str(path), error)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _decode(image: Image.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    _check_size((image.height, image.width), name, max_pixels)
    try:
        image.load()
        return rgb_from_pillow(ImageOps.exif_transpose(image), name)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders too
        raise _damaged(name, error) from error


def _from_tensor(tensor: torch.Tensor, max_pixels: int) -> NDArray[np.uint8]:
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ImageError(
            f"the tensor must have shape (3, H, W), got {tuple(tensor.shape)}; give one image at a time"
        )
    _check_size(tensor.shape[1:], "the tensor", max_pixels)
    values = tensor.detach().cpu()
    values = values.float() if values.is_floating_point() else values  # numpy has no bfloat16
    return rgb_from_array(values.permute(1, 2, 0).numpy(), "the tensor")


def _check_size(size: Sequence[int], name: str, max_pixels: int) -> None:
    pixels = math.prod(size)
    shown = " x ".join(map(str, size))
    if pixels < 1:
        raise ImageError(f"{name} has no pixel: height x width = {shown}; leave it out")
    if pixels > max_pixels:
        raise ImageError(
            f"{name} is too large: height x width = {shown} = {pixels:,} pixels, at most {max_pixels:,} are "
            f"allowed; make it smaller, or raise max_pixels"
        )


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _missing(path: Path) -> ImageError:
    return ImageError(f"{path} does not exist (looked from {Path.cwd()}); check its spelling")


def _unreadable(path: Path | str, error: OSError) -> ImageError:
    return ImageError(f"{path} cannot be read ({error.strerror}); check that you may read it")


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(
        f"{name} is damaged and cannot be decoded ({type(error).__name__}: {error}); "
        f"get the file again or leave it out"
    )


def _images_in(folder: Path, *, recursive: bool) -> list[Path]:
    files = list(_files_in(folder, recursive=recursive))
    images = [file for file in files if file.suffix.lower() in IMAGE_EXTENSIONS]
    if not images:
        raise ImageError(
            f"no image in the folder {folder}{'' if recursive else ' itself'} (other files: {len(files)}); "
            f"images are known by the extensions {' '.join(sorted(IMAGE_EXTENSIONS))}"
        )
    return images


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
    raise _unreadable(error.filename, error) from error
