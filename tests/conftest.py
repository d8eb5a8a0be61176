"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cloud import bucket, s3_server  # noqa: F401 - fixtures

# Tests and what they start take the same models on every machine, and fetch none, unless they ask for it.
os.environ["FMBSEG_RECIPE"] = "offline"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of photographs beside the repository, which the repository itself must not carry."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the development photographs are not at {folder}")
    return folder
