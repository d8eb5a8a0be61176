"""From a method's spec to the method."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.models.loading.errors import SpecError
from fmbseg.recipes import RECIPES, get_recipe
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from fmbseg.method import Method
    from fmbseg.methods.pool import ModelPool

_NAME = re.compile(r"[\w.+-]*")
_PARTS = ("1.1", "1.2", "labels")


def load_method(spec: str, pool: ModelPool) -> Method:
    """Make a method.

    Args:
        spec: ``HEAD`` (a folder, ``owner/name`` on the Hub, a head of the package, an ``.onnx`` file) or
            ``HEAD@RECIPE`` with the recipe's settings for segmenting; ``dense:IMAGE_TEXT`` or
            ``dense:IMAGE_TEXT@PROTOCOL`` with a paper's settings
            (:data:`fmbseg.methods.dense_protocols.DENSE_PROTOCOLS`); ``stage1:RECIPE``, or
            ``stage1:RECIPE@PARTS`` with ``1.1``, ``1.2`` and ``labels`` joined by ``+``: one stage only,
            with image-level labels; ``concept:MODEL`` or ``concept:MODEL@labels``.
        pool: of the models, which methods of one pool share.

    Raises:
        UnknownNameError: a recipe, protocol, part or model that is not known; near misses are offered.
        SpecError: a model that cannot do what is asked of it.
        AssetUnavailableError: weights that are not here.
        AlignedEncoderError: a head that is none, or lacks its weights.

    Example:
        >>> from fmbseg.methods import ModelPool
        >>> load_method("dense:conse", ModelPool(device="cpu")).license
        'Apache-2.0'
    """
    kind, _, rest = spec.partition(":")
    if kind == "dense":
        from fmbseg.methods.dense import DenseMethod
        from fmbseg.methods.dense_protocols import PLAIN, dense_protocol

        model, after = _split(rest)
        if not model:
            raise SpecError(f"{spec}: name an image-text model, as in dense:conse")
        return DenseMethod(model, pool, PLAIN if after is None else dense_protocol(after))
    if kind in ("stage1", "concept"):
        from fmbseg.methods.stage1 import concept, stage1

        name, after = _split(rest)
        if kind == "concept":
            parts = _parts(spec, after, ("labels",))
            return concept(name, pool, labels=bool(parts))
        return stage1(get_recipe(name), _parts(spec, after, _PARTS), pool)
    from fmbseg.methods.heads import HeadMethod

    head, after = (spec, None) if Path(spec).exists() else _split(spec)
    return HeadMethod(head, pool, None if after is None else get_recipe(after))


def check_method(spec: str) -> None:
    """Raise what :func:`load_method` would raise for the names in a spec, without loading a model.

    Raises:
        UnknownNameError: a recipe, protocol or part that is not known.

    Example:
        >>> check_method("stage1:ofline")
        Traceback (most recent call last):
        ...
        fmbseg.unknown_name.UnknownNameError: there is no recipe 'ofline'; did you mean 'offline'? ...
    """
    kind, _, rest = spec.partition(":")
    name, after = _split(rest)
    if kind == "dense" and after is not None:
        from fmbseg.methods.dense_protocols import dense_protocol

        dense_protocol(after)
    elif kind == "stage1":
        get_recipe(name)
        _parts(spec, after, _PARTS)
    elif kind == "concept":
        _parts(spec, after, ("labels",))
    elif kind not in ("dense", "stage1", "concept") and not Path(spec).exists():
        _, after = _split(spec)
        if after is not None and after not in RECIPES:
            raise UnknownNameError("recipe", after, RECIPES)


def _split(text: str) -> tuple[str, str | None]:
    """Before and after the last @, unless what follows is a path: a spec may name a file of weights so."""
    before, mark, after = text.rpartition("@")
    if (
        not mark
        or not _NAME.fullmatch(after)
        or Path(after).suffix in (".pt", ".pth", ".bin", ".safetensors", ".onnx")
    ):
        return text, None
    return before, after


def _parts(spec: str, after: str | None, known: tuple[str, ...]) -> list[str]:
    given = [] if after is None else after.split("+")
    for part in given:
        if part not in known:
            raise UnknownNameError(f"part (in {spec})", part, known)
    return [part for part in known if part in given]
