"""What must be the same wherever one piece of work is done."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

import fmbseg

if TYPE_CHECKING:
    from collections.abc import Mapping


def versions() -> dict[str, str]:
    """The versions of this process, and where it is.

    Ray is named only where it is used. Of Python the first two numbers count: what is sent is read alike.
    """
    ray = sys.modules.get("ray")
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "fmbseg": fmbseg.__version__}
    return {**found, **({} if ray is None else {"Ray": ray.__version__}), "where": platform.node()}


def differing(own: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What is different there, as "fmbseg 0.2.0 (here 0.1.0)"; empty where nothing is.

    Example:
        >>> differing({"Python": "3.12", "where": "a"}, {"Python": "3.11", "where": "b"})
        'Python 3.11 (here 3.12)'
    """
    names = [name for name in own if name != "where" and theirs.get(name, own[name]) != own[name]]
    return ", ".join(f"{name} {theirs[name]} (here {own[name]})" for name in names)
