"""Which specs a head from the Hub may name: models of known families, by name; no files, no code.

A spec in somebody else's ``config.json`` is somebody else's wish. A TorchScript or ONNX file is a program, a
path says which of the user's files are read, a plugin runs with their arguments. None of that may follow from
loading a head, so such specs are refused unless the user names the model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from fmbseg.models.catalog import CARDS

if TYPE_CHECKING:
    from fmbseg.registry import Registry

_WEIGHTS = ("pretrained", "random")


class UntrustedSpecError(ValueError):
    """A head from the Hub names a model that would read files of this machine or run code."""


def check_remote_spec(registry: Registry[Any], spec: str, argument: str) -> None:
    """Refuse a spec from the Hub that is not the plain name of a model.

    Args:
        registry: registry that would make the model.
        spec: spec in the head's config.
        argument: argument by which the user can name a model instead, for the message.

    Raises:
        UntrustedSpecError: it names a family outside the Hub, a path, or weights from a file.

    Example:
        >>> from fmbseg.models.registries import BACKBONES
        >>> check_remote_spec(BACKBONES, "dinov2_vitl14?layers=11,23&revision=0123abcd", "backbone")
        >>> check_remote_spec(BACKBONES, "torch:/home/me/model.pt", "backbone")
        Traceback (most recent call last):
        ...
        fmbseg.models.loading.trust.UntrustedSpecError: the head comes from the Hub and names the backbone \
'torch:/home/me/model.pt', but ...
    """
    what = local_part(registry, spec)
    if what is None:
        return
    names = (f"{name}:" if pattern else name for name, pattern in sorted(_by_name(registry).items()))
    raise UntrustedSpecError(
        f"the head comes from the Hub and names the {registry.kind} {spec!r}, but a model {what} could read "
        f"files of this machine or run code: only models of {', '.join(names)} that are named without a path "
        f"are loaded for it. If you know and want that model, name it yourself: {argument}=..."
    )


def local_part(registry: Registry[Any], spec: str) -> str | None:
    """The part of a spec that only one machine can have, or that may run code; ``None`` for a Hub model.

    Example:
        >>> from fmbseg.models.registries import BACKBONES
        >>> local_part(BACKBONES, "timm:test_vit?weights=/home/me/weights.pt")
        "with weights from the file '/home/me/weights.pt'"
    """
    whole, _, query = registry.expand(spec).partition("?")
    family, _, name = whole.partition(":")
    known = _by_name(registry)
    if family not in known:
        return f"of the family {family!r}"
    if not re.fullmatch(known[family], name):
        return f"named {name!r}"
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option == "weights" and value not in _WEIGHTS:
            return f"with weights from the file {value!r}"
    return None


def _by_name(registry: Registry[Any]) -> dict[str, str]:
    """The families that can be named without a path, and what may follow the colon, from their cards."""
    return {
        card.name: card.from_hub for card in CARDS if card.role == registry.kind and card.from_hub is not None
    }
