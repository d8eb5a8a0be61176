"""A checksum at the end of a COCO file that fmbseg wrote: shows whether it was changed since."""

from __future__ import annotations

import re
from hashlib import sha256

_SEAL = b',\n"fmbseg_sha256": "%s"\n}\n'
_SEALED = re.compile(rb',\n"fmbseg_sha256": "([0-9a-f]{64})"\n}\n')
_SAYS_SO = re.compile(rb'"fmbseg(_sha256)?"\s*:')
_BYTES = len(_SEAL % (b"0" * 64))


def seal_coco(content_sha256: str) -> bytes:
    """The end of a file: its last key, which holds the hash of everything before it.

    Args:
        content_sha256: of the file so far, without its closing brace.
    """
    return _SEAL % content_sha256.encode()


def was_exported(content: bytes) -> bool:
    """Whether a file says that fmbseg exported it, whatever became of it since.

    Example:
        >>> was_exported(b'{"info": {"fmbseg": {}}}'), was_exported(b'{"file_name": "fmbseg/1.jpg"}')
        (True, False)
    """
    return _SAYS_SO.search(content) is not None


def is_as_exported(content: bytes) -> bool:
    """Whether a file is, byte for byte, one that fmbseg exported.

    Example:
        >>> before = b'{"images": []'
        >>> whole = before + seal_coco(sha256(before).hexdigest())
        >>> is_as_exported(whole), is_as_exported(whole.replace(b"[]", b"{}"))
        (True, False)
    """
    sealed = _SEALED.fullmatch(content[-_BYTES:])
    return sealed is not None and sha256(content[:-_BYTES]).hexdigest().encode() == sealed[1]
