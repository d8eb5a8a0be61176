"""Which of a head's curves tells how certain the scores of some settings are."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
