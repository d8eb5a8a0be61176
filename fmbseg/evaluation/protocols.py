"""Protocols as data: every choice of how a benchmark is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.segment_settings import Background, KnowledgePreservation, Pamr, SegmentSettings, WindowSettings
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabularies import BACKGROUND, coco_stuff_words
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from fmbseg.evaluation.datasets import SegmentationData

SIMPLE_TEMPLATES = ("a photo of a {}.",)
TCL_TEMPLATES = (
    "itap of a {}.",
    "a bad photo of a {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
    "a photo of many {}.",
    "a photo of {}s.",
)
"""The subset that TCL's released evaluation uses."""

_FIXED = ("short_side", "window", "step", "scales", "mirror", "temperature", "preserve", "refine")
TCL_PRESERVATION = KnowledgePreservation(weight=0.3, center=0.25, slope=10.0)
"""As in TCL's released code."""


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is measured.

    Args:
        name: of the protocol.
        about: where it comes from, in one sentence.
        templates: sentences that words are inserted into.
        background: the rule for sets that count background as a class; others have none. With ``words``
            COCO-Stuff's 91 stuff names mean background, except those that are classes of the set.
        windows: how an image is resized and cut.
        hubness: see :class:`~fmbseg.segment_settings.SegmentSettings`; None for the head's own value.
        preserve: whether the image-text model's own scores are mixed in.
        refine: how the result is refined.

    Raises:
        ValueError: background ``none``, with which one class would never be predicted.

    Example:
        >>> PROTOCOLS["paper"].background, PROTOCOLS["tcl"].background.threshold
        (Background(rule='words', threshold=None, at_threshold=False), 0.5)
    """

    name: str
    about: str
    templates: tuple[str, ...]
    background: Background
    windows: WindowSettings = field(default_factory=WindowSettings)
    hubness: float | None = 0.0
    preserve: KnowledgePreservation | None = None
    refine: Pamr | None = None

    def __post_init__(self) -> None:
        if self.background.rule == "none":
            raise ValueError(f"protocol {self.name!r} must define background, for sets that count it")

    def settings(self, data: SegmentationData) -> SegmentSettings:
        """The settings with which a set's images are segmented."""
        background = self.background if data.has_background else Background("none")
        return SegmentSettings(
            windows=self.windows,
            background=background,
            hubness=self.hubness,
            certainty=0.0,  # benchmarks ask for a class of every pixel
            preserve=self.preserve,
            refine=self.refine,
        )

    def vocabulary(self, data: SegmentationData, names: str = "raw") -> Vocabulary:
        """The words to segment with: the classes in the set's order, then those that mean background.

        Args:
            data: the set.
            names: ``raw`` as the benchmark writes them, ``clean`` as a person does, or the path of a file of
                words (see :meth:`fmbseg.Vocabulary.of`) for all classes except background, in the set's
                order.

        Raises:
            ValueError: the file names another number of classes.
        """
        first = 1 if data.has_background else 0
        own = data.names[first:]
        if names in ("raw", "clean"):
            words: tuple[tuple[str, ...], ...] = tuple(
                (name,) for name in (own if names == "raw" else data.clean_names[first:])
            )
        else:
            given = Vocabulary.of(Path(names))
            if len(given) != len(own):
                raise ValueError(
                    f"{names} has words for {len(given)} classes, but {data.name} has {len(own)} besides "
                    f"background: one line or entry per class, in the set's order"
                )
            words = given.prompts
        extra = self._background_words(data, words, clean=names != "raw")
        return Vocabulary(
            names=(*own, *extra),
            prompts=(*words, *((word,) for word in extra)),
            background=frozenset(range(len(own), len(own) + len(extra))),
            templates=self.templates,
        )

    def _background_words(
        self, data: SegmentationData, words: tuple[tuple[str, ...], ...], *, clean: bool
    ) -> tuple[str, ...]:
        if not data.has_background or self.background.rule != "words":
            return ()
        taken = {*data.names, *data.clean_names, *(word for each in words for word in each)}
        return tuple(word for word in coco_stuff_words(clean=clean) if word not in taken)

    def describe(self, data: SegmentationData, names: str = "raw") -> dict[str, Any]:
        """Every choice that the figures depend on, as JSON values."""
        vocabulary = self.vocabulary(data, names)
        settings = self.settings(data).describe()
        return {
            "name": self.name,
            "about": self.about,
            "class_count": len(data.names),
            "prompted_words": len(vocabulary),
            "background": _background(data, self.background, len(vocabulary.background)),
            "threshold": settings["threshold"],
            "names": names,
            "templates": list(self.templates),
            **{key: settings[key] for key in _FIXED},
            "hubness": "as suits the head" if self.hubness is None else self.hubness,
            "vocabulary_sha256": vocabulary.fingerprint,
        }


def _background(data: SegmentationData, background: Background, words: int) -> str:
    if not data.has_background:
        return "not counted"
    return f"{words} stuff words of COCO-Stuff" if background.rule == "words" else str(background)


PROTOCOLS = {
    "paper": Protocol(
        "paper",
        f"FMbSeg: one template, stuff words of COCO-Stuff as {BACKGROUND}, no refinement.",
        SIMPLE_TEMPLATES,
        Background("words"),
    ),
    "own": Protocol(
        "own",
        "fmbseg's defaults: like `paper`, with the hubness that suits the head.",
        SIMPLE_TEMPLATES,
        Background("words"),
        hubness=None,
    ),
    "tcl": Protocol(
        "tcl",
        "TCL without its refinement: nine templates, background where no similarity is above 0.5.",
        TCL_TEMPLATES,
        Background("similarity", 0.5, at_threshold=True),
        preserve=TCL_PRESERVATION,
    ),
    "tcl-pamr": Protocol(
        "tcl-pamr",
        "TCL with PAMR, as its tables are: nine templates, background where no similarity is above 0.4.",
        TCL_TEMPLATES,
        Background("similarity", 0.4, at_threshold=True),
        preserve=TCL_PRESERVATION,
        refine=Pamr(),
    ),
}
"""The protocols by name."""


def get_protocol(name: str) -> Protocol:
    """Return a protocol.

    Raises:
        UnknownNameError: the name is unknown; near misses are offered.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
