"""A recipe is a named combination of models, with settings that suit them and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg.segment_settings import SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.models.catalog import Role


class MemoryNeed(NamedTuple):
    """Roughly how much memory a recipe needs, in gigabytes (1e9 bytes), in the stage that needs most.

    Attributes:
        gpu: memory of a GPU.
        cpu: memory of a machine without a GPU; ``None`` if a photograph would take minutes there.
    """

    gpu: float
    cpu: float | None


@dataclass(frozen=True)
class Recipe:
    """The frozen models of a run, as specs ``family:name``.

    Args:
        name: the recipe's name.
        title: its models in a few words.
        image_text: the image-text model, whose texts the head learns. If there is no teacher, it also says
            what an image shows and roughly where.
        backbone: the encoder whose features are aligned with the text space.
        mask_generator: the model that cuts an image into masks; ``None`` if a teacher does.
        teacher: a concept model that names and cuts out in one step, instead of the other two in Stage 1.
        mask_options: options of the mask generator that differ from its defaults.
        labeling: settings of Stage 1 that differ from the defaults of ``LabelingSettings``; of no use to a
            teacher.
        training: settings of Stage 2 that differ from the defaults of ``TrainingSettings``.
        head: a packaged head for these models (see :mod:`fmbseg.heads`), if there is one.
        hubness: the value that suits its heads (see :class:`~fmbseg.segment_settings.SegmentSettings`).
        segmenting: settings with which the packaged head segments if none are given.
        memory: memory that it needs.
        measured: what was measured with it.
        never_measured: what was not measured.
    """

    name: str
    title: str
    image_text: str
    backbone: str
    mask_generator: str | None = None
    teacher: str | None = None
    mask_options: Mapping[str, Any] = field(default_factory=dict)
    labeling: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    head: str | None = None
    hubness: float = 0.0
    segmenting: SegmentSettings = field(default_factory=SegmentSettings)
    memory: MemoryNeed = field(default_factory=lambda: MemoryNeed(0, 0))
    measured: str = "nothing"
    never_measured: str = "everything"

    @property
    def models(self) -> dict[Role, str]:
        """The specs by role, in the order of their use."""
        named: dict[Role, str | None] = {
            "concept model": self.teacher,
            "image-text encoder": self.image_text,
            "mask generator": self.mask_generator,
            "backbone": self.backbone,
        }
        return {role: spec for role, spec in named.items() if spec is not None}
