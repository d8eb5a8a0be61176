"""How the papers of training-free dense maps measured them, as far as their texts and released code say.

A protocol changes the last block's attention (see :mod:`fmbseg.models.image_text.dense_variants`), and comes
with windows, templates and a rule for background. Class names and the size of the figures stay the
evaluation's: several of these papers rename classes, which ``--names FILE`` does for every method alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmbseg.evaluation.protocols import TCL_TEMPLATES
from fmbseg.segment_settings import Pamr
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabularies import templates_of

SCENE_TEMPLATES = (
    "there is a {} in the scene.",
    "there is the {} in the scene.",
    "this is a {} in the scene.",
    "this is the {} in the scene.",
    "this is one {} in the scene.",
)
"""What MaskCLIP adds to CLIP's 80 templates."""

SCLIP_BACKGROUND = (
    *("sky", "wall", "tree", "wood", "grass", "road", "sea", "river", "mountain", "sands", "desk", "bed"),
    *("building", "cloud", "lamp", "door", "window", "wardrobe", "ceiling", "shelf", "curtain", "stair"),
    *("floor", "hill", "rail", "fence"),
)
"""SCLIP's row of words for PASCAL VOC's background."""


@dataclass(frozen=True)
class DenseProtocol:
    """One paper's settings.

    Args:
        name: of the protocol.
        about: the paper, and where the settings come from.
        variant: of the last block; None where the model's own is kept.
        short_side: pixels of the resized image's short side.
        window: side of a window in pixels; None for the model's own crop.
        step: pixels between windows; None for half a window.
        templates: that words are put into; none for those of the evaluation.
        background: words that mean background, in the place of the evaluation's, for sets that count it.
        scale: what similarities are multiplied by in the softmax.
        threshold: share of the softmax below which a pixel is background, for sets that count it.
        refine: by the image's colours.
    """

    name: str
    about: str
    variant: str | None = None
    short_side: int = 448
    window: int | None = None
    step: int | None = None
    templates: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    scale: float = 100.0
    threshold: float | None = None
    refine: Pamr | None = None


_CLIP = templates_of("clip80")
_SCLIP = "Wang et al. 2024, arXiv 2312.01597, its released configuration"
_NACLIP = "Hajimiri et al. 2025, arXiv 2404.08181, its released configuration"

PLAIN = DenseProtocol("plain", "half-overlapping crops of the model's own size, as in Stage 1 (paper §3.2)")

DENSE_PROTOCOLS: dict[str, DenseProtocol] = {
    one.name: one
    for one in (
        DenseProtocol(
            "maskclip",
            "Zhou et al. 2022, arXiv 2112.01071: residual and MLP kept, 85 templates; windows of TCL's size",
            variant="maskclip",
            templates=(*_CLIP, *SCENE_TEMPLATES),
        ),
        DenseProtocol(
            "value",
            "the value path alone, as in FeatUp, arXiv 2403.10516, whose evaluation is another",
            variant="value",
        ),
        *(
            DenseProtocol(
                name,
                f"{_SCLIP}{where}",
                variant="sclip",
                short_side=side,
                window=224,
                step=112,
                templates=_CLIP,
                background=SCLIP_BACKGROUND,
                scale=scale,
                threshold=0.1,
            )
            for name, where, side, scale in (
                ("sclip", "", 336, 40.0),
                ("sclip-voc21", " for PASCAL VOC with background", 336, 65.0),
                ("sclip-object", " for COCO-Object", 336, 50.0),
                ("sclip-stuff", " for COCO-Stuff", 448, 40.0),
                ("sclip-city", " for Cityscapes", 560, 40.0),
            )
        ),
        DenseProtocol(
            "clearclip",
            "Lan et al. 2024, arXiv 2407.12442, its released configuration",
            variant="clearclip",
            window=224,
            step=112,
            templates=_CLIP,
            scale=50.0,
            threshold=0.5,
        ),
        *(
            DenseProtocol(
                name,
                f"{_NACLIP}{where}",
                variant="naclip",
                short_side=side,
                window=224,
                step=112,
                templates=_CLIP,
                background=SCLIP_BACKGROUND,
                scale=40.0,
                threshold=0.1,
                refine=refine,
            )
            for name, where, side, refine in (
                ("naclip", " without refinement", 336, None),
                ("naclip-pamr", "", 336, Pamr(10, (8, 16))),
                ("naclip-city", " for Cityscapes, without refinement", 560, None),
            )
        ),
        DenseProtocol(
            "tipsv2",
            "the notebook of google-deepmind/tips: value path, TCL's nine templates",
            variant="value",
            window=448,
            step=336,
            templates=TCL_TEMPLATES,
        ),
    )
}
"""The protocols by name."""


def dense_protocol(name: str) -> DenseProtocol:
    """A protocol by its name.

    Raises:
        UnknownNameError: there is none; near misses are offered.

    Example:
        >>> dense_protocol("sclip").short_side, dense_protocol("naclip-pamr").refine
        (336, Pamr(iterations=10, dilations=(8, 16)))
    """
    if name not in DENSE_PROTOCOLS:
        raise UnknownNameError("protocol of a dense map", name, DENSE_PROTOCOLS)
    return DENSE_PROTOCOLS[name]
