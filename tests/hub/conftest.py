"""A Hub on loopback that the real client talks to in this process, and a client without a past."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from huggingface_hub.utils.tqdm import disable_progress_bars

from tests.hub.client import turn_to
from tests.hub.server import Hub, running_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

disable_progress_bars()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server, which the client is turned to; Alice is logged in."""
    with running_hub() as server:
        turn_to(server, tmp_path, monkeypatch)
        yield server


@pytest.fixture
def logged_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
