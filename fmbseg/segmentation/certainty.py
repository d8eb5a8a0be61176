"""Which of a head's curves tells how certain the scores of some settings are, and what it has to be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fmbseg.segment_settings import MaskNaming

if TYPE_CHECKING:
    from fmbseg.certainty import CertaintyCurve
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.segmentation.encoding import TextSpaceEncoder

_MIXED = 0.5


def curve_for(encoder: TextSpaceEncoder, settings: SegmentSettings) -> CertaintyCurve | None:
    """The curve for scores as these settings make them; None if there is none.

    Windows, scales and refinement change what a pixel sees, not what its score means; hubness and mixing do.
    """
    known = encoder.certainty
    if known is None or settings.hubness != encoder.hubness:
        return None
    mixed = settings.preserve
    if mixed is None or not mixed.weight:
        return known.alone
    return known.mixed if mixed.slope is None and mixed.weight == _MIXED else None


def needed_curve(encoder: TextSpaceEncoder, settings: SegmentSettings) -> CertaintyCurve | None:
    """The curve for scores as these settings make them, if any is known.

    Raises:
        ValueError: a certainty is asked for, and there is none.
    """
    curve = curve_for(encoder, settings)
    if curve is None and settings.certainty:
        why = "has none" if encoder.certainty is None else "has none for this hubness and mixing"
        raise ValueError(
            f"certainty {settings.certainty:g} needs a curve that is kept with the head, and this head "
            f"{why}: `fmbseg calibrate` makes one from photographs of yours, or set it to 0"
        )
    return curve


def default_beside_common(
    encoder: TextSpaceEncoder, settings: SegmentSettings, words: int
) -> SegmentSettings:
    """The settings with the certainty by default of so many words beside common ones, which decide much.

    Args:
        encoder: of the head.
        settings: with the certainty that holds elsewhere.
        words: that are asked for.
    """
    known = encoder.certainty
    if words == 1:
        return replace(settings, certainty=0.0)  # what is blank was right as often as what is not
    looks_again = isinstance(settings.refine, MaskNaming) and settings.refine.second_look is not None
    if not settings.certainty or known is None or known.beside_common is None or not looks_again:
        return settings
    return replace(settings, certainty=known.beside_common)
