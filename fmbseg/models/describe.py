"""What specs of backbones stand for, and which there are, without loading weights."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmbseg.models.catalog import CARDS, find_card
from fmbseg.models.contracts import HasFacts
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from fmbseg.models.contracts import Backbone
    from fmbseg.models.loading.hub_files import HubOptions

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
    card = find_card("backbone", BACKBONES.expand(spec))
    shapes = card is not None and card.without_weights and "weights=" not in spec
    backbone = create_model(BACKBONES, spec, hub, **({"weights": "none"} if shapes else {}))
    if isinstance(backbone, HasFacts):
        return backbone.facts.to_dict()
    return _of_contract(backbone)


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
    lists = {card.name: card.listing for card in CARDS if card.listing is not None}
    if family == "presets":
        return [name for name in BACKBONES.presets if text in name]
    if family not in lists:
        raise UnknownNameError("list of models", family, ["presets", *lists])
    module, _, attribute = lists[family].partition(":")
    return [spec for spec in vars(import_module(module))[attribute]() if text in spec]
