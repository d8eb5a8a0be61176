"""What a spec of a backbone asks for, checked at the door: ``family:name?option=value&...``.

Options that decide what a backbone computes are part of its spec, so a saved head can recreate it. Those
of one machine (where the cache is, who is logged in, whether to compile) are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.preprocessing import INTERPOLATIONS, channels, stated_transform
from fmbseg.models.loading.spec_options import (
    check_options,
    climbs,
    join_options,
    split_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from fmbseg.models.transform import PixelTransform

PRETRAINED = "pretrained"
RANDOM = "random"
NO_WEIGHTS = "none"
NETWORK_OPTIONS = frozenset({"layers", "norm", "size", "precision", "weights"})
HUB_OPTIONS = frozenset({"revision"})
PIXEL_OPTIONS = frozenset({"mean", "std", "interpolation"})
FILE_OPTIONS = PIXEL_OPTIONS | {"size", "prefix", "license"}


@dataclass(frozen=True)
class BackboneRequest:
    """A backbone as it was asked for; what is ``None`` is left to the family or the model.

    Args:
        family: part of the spec before the first colon.
        name: what follows it, up to the question mark.
        layers: blocks or stages whose outputs are joined, counted from 0, or from the end if negative.
        norm: whether the final norm is applied.
        size: side in pixels of the images that the model is meant for.
        precision: that of weights and computation; features are float32 in any case.
        weights: ``pretrained``, ``random`` (seeded), ``none`` (shapes only), or the path of a file.
        prefix: number of leading tokens of a file's model that are not patches.
        mean: mean of each RGB channel in [0, 1], for weights that do not state it themselves.
        std: standard deviation of each RGB channel, for the same weights.
        interpolation: how images are resized, for the same weights.
        license: licence of a file's weights.
        revision: branch, tag or commit of a Hub repository.
        hub: how files are looked for.
        compiled: whether to run through ``torch.compile``.
    """

    family: str
    name: str
    layers: tuple[int, ...] | None = None
    norm: bool | None = None
    size: int | None = None
    precision: str = "fp32"
    weights: str = PRETRAINED
    prefix: int = 0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str = "bicubic"
    license: str | None = None
    revision: str | None = None
    hub: HubOptions = field(default_factory=HubOptions)
    compiled: bool = False

    @classmethod
    def read(
        cls, family: str, rest: str, options: Mapping[str, Any], takes: frozenset[str]
    ) -> BackboneRequest:
        """Read the rest of a spec and the options given by keyword, which take precedence.

        Args:
            family: the family that is asked.
            rest: what follows the family's colon in the spec.
            options: options given by keyword; their values may be text, as in a spec.
            takes: options that the family takes.

        Raises:
            SpecError: an unknown option, a value out of range, a name with ``..`` in it.

        Example:
            >>> request = BackboneRequest.read(
            ...     "timm", "vit_a?layers=-1&norm=false", {"size": 224}, NETWORK_OPTIONS
            ... )
            >>> request.layers, request.norm, request.size
            ((-1,), False, 224)
            >>> request.spec
            'timm:vit_a?layers=-1&norm=false&size=224'
        """
        where = f"{family}:{rest}"
        name, written = split_options(rest, takes, family=family)
        given: dict[str, Any] = {**written, **options}
        hub: HubOptions = given.pop("hub", None) or HubOptions()
        compiled = bool(given.pop("compiled", False))
        check_options(given, takes, where)
        values = {key: _value(key, value, where) for key, value in given.items() if value is not None}
        hub = hub.at(values.pop("revision", None))
        return cls(family, name, **values, revision=hub.revision, hub=hub, compiled=compiled)

    def stated_transform(self, weights: object) -> PixelTransform:
        """The preprocessing that the options state, for weights that do not state it themselves.

        Raises:
            WeightsError: it is not stated.
        """
        return stated_transform(
            self.mean,
            self.std,
            self.interpolation,
            f"{weights} says no mean and std of its pixels, and neither does {self.spec!r}",
            "state those that it was trained with, for example ImageNet's, "
            "'?mean=0.485,0.456,0.406&std=0.229,0.224,0.225' in the spec, or mean=..., std=... by keyword",
        )

    @property
    def spec(self) -> str:
        """The same request as text, options sorted, defaults left out."""
        shown = {
            one.name: value
            for one in fields(self)
            if one.name not in ("family", "name", "hub", "compiled")
            and (value := getattr(self, one.name)) not in (one.default, NO_WEIGHTS)
        }
        return join_options(f"{self.family}:{self.name}", shown)

    def resolved(self, name: str, commit: str | None) -> BackboneRequest:
        """The same request with the name and the commit that it turned out to mean."""
        return replace(self, name=name, revision=commit if self.weights == PRETRAINED else None)


def _value(key: str, value: Any, where: str) -> Any:
    try:
        return _READERS[key](value)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{where}: {key} is {value!r}: {error}") from error


def _layers(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        value = value.split(",")
    layers = tuple(int(item) for item in ((value,) if isinstance(value, int) else value))
    if not layers or len(set(layers)) < len(layers):
        raise ValueError("name one or more different layers, for example -1 or 5,11")
    return layers


def _flag(value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise ValueError("it is true or false")


def _positive(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("it must be 1 or more")
    return number


def _count(value: Any) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("it must be 0 or more")
    return number


def _one_of(names: Collection[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(f"it must be one of {', '.join(names)}")
        return str(value)

    return read


def _weights(value: Any) -> str:
    if climbs(str(value)):
        raise ValueError("it leads through '..': name the file by its whole path")
    return str(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "layers": _layers,
    "norm": _flag,
    "size": _positive,
    "precision": _one_of(("fp32", "fp16", "bf16")),
    "weights": _weights,
    "prefix": _count,
    "mean": channels,
    "std": channels,
    "interpolation": _one_of(INTERPOLATIONS),
    "license": str,
    "revision": str,
}
