"""A run of Stage 1 on an engine, as the one who asked for it sees it: shards out, counts back."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fmbseg.devices import find_device
from fmbseg.engines.watch import Watch
from fmbseg.labeling.look_ahead import planned
from fmbseg.labeling.shard_work import LabelWork, Shard
from fmbseg.labels.claimed import JOURNAL, Claimed
from fmbseg.labels.manifest import recorded_recipe, shard_length, shard_positions
from fmbseg.part import Part
from fmbseg.progress import Progress
from fmbseg.recipes import AUTO
from fmbseg.recipes.auto import decided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fmbseg.engines.crew import Crew
    from fmbseg.engines.engine import Engine
    from fmbseg.labeling.image_labels import ImageLabels, ImageLabelSource
    from fmbseg.labeling.shard_work import Labeler
    from fmbseg.labels.place import Place
    from fmbseg.sources.contract import Source
    from fmbseg.vocabulary import Vocabulary


class EngineRun(NamedTuple):
    """What is to be labelled, and how, whichever engine does it.

    Attributes:
        photographs: wherever they are.
        classes: to look for.
        out: folder or URI of the label set.
        image_labels: the classes that photographs are known to show.
        shard_size: photographs a shard.
        part: of the run.
        workers: photographs that one worker labels at once.
    """

    photographs: Source
    classes: Vocabulary
    out: Place
    image_labels: ImageLabelSource | None
    shard_size: int
    part: Part | None
    workers: int


def label_on(
    engine: Engine, make: Callable[..., Labeler], given: Mapping[str, Any], run: EngineRun, *, shown: bool
) -> None:
    """Label on an engine. No model is loaded here, and of a shard that is done only counts are held.

    Args:
        engine: that does the work.
        make: :class:`fmbseg.PseudoLabeler`.
        given: its arguments, which are sent to the workers; models as specs, or picklable.
        run: what is to be done.
        shown: whether there is a bar.

    Raises:
        EngineError: no worker is fit.
        WorkFailedError: shards failed on every try; all others are written.
        ValueError: ``out`` holds labels of another configuration.
    """
    source = run.photographs
    work = LabelWork(
        partial(make, **_decided(given, run.out)),
        source,
        run.classes,
        len(source.keys()),
        run.out,
        run.workers,
    )
    device = given.get("device")
    asked = None if device is None else str(device)
    with Progress(shown) as bars, engine.crew(work, device=asked) as crew:
        crew.note = bars.note
        ((_, described),) = crew.map([None])
        for told in (*described.warned, *filter(None, [described.left_out])):
            warnings.warn(told, stacklevel=4)
        plan = planned(described.origin, run.classes, source, run.out, run.image_labels, run.shard_size)
        with Claimed(run.out, plan.manifest, run.part) as claimed:
            _label(crew, claimed, run, plan.known, bars)
            if not set(claimed.absent) - set(claimed.absent_of(run.part or Part())):
                (claimed.work / JOURNAL).unlink(missing_ok=True)  # of an earlier run in one process


def _decided(given: Mapping[str, Any], out: Place) -> dict[str, Any]:
    """The arguments with the recipe decided, so that all workers take the same."""
    whole = given.get("image_text") is not None and given.get("mask_generator") is not None
    if given.get("teacher") is not None or whole:
        return dict(given)
    device, recorded = find_device(given.get("device")), recorded_recipe(out)
    return {**given, "recipe": decided(given.get("recipe", AUTO), given.get("hub"), device, recorded, out)}


def _label(crew: Crew, claimed: Claimed, run: EngineRun, known: ImageLabels, bars: Progress) -> None:
    manifest, part = claimed.manifest, run.part or Part()
    todo = claimed.absent_of(part)
    own = part.take(range(-(-len(run.photographs.keys()) // run.shard_size)))
    total = sum(shard_length(manifest, index) for index in own)
    left = sum(shard_length(manifest, index) for index in todo)
    watch = Watch(bars, bars.bar("labelling", total, done=total - left), crew)
    for _, labelled in crew.map(_shards(todo, claimed, run.photographs.keys(), known)):
        watch.done(labelled.photographs, labelled.failures)


def _shards(
    todo: Iterable[int], claimed: Claimed, paths: Sequence[str], known: ImageLabels
) -> Iterator[Shard]:
    for index in todo:
        places = shard_positions(claimed.manifest, index)
        names = tuple(paths[places.start : places.stop])
        yield Shard(index, claimed.manifest["hash"], names, tuple(known.of(name) for name in names))
