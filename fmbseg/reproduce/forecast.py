"""What a reproduction would need: sets and weights that are here or missing, gigabytes, and hours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.devices import device_name, find_device
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.mask_files import DataSetError
from fmbseg.images import load_image
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.methods import ModelPool, load_method
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.recipes import get_recipe
from fmbseg.recipes.sources import describe_recipe
from fmbseg.reproduce.plan import Evaluate, Fit, Label
from fmbseg.reproduce.sets import TRAINING, FoundSet, look_for, look_for_training, training_photographs
from fmbseg.sources.stored_path import local
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.devices import Device
    from fmbseg.reproduce.plan import Plan, Step

PROBED = 5
"""Photographs that the hours are forecast from."""
_HOUR = 3600.0
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Probe:
    """What a few photographs took.

    Args:
        label: seconds to label one.
        features: seconds to encode one for the training.
        epoch: seconds that one takes in a pass of the training, its features known.
        segment: seconds to segment one with a head.
        gigabytes: of its labels.
        cached: gigabytes of its features.
        photographs: that were probed.
        device: where.
    """

    label: float
    features: float
    epoch: float
    segment: float
    gigabytes: float
    cached: float
    photographs: int
    device: str


@dataclass(frozen=True)
class Needs:
    """What a plan needs.

    Args:
        plan: that it is about.
        sets: to label and to measure on.
        weights: the recipe, as :func:`fmbseg.recipes.sources.describe_recipe` tells it.
        probe: what a few photographs took; None where nothing could be probed.
        why: nothing could be probed.
    """

    plan: Plan
    sets: tuple[FoundSet, ...]
    weights: dict[str, Any]
    probe: Probe | None
    why: str = ""

    @property
    def complete(self) -> bool:
        """Whether everything is here."""
        return all(one.here for one in self.sets) and not self.missing_weights

    @property
    def missing_weights(self) -> list[dict[str, Any]]:
        """Sources of weights that are not here."""
        return _missing(self.weights)

    @property
    def missing_gigabytes(self) -> tuple[float, float]:
        """To fetch: of sets, each source once, and of weights."""
        sets = {one.source: one.gigabytes for one in self.sets if not one.here}
        return sum(sets.values()), float(self.weights["missing_gb"])

    def hours(self) -> dict[str, float] | None:
        """Of each step; None where nothing could be probed."""
        if self.probe is None:
            return None
        return {step.name: self._seconds(step) / _HOUR for step in self.plan.steps}

    def disk_gigabytes(self) -> float | None:
        """Of labels and features that are made; None where nothing could be probed."""
        if self.probe is None:
            return None
        labels = sum(self._count(step) for step in self.plan.steps if isinstance(step, Label))
        budget = self._training({}).cache_gb
        return labels * self.probe.gigabytes + min(labels * self.probe.cached, budget)

    def _seconds(self, step: Step) -> float:
        assert self.probe is not None
        count = self._count(step)
        if isinstance(step, Label):
            return count * self.probe.label
        if isinstance(step, Evaluate):
            untrained = step.fit is None and step.method.startswith(("stage1:", "concept:"))
            return count * (self.probe.label if untrained else self.probe.segment)
        settings = self._training(step.settings)
        kept = count * self.probe.cached <= settings.cache_gb
        encoded = 1 if kept else settings.epochs
        return count * (encoded * self.probe.features + settings.epochs * self.probe.epoch)

    def _training(self, changed: Any) -> TrainingSettings:
        return TrainingSettings.from_dict({**get_recipe(self.plan.recipe).training, **changed})

    def _count(self, step: Step) -> int:
        """Photographs of a step."""
        if isinstance(step, Fit):
            return self._count(self.plan.step(step.labels))
        name = _set_name(step)
        images = next(one.images for one in self.sets if one.name == name)
        return images if self.plan.limit is None else min(images, self.plan.limit)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        hours = self.hours()
        return {
            "recipe": self.plan.recipe,
            "limit": self.plan.limit,
            "complete": self.complete,
            "sets": [
                {
                    "name": one.name,
                    "here": one.here,
                    "images": one.images,
                    "lacks": one.lacks,
                    "source": one.source,
                    "gigabytes": one.gigabytes,
                }
                for one in self.sets
            ],
            "weights": self.weights,
            "missing_gigabytes": dict(zip(("sets", "weights"), self.missing_gigabytes, strict=True)),
            "disk_gigabytes": self.disk_gigabytes(),
            "hours": hours,
            "hours_in_all": None if hours is None else sum(hours.values()),
            "not_probed": self.why,
            "device": None if self.probe is None else self.probe.device,
        }

    def lines(self) -> list[str]:
        """As lines to print."""
        told = [f"{self.plan.title}: {len(self.plan.steps)} steps"]
        for one in self.sets:
            state = "here" if one.here else f"missing: {one.lacks}"
            told.append(f"  {one.name:<28} {one.images:>7,} photographs  {state}")
        missing = dict.fromkeys(one.source for one in self.sets if not one.here)
        told += [f"    get it here: {place}" for place in missing]
        for model in self.weights["models"]:
            state = "missing" if any(not one["here"] for one in model["sources"]) else "here"
            places = ", ".join(f"{one['place']} ({one['gigabytes']:.2f} GB)" for one in model["sources"])
            told.append(f"  {model['spec']:<44} {state}  {places}")
        sets, weights = self.missing_gigabytes
        told.append(f"to fetch: about {sets:.1f} GB of photographs, {weights:.2f} GB of weights")
        hours = self.hours()
        if hours is None:
            return [*told, f"hours: not known, {self.why}"]
        assert self.probe is not None
        told.append(f"to write: about {self.disk_gigabytes():.2g} GB of labels and features")
        told += [f"  {name:<44} {_told(value)}" for name, value in hours.items()]
        told.append(
            f"in all: {_told(sum(hours.values()))} on {self.probe.device}, from a probe of "
            f"{self.probe.photographs} photographs"
        )
        return told


def forecast(plan: Plan, root: str | Path, *, hub: HubOptions | None = None, device: Device = None) -> Needs:
    """Say what a plan needs; nothing is fetched, and nothing is left behind.

    Hours come from a probe of five photographs: those that would be labelled or, where these are missing, of
    a set that is here. They are known only where all weights are here.

    Args:
        plan: from :mod:`fmbseg.reproduce.plan`.
        root: the data folder.
        hub: how files of models are found.
        device: where to compute.
    """
    hub, base = hub or HubOptions(), Path(root)
    sets: dict[str, FoundSet] = {}
    for step in plan.steps:
        if isinstance(step, Label):
            sets.setdefault(_set_name(step), look_for_training(step.data, base))
        elif isinstance(step, Evaluate):
            sets.setdefault(step.data, look_for(step.data, base))
    weights, found = describe_recipe(get_recipe(plan.recipe), hub), tuple(sets.values())
    if missing := _missing(weights):
        return Needs(plan, found, weights, None, f"{missing[0]['place']} is not here")
    photographs = _some(plan, base)
    if not photographs:
        return Needs(plan, found, weights, None, "there are no photographs to probe")
    here = HubOptions(hub.revision, hub.cache_dir, local_files_only=True, token=hub.token)
    probe = _probed(plan, photographs, here, device)
    return Needs(plan, found, weights, probe)


def _missing(weights: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for model in weights["models"] for one in model["sources"] if not one["here"]]


def _set_name(step: Label | Evaluate) -> str:
    return step.data if isinstance(step, Evaluate) else f"{step.data}, {TRAINING[step.data].split}"


def _some(plan: Plan, root: Path) -> list[Path]:
    """A few photographs: those to be labelled, or else some to be measured on."""
    return next(filter(None, (_of_step(step, root) for step in plan.steps)), [])


def _of_step(step: Step, root: Path) -> list[Path]:
    try:
        if isinstance(step, Label):
            return training_photographs(step.data, root, PROBED)
        if isinstance(step, Evaluate):
            return [local(sample.image) for sample in open_data(step.data, root).samples[:PROBED]]
    except DataSetError:
        pass  # it is told as missing
    return []


def _probed(plan: Plan, photographs: Sequence[Path], hub: HubOptions, device: Device) -> Probe:
    """Label, fit and segment a few photographs in a folder that is then removed."""
    recipe, on = get_recipe(plan.recipe), find_device(device)
    words = Vocabulary.of("coco_stuff171:clean")
    with TemporaryDirectory() as folder:
        work = Path(folder)
        labeler = PseudoLabeler(recipe.name, device=on, hub=hub)
        labeler.label_image(load_image(photographs[0]), words)  # loads what is loaded late
        label, labels = _timed(lambda: labeler.label(photographs, words, work / "labels", progress=False))
        size = sum(path.stat().st_size for path in (work / "labels").glob("*.parquet"))

        def fitted(epochs: int) -> Aligner:
            settings = TrainingSettings.from_dict({**recipe.training, "epochs": epochs})
            aligner = Aligner(
                recipe=recipe.name, settings=settings, features_dir=work / "features", device=on, hub=hub
            )
            return aligner.fit(labels, progress=False)

        first, aligner = _timed(lambda: fitted(1))
        again, _ = _timed(lambda: fitted(1))
        longer, _ = _timed(lambda: fitted(3))
        epoch = max(longer - again, 0.0) / 2
        aligner.save_pretrained(work / "head")
        method = load_method(str(work / "head"), ModelPool(device=on, hub=hub))
        images = [load_image(path) for path in photographs]
        method.segment(images[0], words)
        segment, _ = _timed(lambda: [method.segment(image, words) for image in images])
        count = len(photographs)
        return Probe(
            label=label / count,
            features=max(first - again, 0.0) / count,
            epoch=epoch / count,
            segment=segment / count,
            gigabytes=size / count / _GIGABYTE,
            cached=aligner.feature_gigabytes(labels) / count,
            photographs=count,
            device=device_name(on),
        )


def _timed(do: Callable[[], Any]) -> tuple[float, Any]:
    start = perf_counter()
    made = do()
    return perf_counter() - start, made


def _told(hours: float) -> str:
    """A time in hours, or in minutes where it is less than one.

    Example:
        >>> _told(12.34), _told(0.05)
        ('12.3 h', '3.0 min')
    """
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
