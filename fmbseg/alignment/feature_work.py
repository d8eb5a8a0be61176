"""Features on an engine: workers encode photographs and keep what comes out in the folder that all share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fmbseg.alignment.features import FeatureCache
from fmbseg.devices import find_device
from fmbseg.engines.watch import Watch
from fmbseg.models.dense import DenseBackbone
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from fmbseg.alignment.training_example import TrainingExample
    from fmbseg.engines.engine import Engine
    from fmbseg.models.contracts import Backbone, ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.progress import Progress
    from fmbseg.registry import Registry

ModelT = TypeVar("ModelT", "Backbone", "ImageTextEncoder")

_CHUNK = 256
"""Photographs of a unit, each of which is a file of features."""


class DenseMap(NamedTuple):
    """The dense map of an image-text encoder in the place of a backbone, to be made where it is needed.

    Attributes:
        encoder: its spec, or itself if it can be pickled.
        stride: pixels between the cells of the map.
    """

    encoder: ImageTextEncoder | str
    stride: int


@dataclass(frozen=True)
class FeatureWork:
    """Makes a worker; picklable.

    Args:
        backbone: its spec, or itself if it can be pickled; or a dense map in its place.
        hub: how its files are found.
        device: that was asked for.
        folder: of features, the same for all workers.
    """

    backbone: Backbone | DenseMap | str
    hub: HubOptions | None
    device: str | None
    folder: Path

    def __call__(self) -> Callable[[Sequence[TrainingExample], Callable[[int], None]], int]:
        """Load the model; the worker takes photographs, and returns how many it has kept."""
        device = find_device(self.device)
        backbone = self._made(device)
        cache = FeatureCache(backbone, device, self.folder, float("inf"))
        cache.open([])

        def work(examples: Sequence[TrainingExample], tell: Callable[[int], None]) -> int:
            try:
                for _ in cache.fill(examples):
                    tell(1)
            finally:
                cache.close()  # what is said to be done is on the disk
            return len(examples)

        return work

    def _made(self, device: torch.device) -> Backbone:
        named = self.backbone
        if isinstance(named, str):
            return create_model(BACKBONES, named, self.hub)
        if not isinstance(named, DenseMap):
            return named
        encoder, stride = named
        made = create_model(IMAGE_TEXT, encoder, self.hub) if isinstance(encoder, str) else encoder
        return DenseBackbone(made.to(device), stride)


def sent_as(model: ModelT, kind: Registry[ModelT]) -> ModelT | str:
    """What is sent of a model: its spec, from which a worker loads it; itself where no spec makes it."""
    try:
        kind.get(model.spec.partition(":")[0])
    except UnknownNameError:
        return model
    return model.spec


def fill_on(
    engine: Engine, work: FeatureWork, examples: Sequence[TrainingExample], name: str, bars: Progress
) -> None:
    """Compute features that are not kept yet.

    Args:
        engine: that does the work.
        work: what each worker does.
        examples: whose features are wanted.
        name: what to call them in the bars.
        bars: where to show how far they are.

    Raises:
        EngineError: no worker is fit.
        WorkFailedError: photographs failed on every try.
    """
    chunks = [examples[start : start + _CHUNK] for start in range(0, len(examples), _CHUNK)]
    with engine.crew(work, device=work.device) as crew:
        watch = Watch(bars, bars.bar(name, len(examples)), crew)
        for _, count in crew.map(chunks):
            watch.done(count)
