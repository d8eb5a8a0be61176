"""How a model is written: ``name?key=value&key=value``, read in one place and written back the same.

Labels, features and heads are stored with a model's spec, so whatever changes its output has to be part of
it. What belongs to one machine (where the cache is, who is logged in) is passed by keyword.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote

from fmbseg.models.loading.errors import SpecError
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

OF_THE_HUB = frozenset({"cache_dir", "local_files_only", "token"})
OF_ONE_MACHINE = OF_THE_HUB | {"compiled"}
_READABLE = "/,:@- "
_PARTS = re.compile(r"[/\\@,]")  # of a path; specs put paths after an @ and join two with a comma


def split_options(spec: str, known: Collection[str], *, family: str) -> tuple[str, dict[str, str]]:
    """Split the rest of a spec into the model's name and its options.

    Args:
        spec: what follows the family's colon, with or without options.
        known: the options that exist.
        family: family to name in the message.

    Raises:
        SpecError: there is no name, a path climbs, or an option is unknown, has no value, is given twice or
            belongs to one machine.

    Example:
        >>> split_options("ViT-B-16/openai?dense=sclip", ["dense", "crop_size"], family="open_clip")
        ('ViT-B-16/openai', {'dense': 'sclip'})
    """
    where = f"{family}:{spec}"
    name, mark, query = spec.partition("?")
    check_name(name, where)
    options: dict[str, str] = {}
    for pair in query.split("&") if mark else ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise SpecError(f"{where}: options are '?key=value&key=value', got {query!r}")
        if key in options:
            raise SpecError(f"{where}: an option is given twice in {query!r}")
        options[key] = unquote(value)
    if private := OF_ONE_MACHINE.intersection(options):
        raise SpecError(
            f"{where}: {', '.join(sorted(private))} belongs to one machine: pass it by keyword, not in a spec"
        )
    check_options(options, known, where)
    return name, options


def join_options(name: str, options: Mapping[str, object]) -> str:
    """Write options after a name, sorted; those that are ``None`` are left out.

    Example:
        >>> join_options("ViT-B-16/openai", {"dense": "sclip", "revision": None, "layers": (5, 11)})
        'ViT-B-16/openai?dense=sclip&layers=5,11'
    """
    given = sorted((key, _text(value)) for key, value in options.items() if value is not None)
    return name + (
        "?" + "&".join(f"{key}={quote(value, _READABLE)}" for key, value in given) if given else ""
    )


def check_name(name: str, where: str) -> None:
    """Refuse an empty name and a path that climbs, by which a saved spec could lead anywhere.

    Raises:
        SpecError: the name is one of these; the message names ``where``.
    """
    if not name:
        raise SpecError(f"{where!r} names no model: a spec is 'family:name', for example 'timm:vit_...'")
    if climbs(name) or "\0" in name:
        raise SpecError(f"{where!r} leads through '..': name the file or folder by its whole path")


def climbs(name: str) -> bool:
    """Whether a path, or one of several that a spec joins, leads through ``..``.

    Example:
        >>> climbs("vit_b@../sam.pth"), climbs("a.onnx,/x/../b.onnx"), climbs("/models/v1..2/b.pt")
        (True, True, False)
    """
    return ".." in _PARTS.split(name)


def check_options(names: Collection[str], known: Collection[str], where: str) -> None:
    """Refuse an option that a model does not take.

    Raises:
        SpecError: it is not known; the message names ``where`` and near misses.
    """
    for name in names:
        if name in OF_THE_HUB and name not in known:
            raise SpecError(f"{where}: {name} says how files are looked for: pass hub=HubOptions({name}=...)")
        if name not in known:
            raise SpecError(f"{where}: {UnknownNameError('option', name, sorted(known))}")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def revision_of(spec: str) -> str | None:
    """The branch, tag or commit that a spec of any family names; ``None`` if it names none.

    Example:
        >>> revision_of("timm:vit_a?layers=-1&revision=0123abcd"), revision_of("conse")
        ('0123abcd', None)
    """
    return dict(parse_qsl(spec.partition("?")[2])).get("revision")
