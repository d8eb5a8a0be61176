"""The real client of the Hub, turned to a server of the tests'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import constants

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.hub.server import Hub


def turn_to(server: Hub, home: Path, patch: pytest.MonkeyPatch) -> None:
    """Set the client's address, cache and log-in, which it reads when it is imported; waits are left out.

    Args:
        server: to turn to; Alice is logged in.
        home: of the client's files.
        patch: undoes it.
    """
    for name, value in {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "cache"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }.items():
        patch.setattr(constants, name, value)
    patch.setenv("HF_TOKEN", "hf_alice")
    patch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
