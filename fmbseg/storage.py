"""Object storage by URI, through fsspec: what may pass is tried again, what may not is told at once."""

from __future__ import annotations

import errno
import os
import random
import re
import time
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from fmbseg.missing_package import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Result = TypeVar("_Result")

ATTEMPTS = 5
FIRST_WAIT = 0.5
"""Seconds before the second attempt; each later wait is twice as long, and up to half of it is drawn."""

_PAGE = 1000  # objects of a listing, as many as S3 gives at once
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOOKED = {
    "s3": "the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), a profile (AWS_PROFILE, ~/.aws) and "
    "this machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, the login of gcloud and this machine's role",
    "hf": "HF_TOKEN and the login of `hf auth login`",
}
_SAME_AS = {"s3a": "s3", "gcs": "gs"}
_WITHOUT_CREDENTIALS = re.compile(
    "No(Auth|Credentials).*Error|PartialCredentials|DefaultCredentials|ProfileNotFound"
)
_DENIED = re.compile(r"\b(401|403)\b|Unauthorized|Forbidden|AccessDenied|InvalidAccessKeyId|SignatureDoesNot")
_systems: dict[tuple[int, str], Any] = {}
_lock = Lock()


class StorageError(OSError):
    """A place in object storage cannot be used at all, now or with these credentials; says what to do."""


def is_uri(place: object) -> bool:
    """Whether a place is named by a URI, such as ``s3://bucket/photos``, and not by a path.

    Example:
        >>> is_uri("s3://bucket/photos"), is_uri("C:/photos"), is_uri("photos")
        (True, False, False)
    """
    return isinstance(place, str) and bool(_URI.match(place))


def path_or_uri(text: str) -> Path | str:
    """A path, or a URI as it is."""
    return text if is_uri(text) else Path(text)


def scheme_of(uri: str) -> str:
    """The part of a URI before ``://``, in lower case."""
    return uri.partition("://")[0].lower()


def file_system(uri: str) -> Any:
    """The fsspec file system of a URI's scheme, one for all threads of a process.

    Raises:
        MissingPackageError: the scheme's package is not installed.
        ValueError: no package is known for the scheme.
    """
    scheme = scheme_of(uri)
    with _lock:
        found = _systems.get((os.getpid(), scheme))
        if found is None:
            found = _systems[os.getpid(), scheme] = _make(scheme)
    return found


def _make(scheme: str) -> Any:
    use = f"{scheme}://"
    fsspec = require("fsspec", "cloud", use)
    if scheme not in fsspec.available_protocols():
        raise ValueError(
            f"{use} is not a scheme that fsspec knows: write s3://, gs://, hf:// or another of its schemes, "
            "and install the package that brings it"
        )
    known = require("fsspec.registry", "cloud", use).known_implementations
    module = known.get(scheme, {}).get("class", "fsspec")
    package = "aiohttp" if scheme in ("http", "https") else module.partition(".")[0]
    require(package, "cloud" if package in ("s3fs", "gcsfs") else None, use)
    options: dict[str, Any] = {
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }  # others may write what was listed
    if package == "s3fs":
        options["max_concurrency"] = 1  # more would ask for an object's size before each reading of it
    return fsspec.filesystem(scheme, **options)


def forget() -> None:
    """Make file systems anew when they are next used, as after a change of the environment."""
    with _lock:
        _systems.clear()


def read(uri: str, start: int | None = None, end: int | None = None, *, size: int | None = None) -> bytes:
    """Read an object, or a range of its bytes.

    Args:
        uri: of the object.
        start: first byte; negative: so many bytes from the end.
        end: byte after the last.
        size: bytes that must come, if they are known; of a range with both ends they are.

    Raises:
        FileNotFoundError: it is not there.
        StorageError: it cannot be read.

    Example:
        >>> put("memory://docs/a.txt", b"hello")
        >>> read("memory://docs/a.txt", 1, 3)
        b'el'
    """
    if start is not None and end is not None and 0 <= start <= end:
        size = end - start

    def whole(system: Any, path: str) -> bytes:
        content: bytes = system.cat_file(path, start=start, end=end)
        if start is not None and start < 0:
            content = content[start:]  # a server may give more than the range that is asked for
        if size is not None and len(content) != size:
            raise OSError(f"it gave {len(content)} of {size} bytes")
        return content

    return _tried(uri, "read", whole)


def size_of(uri: str) -> int:
    """Bytes of an object; raises as :func:`read` does."""
    return int(_tried(uri, "read", lambda system, path: system.info(path)["size"]))


def is_file(uri: str) -> bool:
    """Whether there is an object of exactly this name; raises :class:`StorageError` where that is unknown."""
    try:
        return bool(_tried(uri, "read", lambda system, path: system.info(path)["type"] == "file"))
    except FileNotFoundError:
        return False


def listed(uri: str) -> Iterator[tuple[str, int]]:
    """All objects below a URI: their names from there, and their bytes; sorted where the storage sorts them.

    Of S3, a page of a thousand objects is held at a time.

    Raises:
        FileNotFoundError: there is nothing below it.
        StorageError: it may not or cannot be listed.
    """
    empty = True
    for found in _s3_pages(uri) if scheme_of(uri) in ("s3", "s3a") else _whole_listing(uri):
        empty = False
        yield found
    if empty:
        raise FileNotFoundError(errno.ENOENT, "holds nothing; check its spelling", uri)


def _whole_listing(uri: str) -> Iterator[tuple[str, int]]:
    found = _tried(uri, "list", lambda system, path: (path, system.find(path, detail=True)))
    base = found[0].rstrip("/") + "/"
    for name, about in sorted(found[1].items()):
        if name.startswith(base):
            yield name[len(base) :], int(about["size"] or 0)


def _s3_pages(uri: str) -> Iterator[tuple[str, int]]:
    bucket, _, prefix = uri.partition("://")[2].strip("/").partition("/")
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else "", "MaxKeys": _PAGE}
    while True:
        page = _tried(uri, "list", lambda system, _: system.call_s3("list_objects_v2", **asked))
        for one in page.get("Contents", ()):
            if not one["Key"].endswith("/"):  # made by consoles to show a folder
                yield one["Key"][len(prefix) + bool(prefix) :], int(one["Size"])
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def modified(uri: str) -> dict[str, float]:
    """When the objects below a URI were written, in seconds since 1970, by their names from there.

    Those of which the storage does not tell are left out.

    Raises:
        StorageError: it may not or cannot be listed.
    """
    path, found = _tried(uri, "list", lambda system, path: (path, system.find(path, detail=True)))
    base = path.rstrip("/") + "/"
    times = {name.removeprefix(base): _written(about) for name, about in found.items()}
    return {name: when for name, when in times.items() if when is not None}


def _written(about: dict[str, Any]) -> float | None:
    for name in ("LastModified", "updated", "last_modified", "mtime", "created"):  # as file systems call it
        found = about.get(name)
        if isinstance(found, str):
            found = datetime.fromisoformat(found.replace("Z", "+00:00"))
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, int | float):
            return float(found)
    return None


def put(uri: str, content: bytes, *, new: bool = False) -> None:
    """Write an object whole, by one request.

    Args:
        uri: of the object.
        content: its bytes.
        new: refuse to replace one.

    Raises:
        FileExistsError: ``new``, and there is one.
        StorageError: it may not or cannot be written.
    """
    attempts = 0

    def write(system: Any, path: str) -> None:
        nonlocal attempts
        attempts += 1
        try:
            system.pipe_file(path, content, mode="create" if new else "overwrite")
        except Exception as error:
            if not (isinstance(error, FileExistsError) or "PreconditionFailed" in str(error)):
                raise
            if attempts > 1 and system.cat_file(path) == content:
                return  # an earlier attempt wrote it, and its answer was lost
            raise FileExistsError(errno.EEXIST, "is there already", uri) from error

    _tried(uri, "write", write)


def remove(uri: str) -> None:
    """Remove an object, if it is there; raises :class:`StorageError` if it cannot be."""

    def without(system: Any, path: str) -> None:
        try:
            system.rm_file(path)
        except FileNotFoundError:
            return

    _tried(uri, "remove", without)


def _tried(uri: str, what: str, call: Callable[[Any, str], _Result]) -> _Result:
    """Call with the file system and the path in it, again and again while the failure may pass."""
    system = file_system(uri)
    path = system._strip_protocol(uri)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call(system, path)
        except Exception as error:
            final = _final(uri, what, error)
            if final is not None:
                raise final from error
            if attempt == ATTEMPTS:
                raise StorageError(
                    f"{uri} cannot be {_DONE[what]}: {ATTEMPTS} attempts failed, the last with "
                    f"{_told(error)}. Run the same again when the storage answers; work continues where it "
                    "stopped"
                ) from error
        time.sleep(FIRST_WAIT * 2 ** (attempt - 1) * (1 - random.random() / 2))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def _final(uri: str, what: str, error: Exception) -> Exception | None:
    """The error to raise at once; None for one that may pass."""
    if isinstance(error, StorageError | FileExistsError | NotImplementedError | TypeError):
        return error
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileNotFoundError(errno.ENOENT, "does not exist; check its spelling", uri)
    if isinstance(error, IsADirectoryError):
        return IsADirectoryError(errno.EISDIR, "is a folder, not an object", uri)
    scheme = scheme_of(uri)
    looked = _LOOKED.get(_SAME_AS.get(scheme, scheme), "where fsspec looks for them")
    if _WITHOUT_CREDENTIALS.search(type(error).__name__):
        return StorageError(f"{uri} cannot be {_DONE[what]} without credentials; looked for in {looked}")
    if isinstance(error, PermissionError) or _DENIED.search(_told(error)):
        return StorageError(
            f"{uri} may not be {_DONE[what]} with these credentials (from {looked}): grant the permission to "
            f"{what} it, or choose others"
        )
    return None


_DONE = {"read": "read", "list": "listed", "write": "written", "remove": "removed"}


def _told(error: Exception) -> str:
    """An error on a line, without what it may quote of a request's headers."""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:200]}"
