"""What ``config.json`` of an aligned encoder says, checked before any weight is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fmbseg.aligned.head_settings import HeadSettings
from fmbseg.certainty import HeadCertainty
from fmbseg.models.loading.spec_options import revision_of
from fmbseg.models.transform import PixelTransform
from fmbseg.vocabulary import Vocabulary

SCHEMA_VERSION = 2
_PACKAGES = ("fmbseg", "numpy", "pillow", "timm", "torch", "transformers")


class AlignedEncoderError(ValueError):
    """A saved aligned encoder is unsound, or its parts do not fit; the message says what and where."""


def _installed_versions() -> dict[str, str]:
    """Versions of the packages that affect what an encoder computes, as far as they are installed."""
    return {package: found for package in _PACKAGES if (found := _version_of(package))}


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class AlignedConfig:
    """The parts of an aligned encoder by name and size.

    Args:
        backbone: spec of the frozen encoder.
        stride: pixels between the backbone's patches.
        text_encoder: spec of the model whose text space the head maps to.
        text_dim: dimensions of that space.
        head: shape of the head.
        transform: how the backbone's pixels are normalised; ``None`` in heads that do not say.
        backbone_license: licence of the backbone's weights, as it states; empty if unknown.
        text_license: licence of the text encoder's weights, as it states; empty if unknown.
        vocabulary: classes that the head was trained on, if known; their prototypes are saved with the head.
        hubness: the weight that suits the head (see :class:`~fmbseg.segment_settings.SegmentSettings`).
        certainty: how likely its words are right, by their scores; None if not measured.
        training: how it was trained, as JSON; kept as it is, never interpreted here.
        versions: those of the packages that saved it.

    Raises:
        AlignedEncoderError: the head does not map to the text encoder's space.
    """

    backbone: str
    stride: int
    text_encoder: str
    text_dim: int
    head: HeadSettings
    transform: PixelTransform | None = None
    backbone_license: str = ""
    text_license: str = ""
    vocabulary: Vocabulary | None = None
    hubness: float = 0.0
    certainty: HeadCertainty | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=_installed_versions)

    def __post_init__(self) -> None:
        check_text_encoder(self.head, self.text_encoder, self.text_dim)
        if not 0 <= self.hubness < math.inf:
            raise AlignedEncoderError(f"hubness is {self.hubness!r}: it must be a finite number from 0")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "backbone": {
                "spec": self.backbone,
                "revision": revision_of(self.backbone),
                "stride": self.stride,
                "transform": None if self.transform is None else asdict(self.transform),
                "license": self.backbone_license,
            },
            "text_encoder": {
                "spec": self.text_encoder,
                "revision": revision_of(self.text_encoder),
                "dim": self.text_dim,
                "license": self.text_license,
            },
            "head": asdict(self.head),
            "vocabulary": None if self.vocabulary is None else self.vocabulary.to_dict(),
            "hubness": self.hubness,
            "certainty": None if self.certainty is None else self.certainty.to_dict(),
            "training": dict(self.training),
            "versions": dict(self.versions),
        }

    @classmethod
    def from_dict(cls, saved: object) -> AlignedConfig:
        """The config that :meth:`to_dict` turned into ``saved``.

        Raises:
            AlignedEncoderError: another schema, missing or ill-typed fields, or sizes that do not fit.
        """
        top = _mapping(saved, "the config")
        schema = top.get("schema_version")
        if isinstance(schema, bool) or schema != SCHEMA_VERSION:
            raise AlignedEncoderError(
                f"schema_version is {schema!r}, but this fmbseg reads {SCHEMA_VERSION}: "
                "install the version of fmbseg that saved it (see 'versions')"
            )
        backbone, text = (_mapping(top.get(key), repr(key)) for key in ("backbone", "text_encoder"))
        try:
            return cls(
                backbone=_value(backbone, "spec", str, "backbone"),
                stride=_value(backbone, "stride", int, "backbone"),
                text_encoder=_value(text, "spec", str, "text_encoder"),
                text_dim=_value(text, "dim", int, "text_encoder"),
                head=_head(top.get("head")),
                transform=_transform(backbone.get("transform")),
                backbone_license=str(backbone.get("license", "")),
                text_license=str(text.get("license", "")),
                vocabulary=None if top.get("vocabulary") is None else Vocabulary.from_dict(top["vocabulary"]),
                hubness=float(top.get("hubness", 0.0)),
                certainty=_certainty(top.get("certainty")),
                training=_mapping(top.get("training", {}), "'training'"),
                versions=_mapping(top.get("versions", {}), "'versions'"),
            )
        except AlignedEncoderError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Raised by the head's settings, the transform or the vocabulary, for values of any type.
            raise AlignedEncoderError(str(error)) from error


def _head(saved: object) -> HeadSettings:
    values = _mapping(saved, "'head'")
    known = {one.name for one in fields(HeadSettings)}
    if values.keys() != known:
        missing, surplus = sorted(known - values.keys()), sorted(values.keys() - known)
        raise AlignedEncoderError(
            f"'head' must have the settings {', '.join(sorted(known))}: missing are "
            f"{', '.join(missing) or 'none'}, unknown {', '.join(surplus) or 'none'}"
        )
    return HeadSettings(**values)


def _certainty(saved: object) -> HeadCertainty | None:
    return None if saved is None else HeadCertainty.from_dict(saved)


def _transform(saved: object) -> PixelTransform | None:
    if saved is None:
        return None
    values = _mapping(saved, "'transform' of 'backbone'")
    channels = {key: tuple(map(float, values.pop(key, ()))) for key in ("mean", "std")}
    if any(len(three) != 3 for three in channels.values()):
        raise AlignedEncoderError(
            f"'transform' of 'backbone' needs a mean and std of 3 channels; got {saved!r}"
        )
    return PixelTransform(**channels, **values)  # type: ignore[arg-type]


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise AlignedEncoderError(f"{what} must be a JSON object; got {value!r}")
    return dict(value)


def _value(mapping: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = mapping.get(key)
    if not isinstance(value, kind) or isinstance(value, bool) or value in ("", 0):
        raise AlignedEncoderError(f"'{key}' of '{where}' must be a {kind.__name__}; got {value!r}")
    return value


def check_text_encoder(head: HeadSettings, spec: str, dim: int) -> None:
    """Refuse the text encoder ``spec`` if its texts have another dimension than the head maps to.

    Raises:
        AlignedEncoderError: with both numbers.
    """
    if head.out_dim != dim:
        raise AlignedEncoderError(
            f"the head maps to {head.out_dim} dimensions, but the text encoder {spec!r} has {dim}: use the "
            f"text encoder that the head was made for, or train a head with out_dim={dim}"
        )


def check_backbone(head: HeadSettings, spec: str, dim: int) -> None:
    """Refuse the backbone ``spec`` if it gives another number of channels than the head takes.

    Raises:
        AlignedEncoderError: with both numbers.
    """
    if head.in_dim != dim:
        raise AlignedEncoderError(
            f"the head takes {head.in_dim} channels, but the backbone {spec!r} gives {dim}: use the "
            "backbone that the head was trained on"
        )
