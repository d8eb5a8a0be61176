"""Heads that come with the package, so that any words segment any image on a machine without a hub.

Each is a folder as ``save_pretrained`` writes it, with a card that says what it was trained on, by which
command, and how good it is. ``python -m benchmarks.packaged_head`` replaces it by one that measures better.
"""

from pathlib import Path

DEFAULT_HEAD = "offline"
"""Of the offline recipe: what commands take where no head is named."""

_FOLDER = Path(__file__).parent


def packaged_heads() -> list[str]:
    """Names of the heads that come with the package.

    Example:
        >>> packaged_heads()
        ['offline']
    """
    return sorted(config.parent.name for config in _FOLDER.glob("*/config.json"))


def packaged_head(name: str) -> Path | None:
    """The folder of a head that comes with the package; None if there is none of this name."""
    return _FOLDER / name if name in packaged_heads() else None
