"""What a spec of an image-text encoder asks for, checked at the door: ``family:name?option=value&...``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.errors import SpecError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.precision import check_precision
from fmbseg.models.loading.preprocessing import channels
from fmbseg.models.loading.spec_options import check_options, join_options, split_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.models.loading.precision import Precision

_OPTIONS = ("dense", "crop_size", "precision", "revision")
_PIXELS = ("mean", "std", "interpolation")
_DENSE = "maskclip"


@dataclass(frozen=True)
class ImageTextRequest:
    """An image-text encoder as it was asked for.

    Args:
        family: part of the spec before the first colon.
        name: what follows it, up to the question mark.
        dense: name of the dense variant.
        crop_size: side of crops in pixels, as it was written; the model's own if ``None``.
        precision: used on accelerators.
        pixels: ``mean``, ``std`` and ``interpolation``, for weights that do not state them themselves.
        hub: how files are looked for.
    """

    family: str
    name: str
    dense: str = _DENSE
    crop_size: int | str | None = None
    precision: Precision = "auto"
    pixels: Mapping[str, Any] = field(default_factory=dict)
    hub: HubOptions = field(default_factory=HubOptions)

    @classmethod
    def read(
        cls,
        family: str,
        rest: str,
        hub: HubOptions | None,
        options: Mapping[str, Any],
        *,
        takes_pixels: bool = False,
    ) -> ImageTextRequest:
        """Read the rest of a spec and the options given by keyword, which take precedence.

        Args:
            family: the family that is asked.
            rest: what follows the family's colon in the spec.
            hub: how files are looked for.
            options: options given by keyword; those that are ``None`` are left to the spec or the model.
            takes_pixels: whether the family takes ``mean``, ``std`` and ``interpolation``.

        Raises:
            SpecError: an option is unknown, or a value is invalid.
            ValueError: there is no such precision.

        Example:
            >>> request = ImageTextRequest.read("hf", "me/clip?dense=value&crop_size=336", None, {})
            >>> request.dense, request.spec
            ('value', 'hf:me/clip?crop_size=336&dense=value')
        """
        known = (*_OPTIONS, *(_PIXELS if takes_pixels else ()))
        name, written = split_options(rest, known, family=family)
        check_options(options, known, f"{family}:{rest}")
        given = {**written, **{key: value for key, value in options.items() if value is not None}}
        pixels = {key: given[key] for key in _PIXELS if key in given}
        try:
            pixels |= {key: channels(pixels[key]) for key in ("mean", "std") if key in pixels}
        except (TypeError, ValueError) as error:
            raise SpecError(f"{family}:{rest}: mean or std is wrong: {error}") from error
        return cls(
            family,
            name,
            dense=given.get("dense", _DENSE),
            crop_size=given.get("crop_size"),
            precision=check_precision(given.get("precision", "auto")),
            pixels=pixels,
            hub=(hub or HubOptions()).at(given.get("revision")),
        )

    @property
    def source(self) -> str:
        """Of the weights, with how pixels are made for them."""
        return join_options(f"{self.family}:{self.name}", {**self.pixels, "revision": self.hub.revision})

    @property
    def spec(self) -> str:
        """The same request as text, options sorted, defaults left out."""
        shown = {
            **self.pixels,
            "dense": self.dense if self.dense != _DENSE else None,
            "crop_size": self.crop_size,
            "precision": self.precision if self.precision != "auto" else None,
            "revision": self.hub.revision,
        }
        return join_options(f"{self.family}:{self.name}", shown)


def checked_crop_size(asked: int | str, stride: int) -> int:
    """Return the side in pixels that was asked for, as a number or as written in a spec.

    Raises:
        ValueError: it is not a multiple of ``stride``.

    Example:
        >>> checked_crop_size("336", 14)
        336
        >>> checked_crop_size(300, 14)
        Traceback (most recent call last):
        ...
        ValueError: crop_size is 300: it must be a multiple of the model's stride, 14 px
    """
    side = int(asked) if str(asked).isdecimal() else 0
    if side < stride or side % stride:
        raise ValueError(f"crop_size is {asked}: it must be a multiple of the model's stride, {stride} px")
    return side
