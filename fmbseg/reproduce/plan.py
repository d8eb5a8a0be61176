"""What a reproduction does, as data: steps that need one another's results, and rows of a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from fmbseg.alignment.settings import LossName
from fmbseg.evaluation.table import COLUMNS
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE
from fmbseg.methods.load import check_method
from fmbseg.recipes import get_recipe
from fmbseg.reproduce.sets import TRAINING, check_sets
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COCO, _ADE = "coco_stuff171", "ade20k150"
PROTOCOL = "paper"


@dataclass(frozen=True)
class Label:
    """Label the photographs of a set (Stage 1) with the names of its classes.

    Args:
        name: of the step.
        data: the set.
        known: whether each photograph's classes are told, as its masks have them (the paper's variant with
            image-level labels).
    """

    name: str
    data: str
    known: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Steps whose results it takes."""
        return ()


@dataclass(frozen=True)
class Fit:
    """Fit a head on labels (Stage 2).

    Args:
        name: of the step.
        labels: the step that makes them.
        stages: masks of these stages only; all where empty.
        fraction: of the masks of Stage 1.2, drawn anew; as they were drawn where None.
        settings: of the training, that differ from the recipe's.
        start: the step that fitted the head to go on from.
    """

    name: str
    labels: str
    stages: tuple[int, ...] = ()
    fraction: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Steps whose results it takes."""
        return (self.labels,) if self.start is None else (self.labels, self.start)


@dataclass(frozen=True)
class Evaluate:
    """Measure a method on a set.

    Args:
        name: of the step.
        data: the set.
        fit: the step that fitted the head; None for a method by its spec.
        method: the spec.
    """

    name: str
    data: str
    fit: str | None = None
    method: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """Steps whose results it takes."""
        return () if self.fit is None else (self.fit,)


Step = Label | Fit | Evaluate


@dataclass(frozen=True)
class TableLine:
    """A row of the table.

    Args:
        name: what was done.
        cells: the step that measures it, by set.
    """

    name: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """The steps in an order in which each comes after those that it needs, and the rows made of them.

    Args:
        recipe: names the models and their settings.
        steps: to do.
        rows: of the table.
        limit: photographs of each set, from the start; None for all.

    Example:
        >>> [step.name for step in table_1("base", ["voc21"]).steps]
        ['labels', 'head', 'eval-voc21']
    """

    recipe: str
    steps: tuple[Step, ...]
    rows: tuple[TableLine, ...]
    limit: int | None = None

    def step(self, name: str) -> Step:
        """A step by its name."""
        return next(step for step in self.steps if step.name == name)

    @property
    def whole(self) -> bool:
        """Whether it is the paper's own: its recipe, and all photographs."""
        return self.recipe == "paper" and self.limit is None

    @property
    def title(self) -> str:
        """What its rows are, in few words."""
        cut = "" if self.limit is None else f", first {self.limit} photographs of each set"
        return f"fmbseg, recipe {self.recipe}{cut}"

    def to_dict(self, step: Step) -> dict[str, Any]:
        """All of a step that its result depends on, but for the results of others, as JSON values."""
        recipe = get_recipe(self.recipe)
        told: dict[str, Any] = {"step": {**asdict(step), "kind": type(step).__name__}, "limit": self.limit}
        if isinstance(step, Label):
            told["models"] = recipe.models
            own = asdict(LabelingSettings.from_dict(recipe.labeling))
            told["settings"] = {**own, "masks": dict(recipe.mask_options)}
        elif isinstance(step, Fit):
            told["models"] = recipe.models
            told["settings"] = dict(recipe.training)
        else:
            told["protocol"] = PROTOCOL
        return told


def table_1(
    recipe: str = "paper",
    sets: Sequence[str] = tuple(COLUMNS),
    *,
    beside: Sequence[str] = (),
    limit: int | None = None,
) -> Plan:
    """The paper's Table 1: label COCO-Stuff's photographs, fit a head, measure it on each set.

    Args:
        recipe: names the models and their settings.
        sets: to measure on.
        beside: specs of methods to measure as well (see :func:`fmbseg.methods.load_method`).
        limit: photographs of each set, from the start.

    Raises:
        UnknownNameError: a recipe, a set or a part of a method that does not exist.
        ValueError: a limit below 1, or a set named twice.
    """
    plan = _Plan(recipe, sets, limit)
    plan.head("head", "", plan.label("labels", _COCO))
    for number, method in enumerate(beside, start=1):
        plan.method(f"beside-{number}", method)
    return plan.made()


def ablation(
    kind: str, recipe: str = "paper", sets: Sequence[str] = (_COCO,), *, limit: int | None = None
) -> Plan:
    """One of the appendix's tables, of which the paper quotes little.

    Args:
        kind: ``stage`` (Stage 1.1, 1.2 and both: heads trained on their masks, and the masks themselves),
            ``draw`` (25 to 100 % of the masks of Stage 1.2), ``labels`` (classes told by image-level labels,
            or found), ``loss``, or ``finetune`` (the head goes on with ADE20K's own photographs, without
            their masks).
        recipe: names the models and their settings.
        sets: to measure on; ``finetune`` measures on ADE20K.
        limit: photographs of each set, from the start.

    Raises:
        UnknownNameError: there is no such ablation, recipe or set.
        ValueError: a limit below 1, or a set named twice.
    """
    if kind not in ABLATIONS:
        raise UnknownNameError("ablation", kind, ABLATIONS)
    plan = _Plan(recipe, (_ADE,) if kind == "finetune" else sets, limit)
    ABLATIONS[kind](plan, plan.label("labels", _COCO))
    return plan.made()


class _Plan:
    """A plan in the making."""

    def __init__(self, recipe: str, sets: Sequence[str], limit: int | None) -> None:
        get_recipe(recipe)
        check_sets(sets)
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}: it must be 1 photograph or more")
        self._recipe, self._sets, self._limit = recipe, sets, limit
        self._steps: list[Step] = []
        self._rows: list[TableLine] = []

    @property
    def recipe(self) -> str:
        return self._recipe

    def label(self, name: str, data: str, *, known: bool = False) -> str:
        assert data in TRAINING
        self._steps.append(Label(name, data, known))
        return name

    def head(self, name: str, told: str, labels: str, **changed: Any) -> str:
        """Fit a head and measure it on every set."""
        self._steps.append(Fit(name, labels, **changed))
        cells = {data: f"eval-{data}" if name == "head" else f"eval-{name}-{data}" for data in self._sets}
        self._steps += [Evaluate(step, data, fit=name) for data, step in cells.items()]
        self._rows.append(TableLine(told, cells))
        return name

    def method(self, name: str, spec: str) -> None:
        """Measure a method on every set."""
        check_method(spec)
        cells = {data: f"eval-{name}-{data}" for data in self._sets}
        self._steps += [Evaluate(step, data, method=spec) for data, step in cells.items()]
        self._rows.append(TableLine(spec, cells))

    def made(self) -> Plan:
        return Plan(self._recipe, tuple(self._steps), tuple(self._rows), self._limit)


def _stages(plan: _Plan, labels: str) -> None:
    stages = {"1.1": (POINT_STAGE,), "1.2": (EVERYTHING_STAGE,), "both": ()}
    for name, which in stages.items():
        plan.head(f"head-{name}", f"trained on masks of {name}", labels, stages=which)
    if get_recipe(plan.recipe).teacher is None:
        for part in ("@1.1", "@1.2", ""):
            plan.method(f"untrained-{part[1:] or 'both'}", f"stage1:{plan.recipe}{part}")


def _draws(plan: _Plan, labels: str) -> None:
    for percent in (25, 50, 75, 100):
        plan.head(f"head-{percent}", f"{percent} % of the masks of 1.2", labels, fraction=percent / 100)


def _known(plan: _Plan, labels: str) -> None:
    plan.head("head-found", "classes found", labels)
    plan.head("head-told", "image-level labels", plan.label("labels-told", _COCO, known=True))
    for part in ("", "@labels"):
        plan.method(f"untrained{part.replace('@', '-')}", f"stage1:{plan.recipe}{part}")


def _losses(plan: _Plan, labels: str) -> None:
    for loss in get_args(LossName):
        plan.head(f"head-{loss}", f"loss {loss}", labels, settings={"loss": loss})


def _finetuned(plan: _Plan, labels: str) -> None:
    start = plan.head("head", "trained on COCO-Stuff", labels)
    target = plan.label("labels-ade20k", _ADE)
    plan.head("head-finetuned", "and on ADE20K, without its labels", target, start=start)


ABLATIONS = {"stage": _stages, "draw": _draws, "labels": _known, "loss": _losses, "finetune": _finetuned}
"""What makes each ablation's plan."""
