"""The offline recipe's models, loaded once and asked once for the same thing in each process of the tests.

They are frozen, so tests may share them; most of them label and segment the same few photographs.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from fmbseg.models.backbones.frozen import FrozenBackbone
from fmbseg.models.image_text.conse import Conse
from fmbseg.models.mask_generators.onnx_sam import OnnxSam
from fmbseg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OFFLINE = ("conse", "efficientnet_lite", "mobilesam", "onnx:")
_MADE: dict[tuple[str, str, str], Any] = {}
_FOUND: dict[tuple[object, ...], Any] = {}
_make = Registry._make


@contextmanager
def remembered() -> Iterator[None]:
    """Meanwhile no offline model is loaded twice, and none computes the same twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "_make", _make_once)
        patch.setattr(OnnxSam, "decoder", _once(OnnxSam.decoder, copied=False))
        patch.setattr(Conse, "encode_text", _once(Conse.encode_text))
        patch.setattr(Conse, "encode_image", _once(Conse.encode_image))
        patch.setattr(FrozenBackbone, "encode", _once(FrozenBackbone.encode))
        yield


def _make_once(registry: Registry[Any], spec: str, options: Mapping[str, Any]) -> Any:
    if not spec.startswith(OFFLINE):
        return _make(registry, spec, options)
    key = (registry.kind, spec, repr(options))
    if key not in _MADE:
        _MADE[key] = _make(registry, spec, options)
    return _MADE[key]


def _once(method: Callable[..., Any], *, copied: bool = True) -> Callable[..., Any]:
    """A method of one argument that asks once for the same; tensors are copied, for callers own them."""

    @wraps(method)
    def ask(model: Any, given: Any) -> Any:
        if not model.spec.startswith(OFFLINE):
            return method(model, given)
        key = (method.__qualname__, model.spec, *_content(given))
        if key not in _FOUND:
            _FOUND[key] = method(model, given)
        return deepcopy(_FOUND[key]) if copied else _FOUND[key]

    return ask


def _content(given: Any) -> tuple[object, ...]:
    if isinstance(given, torch.Tensor):
        return (*given.shape, given.numpy().tobytes())
    if isinstance(given, np.ndarray):
        return (*given.shape, given.tobytes())
    return tuple(given)
