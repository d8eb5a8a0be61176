"""How a benchmark says what it found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fmbseg.files import write_json

if TYPE_CHECKING:
    from pathlib import Path


def tell(result: dict[str, Any], out: Path | None = None) -> None:
    """Write the result to the file ``out``, if one is given, and print it as one line."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, result)
    print(json.dumps(result, allow_nan=False))
