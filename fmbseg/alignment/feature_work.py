"""Features on an engine: workers encode photographs and keep what comes out in the folder that all share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmbseg.alignment.features import FeatureCache
from fmbseg.devices import find_device
from fmbseg.engines.watch import Watch
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fmbseg.alignment.training_example import TrainingExample
    from fmbseg.engines.engine import Engine
    from fmbseg.models.contracts import Backbone
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.progress import Progress

_CHUNK = 256
"""Photographs of a unit, each of which is a file of features."""


@dataclass(frozen=True)
class FeatureWork:
    """Makes a worker; picklable.

    Args:
        backbone: its spec, or itself if it can be pickled.
        hub: how its files are found.
        device: that was asked for.
        folder: of features, the same for all workers.
    """

    backbone: Backbone | str
    hub: HubOptions | None
    device: str | None
    folder: Path

    def __call__(self) -> Callable[[Sequence[TrainingExample], Callable[[int], None]], int]:
        """Load the backbone; the worker takes photographs, and returns how many it has kept."""
        named = self.backbone
        backbone = create_model(BACKBONES, named, self.hub) if isinstance(named, str) else named
        cache = FeatureCache(backbone, find_device(self.device), self.folder, float("inf"))
        cache.open([])

        def work(examples: Sequence[TrainingExample], tell: Callable[[int], None]) -> int:
            try:
                for _ in cache.fill(examples):
                    tell(1)
            finally:
                cache.close()  # what is said to be done is on the disk
            return len(examples)

        return work


def sent_as(backbone: Backbone) -> Backbone | str:
    """What is sent of a backbone: its spec, from which a worker loads it; itself where no spec makes it."""
    try:
        BACKBONES.get(backbone.spec.partition(":")[0])
    except UnknownNameError:
        return backbone
    return backbone.spec


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
