"""Options that change what a model gives, written into its spec: ``name?key=value&key=value``.

What is stored with labels and features is a model's spec, so whatever changes its output has to stand there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote

from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def split_options(spec: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Part a spec into what stands before ``?`` and its options.

    Args:
        spec: with or without options.
        known: the options that there are.

    Raises:
        UnknownNameError: an option that is none of those.
        ValueError: an option without a value.

    Example:
        >>> split_options("ViT-B-16/openai?dense=sclip", ["dense", "crop_size"])
        ('ViT-B-16/openai', {'dense': 'sclip'})
    """
    name, mark, query = spec.partition("?")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if mark else {}
    except ValueError as error:
        raise ValueError(
            f"spec {spec!r}: after '?' stand options such as dense=sclip&crop_size=336"
        ) from error
    for option in options:
        if option not in known:
            raise UnknownNameError("option of a spec", option, known)
    return name, {key: unquote(value) for key, value in options.items()}


def join_options(name: str, options: Mapping[str, object]) -> str:
    """Write options behind a name, sorted; those that are ``None`` are left out.

    Example:
        >>> join_options("ViT-B-16/openai", {"dense": "sclip", "revision": None})
        'ViT-B-16/openai?dense=sclip'
    """
    given = sorted((key, str(value)) for key, value in options.items() if value is not None)
    return name + ("?" + "&".join(f"{key}={quote(value)}" for key, value in given) if given else "")


def revision_of(spec: str) -> str | None:
    """The branch, tag or commit that a spec names, of any family; ``None`` if it names none.

    Example:
        >>> revision_of("timm:vit_a?layers=-1&revision=0123abcd"), revision_of("conse")
        ('0123abcd', None)
    """
    return dict(parse_qsl(spec.partition("?")[2])).get("revision")
