"""How a benchmark says what it found."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fmbseg import __version__
from fmbseg.files import write_json

if TYPE_CHECKING:
    from pathlib import Path


def tell(result: dict[str, Any], out: Path | None = None) -> None:
    """Write the result to the file ``out``, if one is given, and print it as one line."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, result)
    print(json.dumps(result, allow_nan=False))


def measured_with(*packages: str) -> dict[str, Any]:
    """The machine, and the versions of Python, of this package and of these, for a result."""
    versions = {"python": platform.python_version(), "fmbseg": __version__}
    return {
        "machine": platform.processor() or platform.machine(),
        "versions": versions | {package: version(package) for package in packages},
    }
