"""The settings of segmentation: windows, background, thresholds and refinement."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.models.contracts import MaskGenerator

BackgroundRule = Literal["common", "words", "similarity", "softmax", "none"]
_REGION_FRACTIONS = ("min_area", "min_predicted_iou", "min_stability")
_RULES = ("common", "words", "similarity", "softmax", "none")


@dataclass(frozen=True)
class WindowSettings:
    """Sliding windows; the defaults are those of TCL's protocol.

    Args:
        short_side: pixels to which an image's short side is resized.
        window: side of a window in pixels; None for the whole image at once.
        step: pixels between windows.

    Raises:
        ValueError: a length is not positive, or the step leaves gaps between windows.

    Example:
        >>> WindowSettings(window=None)
        WindowSettings(short_side=448, window=None, step=224)
    """

    short_side: int = 448
    window: int | None = 448
    step: int = 224

    def __post_init__(self) -> None:
        for name in ("short_side", "window", "step"):
            length = getattr(self, name)
            if length is not None and length < 1:
                raise ValueError(f"{name} is {length}: it must be 1 or more pixels")
        if self.window is not None and self.step > self.window:
            raise ValueError(
                f"step is {self.step}: it must be at most window, {self.window}, or gaps are left"
            )


@dataclass(frozen=True)
class Background:
    """What makes a pixel background.

    Args:
        rule: ``words``: the classes that the vocabulary marks as background, all taken together (as the
            paper does for PASCAL VOC with 21 classes); ``common``: these, and where the vocabulary marks
            none, the package's list of common stuff and scene words
            (:func:`fmbseg.vocabularies.common_background_words`), without those that mean what one of the
            classes means; ``similarity``: no class is as similar as ``threshold``; ``softmax``: no class's
            share of the softmax reaches ``threshold``; ``none``: there is no background. With the last
            three, classes marked as background are left out.
        threshold: for ``similarity`` and ``softmax``.
        at_threshold: whether a pixel whose score is exactly the threshold is background, as in TCL's code;
            otherwise it keeps its class.

    Raises:
        ValueError: the rule is unknown, or a threshold is missing or not allowed.

    Example:
        >>> str(Background("similarity", 0.4)), str(Background())
        ('similarity below 0.4', 'words')
    """

    rule: BackgroundRule = "words"
    threshold: float | None = None
    at_threshold: bool = False

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise ValueError(f"rule is {self.rule!r}: it must be one of {', '.join(_RULES)}")
        if (self.threshold is not None) != (self.rule in ("similarity", "softmax")):
            must = "a number" if self.threshold is None else "None"
            raise ValueError(
                f"threshold is {self.threshold!r}: it must be {must} with the rule {self.rule!r}"
            )

    def __str__(self) -> str:
        if self.threshold is None:
            return self.rule
        return f"{self.rule} {'up to' if self.at_threshold else 'below'} {self.threshold:g}"


@dataclass(frozen=True)
class Pamr:
    """Pixel-adaptive refinement of the similarities by the image's colours (Araslanov and Roth 2020).

    Args:
        iterations: how often every pixel is replaced by the mean of its neighbours.
        dilations: distances in pixels to the neighbours, which are in eight directions.

    Raises:
        ValueError: no iteration, or no or non-positive dilations.
    """

    iterations: int = 10
    dilations: tuple[int, ...] = (1, 2, 4, 8, 12, 24)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))
        if self.iterations < 1:
            raise ValueError(f"iterations is {self.iterations}: it must be 1 or more")
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(
                f"dilations is {self.dilations}: it must be one or more distances of 1 pixel or more"
            )


@dataclass(frozen=True)
class KnowledgePreservation:
    """Mix the image-text model's own scores into those of the head, as TCL's branch of that name does.

    A score becomes ``(1 - weight) * similarity + weight * own``, where ``own`` is the similarity in the
    image-text model's own dense map, or with a slope ``sigmoid((own - center) * slope)``, which is what TCL
    does (Cha et al. 2023, arXiv 2212.00785). The image-text model then runs over every image, too, and takes
    longer than the head. Heat maps show the head's similarity alone.

    Args:
        weight: of the image-text model's scores, 0 to 1; TCL's ``kp_w``.
        center: similarity at which the sigmoid is one half.
        slope: that the similarity is multiplied by in the sigmoid; None for no sigmoid.
        short_side: pixels to which the image's short side is resized for the image-text model, which sees it
            in half-overlapping crops of its own size.

    Raises:
        ValueError: the weight is outside 0 to 1, or the slope or short side is not positive.
    """

    weight: float = 0.5
    center: float = 0.0
    slope: float | None = None
    short_side: int = 448

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight is {self.weight}: it must be from 0 to 1")
        if self.slope is not None and not self.slope > 0:
            raise ValueError(f"slope is {self.slope}: it must be above 0, or None")
        if self.short_side < 1:
            raise ValueError(f"short_side is {self.short_side}: it must be 1 or more pixels")


@dataclass(frozen=True)
class MaskSnap:
    """Give every mask of a mask generator the class that most of its pixels have.

    Args:
        generator: a mask generator, or the spec of one.
        min_share: share of a mask's pixels that its class must have; other masks change nothing.

    Raises:
        ValueError: a share outside 0 to 1.
    """

    generator: str | MaskGenerator = "mobilesam"
    min_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= 1:
            raise ValueError(f"min_share is {self.min_share}: it must be from 0 to 1")


@dataclass(frozen=True)
class SecondLook:
    """Masks are cut out and seen alone by the image-text model, their surroundings hidden in several ways.

    OVSeg (Liang et al. 2023, arXiv 2210.04150) names all masks like that. A cut-out hides what lies around a
    thing, which tells much of what it is; so it is another witness only where the map hardly decides between
    a word and background. The numbers suit ConSE, the offline recipe's model.

    Args:
        sure: a mask is a word's by the map alone if its score is higher than those of the background's
            words by more than this.
        margin: another mask is a word's if the word is ahead by more than this in the mean of what the map
            and the cut-outs give, or it is background.
        uncovered: a pixel without a mask is a word's if the word is ahead by more than this by the map.
        near: masks whose best word is further behind than this by the map are not looked at.
        largest: nor those that cover this share of the image, for they are no other view than the image.

    Raises:
        ValueError: a number is out of range.
    """

    sure: float = 0.1
    margin: float = 0.075
    uncovered: float = 0.15
    near: float = 0.1
    largest: float = 0.5

    def __post_init__(self) -> None:
        for name in ("sure", "margin", "uncovered", "near"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        if not 0 < self.largest <= 1:
            raise ValueError(f"largest is {self.largest}: it must be above 0 and at most 1")


@dataclass(frozen=True)
class MaskNaming:
    """Name every mask of a mask generator by what it covers, as Stage 1.2 does (paper §3.2).

    A mask gets the class for which the mean text-space vector under it scores highest;
    the rules for pixels (background, thresholds, hubness) apply to it as well. Smaller masks lie on larger
    ones; a pixel without a mask keeps its own class. The mask model then runs over every image, which takes
    most of the time.

    Args:
        generator: a mask generator, or the spec of one.
        options: of the generator, for example ``{"points_per_side": 16}``; only if it is given as a spec.
        second_look: at masks that the map hardly tells from background, where words of the background
            compete; None for none. The image-text model then encodes their cut-outs, too.

    Raises:
        ValueError: options are given for a generator that exists already.
    """

    generator: str | MaskGenerator = "mobilesam"
    options: Mapping[str, Any] = field(default_factory=dict)
    second_look: SecondLook | None = None

    def __post_init__(self) -> None:
        if self.options and not isinstance(self.generator, str):
            raise ValueError(
                f"options is {dict(self.options)}: it must be empty if the generator is not a spec"
            )


@dataclass(frozen=True)
class RegionNaming(MaskNaming):
    """The same, but the mask model is only asked where the class map itself has a region.

    In each connected region of the map, a few points, the centres of its largest circles that do not
    overlap (:func:`fmbseg.segmentation.regions.region_points`), ask for one mask each. That takes fewer
    prompts than every mask of a photograph, and on a CPU their count is most of what a mask model costs.

    Args:
        generator: a promptable mask generator, or the spec of one.
        options: of the generator; those of "segment everything" alone play no part.
        points: how many of a region at most.
        min_area: regions that are a smaller fraction of the image are skipped.
        min_predicted_iou: masks of which the mask model expects less are left out; the default and the next
            suit MobileSAM.
        min_stability: masks that are less stable are left out.

    Raises:
        ValueError: as :class:`MaskNaming`; fewer than one point, or a fraction outside 0 to 1.

    Example:
        >>> SegmentSettings(refine=RegionNaming()).describe()["refine"]["named_regions"]["points"]
        1
    """

    points: int = 1
    min_area: float = 0.01
    min_predicted_iou: float = 0.6
    min_stability: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points < 1:
            raise ValueError(f"points is {self.points}: it must be 1 or more")
        for name in _REGION_FRACTIONS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from 0 to 1")


@dataclass(frozen=True)
class SegmentSettings:
    """How an image is segmented; the defaults are the paper's.

    Args:
        windows: how an image is resized and cut.
        scales: sizes at which the image is encoded, times the windows' short side; their maps are averaged
            (test-time augmentation; the cost grows with the sum of the squares).
        mirror: average with the mirrored image (test-time augmentation; twice the cost).
        background: what makes a pixel background.
        temperature: similarities are divided by it before the softmax.
        class_thresholds: least score of a class, by name, as measured by the background's rule (the
            softmax's share for ``softmax``, else the similarity); a pixel whose class scores less is
            background if there is one, and otherwise has no class.
        hubness: weight of the penalty on words that are similar to everything (see
            :func:`~fmbseg.models.hubness.hubness_of`), measured against the words of the head's training; 0
            as in the paper. None takes the head's own value, or 0 if it has none. Scores and
            thresholds refer to similarities after the penalty.
        min_margin: a pixel has no class if its best two words, of different classes, differ by less.
        certainty: a pixel has no class if its word is less likely right than this, 0 to 1, by the curve that
            is kept with the head (see :mod:`fmbseg.certainty`); 0 gives every pixel a class. None takes the
            head's own default, or 0 if it has no curve, and where one word alone competes with common words
            as background. Background is not asked for its certainty.
        top: how many of the best words of each pixel to keep in the result.
        confidence: whether to keep the winner's share of the softmax over all words.
        preserve: mix in the image-text model's own scores; the paper does not.
        refine: how the result is refined with the help of the image; the paper does not refine.
        refine_common: how it is refined where common words compete as background (the rule ``common``, and
            none is marked), in place of ``refine``; None for ``refine``.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> SegmentSettings(temperature=0)
        Traceback (most recent call last):
        ...
        ValueError: temperature is 0: it must be above 0
    """

    windows: WindowSettings = field(default_factory=WindowSettings)
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False
    background: Background = field(default_factory=Background)
    temperature: float = 0.01
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    hubness: float | None = None
    min_margin: float = 0.0
    certainty: float | None = None
    top: int = 1
    confidence: bool = False
    preserve: KnowledgePreservation | None = None
    refine: Pamr | MaskSnap | MaskNaming | None = None
    refine_common: Pamr | MaskSnap | MaskNaming | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales is {self.scales}: it must be one or more finite numbers above 0")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}: it must be above 0")
        if self.hubness is not None and not self.hubness >= 0:
            raise ValueError(f"hubness is {self.hubness}: it must be 0 or more")
        if not self.min_margin >= 0:
            raise ValueError(f"min_margin is {self.min_margin}: it must be 0 or more")
        if self.certainty is not None:
            from fmbseg.certainty import check_certainty  # brings NumPy, which recipes and help do without

            check_certainty("certainty", self.certainty)
        if self.top < 1:
            raise ValueError(f"top is {self.top}: it must be 1 or more")

    def beside_common_words(self) -> SegmentSettings:
        """What holds where common words compete as background."""
        return self if self.refine_common is None else replace(self, refine=self.refine_common)

    @property
    def needs_softmax(self) -> bool:
        """Whether the sum over all words is needed, which costs more than the best word alone."""
        return self.confidence or self.background.rule == "softmax"

    def describe(self) -> dict[str, Any]:
        """As JSON values, for reports."""
        windows = self.windows
        return {
            "short_side": windows.short_side,
            "window": windows.window,
            "step": None if windows.window is None else windows.step,
            "scales": list(self.scales),
            "mirror": self.mirror,
            "background": self.background.rule,
            "threshold": self.background.threshold,
            "at_threshold": self.background.at_threshold,
            "temperature": self.temperature,
            "class_thresholds": dict(self.class_thresholds),
            "hubness": self.hubness,
            "min_margin": self.min_margin,
            "certainty": self.certainty,
            "preserve": None if self.preserve is None else asdict(self.preserve),
            "refine": _described(self.refine),
            **({} if self.refine_common is None else {"refine_common": _described(self.refine_common)}),
        }


def _described(refine: Pamr | MaskSnap | MaskNaming | None) -> dict[str, Any] | None:
    if refine is None:
        return None
    if isinstance(refine, Pamr):
        return {"pamr": {"iterations": refine.iterations, "dilations": list(refine.dilations)}}
    made_by = refine.generator
    spec = made_by if isinstance(made_by, str) else made_by.spec
    if isinstance(refine, MaskSnap):
        return {"masks": {"generator": spec, "min_share": refine.min_share}}
    named: dict[str, Any] = {"generator": spec, "options": dict(refine.options)}
    if refine.second_look is not None:
        named["second_look"] = asdict(refine.second_look)
    if isinstance(refine, RegionNaming):
        least = {name: getattr(refine, name) for name in _REGION_FRACTIONS}
        return {"named_regions": {**named, "points": refine.points, **least}}
    return {"named_masks": named}
