"""Reading any kind of image as RGB uint8 of shape (H, W, 3), or failing with a clear error."""

from __future__ import annotations

import errno
import math
import os
import re
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fmbseg.bit_depth import depth_of
from fmbseg.files import check_regular
from fmbseg.image_files import (
    IMAGE_EXTENSIONS,
    ImageFiles,
    PassedOver,
    find_images,
    missing,
    passed_over,
    unreadable,
)
from fmbseg.rgb import rgb_from_array, rgb_from_pillow
from fmbseg.signatures import READ, ImageError, kind_of
from fmbseg.sources.contract import StoredImage
from fmbseg.sources.stored import stored_image
from fmbseg.storage import is_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_EXTENSIONS",
    "ImageError",
    "ImageFiles",
    "ImageInput",
    "PassedOver",
    "decode_image",
    "find_images",
    "load_image",
    "passed_over",
    "read_image_file",
]

ImageInput: TypeAlias = "str | Path | StoredImage | Image.Image | NDArray[Any] | torch.Tensor"

DEFAULT_MAX_PIXELS = 178_956_970
"""Pillow's own limit against decompression bombs."""

_MAX_WHOLE = 1 << 30  # bytes of a file in a format of which Pillow reads all before it knows the image's size


def load_image(source: ImageInput, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image as RGB.

    Files and Pillow images are turned by their EXIF orientation. Transparent parts become
    white. CMYK and other colour spaces are converted; of an animation the first frame is used. Values of more
    than 8 bits are scaled by the range that the file states, or else by the fewest of 8, 10, 12, 14 or 16
    bits that hold them, with a warning for fewer than 16. Colour profiles are not applied.

    Args:
        source: a path, or a URI such as ``s3://bucket/dog.jpg``; a photograph of a
            :class:`~fmbseg.sources.contract.Source`; a Pillow image; an array (H, W), (H, W, 3) or (H, W, 4),
            uint8, uint16 or float in [0, 1]; or a tensor (3, H, W), uint8 or float in [0, 1].
        max_pixels: refuse larger images; files are checked by their header, before decoding.

    Returns:
        A new array, uint8, (H, W, 3).

    Raises:
        ImageError: it is missing, damaged, not an image, too large, empty, or not of a form listed above.

    Example:
        >>> import numpy as np
        >>> load_image(np.array([[0.0, 1.0]])).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    if isinstance(source, str) and is_uri(source):
        source = stored_image(source)
    if isinstance(source, StoredImage):
        return decode_image(source.read(), str(source), max_pixels=max_pixels)
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


def decode_image(content: bytes, name: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode the bytes of an image's file as :func:`load_image` does.

    Args:
        content: of the file.
        name: for messages.
        max_pixels: as in :func:`load_image`.

    Raises:
        ImageError: as in :func:`load_image`.
    """
    try:
        image = Image.open(BytesIO(content))
    except Exception as error:  # readers of headers fail on damaged bytes with nearly any exception
        raise _header_error(name, error, len(content), content) from error
    with image:
        return _decode(image, name, max_pixels)


def read_image_file(path: Path, name: str) -> bytes:
    """Read the bytes of an image's file, whole.

    Args:
        path: of the file.
        name: for messages.

    Raises:
        ImageError: it is missing, no regular file, larger than a gibibyte, or cannot be read.
    """
    try:
        check_regular(path)
        size = path.stat().st_size
        if size > _MAX_WHOLE:
            raise _too_large(name, size)
        return path.read_bytes()
    except OSError as error:
        raise _opening_error(path, error, name) from error


def _open(path: Path) -> Image.Image:
    try:
        check_regular(path)
        size = path.stat().st_size
        # Of these, Pillow would read the whole file before it checks the image's size.
        if size > _MAX_WHOLE and kind_of(_start(path)) in ("WebP", "AVIF", "HEIC"):
            raise _too_large(str(path), size)
        return Image.open(path)
    except ImageError:
        raise
    except Exception as error:
        raise _opening_error(path, error, str(path)) from error


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(READ)


def _too_large(name: str, size: int) -> ImageError:
    return ImageError(
        f"{name} is too large: {size:,} bytes, at most {_MAX_WHOLE:,} are read of this format; "
        "save it as JPEG or PNG, or get the file again"
    )


def _opening_error(path: Path, error: Exception, name: str) -> ImageError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return missing(name)
    if isinstance(error, IsADirectoryError):
        return ImageError(f"{name} is a folder; name a file, or list its files with find_images")
    if isinstance(error, OSError) and error.errno == errno.EINVAL:  # of check_regular
        return ImageError(f"{name} {error.strerror}; leave it out")
    if isinstance(error, OSError) and error.errno is not None:  # from the system, not from a decoder
        return unreadable(name, error)
    return _header_error(name, error, path.stat().st_size, _start(path))


def _header_error(name: str, error: Exception, size: int, start: bytes) -> ImageError:
    if isinstance(error, UnidentifiedImageError):
        kind = kind_of(start)
        what = f"it looks like {kind}" if kind else "of an unknown kind"
        return ImageError(
            f"{name} is not an image that Pillow can read ({size} bytes{f', {what}' if size else ''}); "
            "leave it out, or save it as JPEG or PNG"
        )
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"{name} is too large: {error} Make it smaller, or if you trust it, raise max_pixels and "
            f"PIL.Image.MAX_IMAGE_PIXELS"
        )
    return _damaged(name, error)


def _decode(image: Image.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    _check_size((image.height, image.width), name, max_pixels)
    try:
        depth = depth_of(image)
        image.load()
        return rgb_from_pillow(ImageOps.exif_transpose(image), name, depth)
    except ImageError:
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


def _damaged(name: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(f"{name} needs more memory than there is; make it smaller or leave it out")
    return ImageError(
        f"{name} is damaged and cannot be decoded ({type(error).__name__}: {_without_content(error)}); "
        f"get the file again or leave it out"
    )


def _without_content(error: Exception) -> str:
    """A decoder's message up to where it may quote the file."""
    text = re.split(r""":|b?['"]""", str(error))[0]
    return (text if text.count("(") == text.count(")") else text.rpartition("(")[0]).strip()
