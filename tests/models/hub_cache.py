"""A cache of the Hub laid out by hand, and a network that must not be used."""

from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cache_repository(cache: Path, repo: str, folder: Path, *, commit: str = COMMIT) -> Path:
    """Put a folder's files where the Hub's client keeps those of a repository; returns the snapshot."""
    entry = cache / f"models--{repo.replace('/', '--')}"
    snapshot = entry / "snapshots" / commit
    shutil.copytree(folder, snapshot)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text(commit)
    return snapshot


def forbid_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Make every connection and every look-up of a name fail; returns what was tried."""
    tried: list[object] = []

    def refuse(*arguments: object, **_more: object) -> None:
        tried.append(arguments)
        raise OSError("the network is off in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried
