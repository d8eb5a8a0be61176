"""What specs of backbones stand for, and which there are, without loading weights."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fmbseg.models.registries import BACKBONES
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmbseg.models.contracts import Backbone
    from fmbseg.models.loading.hub_files import HubOptions

_BUILT_WITHOUT_WEIGHTS = ("timm", "hf", "open_clip", "sam", "local-dir")
_CONTRACT = ("spec", "dim", "stride", "native_size", "license")


def describe_backbone(spec: str, hub: HubOptions | None = None) -> dict[str, Any]:
    """Say what a spec resolves to, as JSON values: dim, stride, normalisation, licence, source, revision, ...

    The model is built without weights where its family can do so; the weights need not be here.

    Args:
        spec: ``family:name``, or a preset.
        hub: how files are looked for.

    Raises:
        UnknownNameError: nothing has that name.
        AssetUnavailableError: its config, or the file that it is, is not here.

    Example:
        >>> described = describe_backbone("timm:test_vit")
        >>> described["dim"], described["stride"], described["class_tokens"], described["license"]
        (64, 16, 1, 'Apache-2.0')
    """
    family = BACKBONES.expand(spec).partition(":")[0]
    options: dict[str, Any] = {} if hub is None else {one.name: getattr(hub, one.name) for one in fields(hub)}
    if family in _BUILT_WITHOUT_WEIGHTS:
        options = {name: value for name, value in options.items() if value is not None}
        if "weights=" not in spec:
            options["weights"] = "none"
        backbone = BACKBONES.create(spec, **options)
    else:
        backbone = BACKBONES.create(spec)
    facts = getattr(backbone, "facts", None)
    return facts.to_dict() if facts is not None else _of_contract(backbone)


def _of_contract(backbone: Backbone) -> dict[str, Any]:
    """What the contract alone says of a backbone of another package."""
    return {name: getattr(backbone, name) for name in _CONTRACT} | {"transform": repr(backbone.transform)}


def model_specs(family: str, text: str = "") -> list[str]:
    """Specs of a family's models that are known by name.

    Args:
        family: ``presets``, ``timm``, ``hf``, ``open_clip`` or ``sam``.
        text: that the spec must hold.

    Raises:
        UnknownNameError: another family; files and plugins are named by whoever has them.

    Example:
        >>> model_specs("presets", "vitl14")
        ['dinov2_vitl14', 'dinov2_vitl14_reg']
    """
    if family not in _LISTS:
        raise UnknownNameError("list of models", family, _LISTS)
    return [spec for spec in _LISTS[family]() if text in spec]


def _timm() -> list[str]:
    import timm

    return [f"timm:{name}" for name in timm.list_pretrained()]


def _hf() -> list[str]:
    from fmbseg.models.backbones.hf_kinds import ARCHITECTURES

    return [f"hf:{repo}" for repo in ARCHITECTURES]


def _open_clip() -> list[str]:
    import open_clip

    return [f"open_clip:{model}/{tag}" for model, tag in open_clip.list_pretrained()]


def _sam() -> list[str]:
    from fmbseg.models.backbones.from_sam import SIZES

    return [f"sam:{size}" for size in SIZES]


_LISTS: dict[str, Callable[[], list[str]]] = {
    "presets": lambda: list(BACKBONES.presets),
    "timm": _timm,
    "hf": _hf,
    "open_clip": _open_clip,
    "sam": _sam,
}
