"""What kind of file this is, judged by its first bytes; messages name the kind and never the content."""

from __future__ import annotations

from codecs import getincrementaldecoder


class ImageError(ValueError):
    """An image cannot be used; the message names it and says what to do."""


class MissingImageError(ImageError):
    """An image is not there."""


READ = 512
"""As many bytes as the kind is told by."""
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"FUJIFILMCCD-RAW": "a camera raw file",
    b"IIRO": "a camera raw file",
    b"IIRS": "a camera raw file",
    b"IIU\0": "a camera raw file",
    b"II*\0\x10\0\0\0CR": "a camera raw file",
    b"II*\0": "TIFF or a camera raw file",
    b"MM\0*": "TIFF or a camera raw file",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"8BPS": "Photoshop",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"gimp xcf": "GIMP",
    b"\x00\x00\x01\x00": "an icon",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"(\xb5/\xfd": "Zstandard",
    b"PAR1": "Parquet",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"SQLite format 3\0": "an SQLite database",
    b"\x93NUMPY": "a numpy array",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"#!": "a script",
    b"\x1a\x45\xdf\xa3": "a video (Matroska or WebM)",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
}
_BRANDS = {  # of ISO media files: four letters behind "ftyp"
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "a camera raw file",
}
_TEXTS = {b"<!doctype html": "HTML", b"<html": "HTML", b"<svg": "SVG", b"<?xml": "XML"}


def kind_of(start: bytes) -> str | None:
    """What a file looks like, such as ``"HEIC"``, ``"HTML"`` or ``"gzip"``; empty if unknown.

    Args:
        start: its first :data:`READ` bytes, or more; or all of a shorter one.
    """
    start = start[:READ]
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a video (MP4 or the like)")
    if start[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": "a video (AVI)"}.get(start[8:12], "a RIFF file")
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return kind
    if start and not any(start):
        return "only zeros"
    return _text_kind(start)


def _text_kind(start: bytes) -> str | None:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for opening, kind in _TEXTS.items():
        if text.lower().startswith(opening):
            return kind
    try:
        # Where more follows, the last character may be cut.
        shown = getincrementaldecoder("utf-8")().decode(text, final=len(start) < READ)
    except UnicodeDecodeError:
        return None
    if not shown or not all(letter.isprintable() or letter.isspace() for letter in shown):
        return None
    return "JSON" if text[:1] in (b"{", b"[") else "text"
