"""Carry out a plan: every step is done once, goes on where it was stopped, and is known by what went in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fmbseg
from fmbseg.aligned.saved import SavedHead
from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.checksums import read_sealed_json, sealed
from fmbseg.devices import find_device
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.evaluate import evaluate, merge_runs
from fmbseg.evaluation.journal import RunError, differences
from fmbseg.evaluation.report import REPORT_FILE
from fmbseg.files import encode
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.labels.joined import join
from fmbseg.labels.label_set import LabelSet
from fmbseg.methods import ModelPool, load_method
from fmbseg.part import Part
from fmbseg.recipes import get_recipe
from fmbseg.reproduce.plan import PROTOCOL, Evaluate, Fit, Label
from fmbseg.reproduce.result import RESULT_FILES, Cell, ReproducedTable
from fmbseg.reproduce.sets import TRAINING, training_photographs
from fmbseg.sources.stored_path import local
from fmbseg.vocabulary import Vocabulary
from fmbseg.written import WrittenFiles, check_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.devices import Device
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes import Recipe
    from fmbseg.reproduce.plan import Plan, Step

KIND = "reproduction"
_STEP = "step.json"
_SHARD = 1000


class Waiting(Exception):  # noqa: N818 - nothing is wrong
    """This part has done its share of a step, and others have not."""


@dataclass(frozen=True)
class Workshop:
    """Where a reproduction reads and writes, and how it computes.

    Args:
        root: the data folder of TCL and mmsegmentation.
        out: folder of the results.
        hub: how files of models are found.
        device: where to compute.
        part: of the labelling and of each measurement, where several processes share ``out``.
        progress: whether to show bars.
        say: takes a line for each step.
    """

    root: Path
    out: Path
    hub: HubOptions | None = None
    device: Device = None
    part: Part = field(default_factory=Part)
    progress: bool = False
    say: Callable[[str], None] = lambda _line: None


def reproduce(
    plan: Plan,
    root: str | Path,
    out: str | Path,
    *,
    hub: HubOptions | None = None,
    device: Device = None,
    part: Part | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda _line: None,
) -> ReproducedTable:
    """Carry out a plan; what was stopped goes on, and what is done is not done again.

    Args:
        plan: from :func:`~fmbseg.reproduce.plan.table_1` or :func:`~fmbseg.reproduce.plan.ablation`.
        root: the data folder of TCL and mmsegmentation.
        out: folder of the results: labels, heads, measurements and the table.
        hub: how files of models are found.
        device: where to compute; by default the best there is.
        part: this process's part of the labelling and of each measurement; all use one ``out``. The first
            part fits the heads.
        progress: whether to show bars.
        say: takes a line for each step.

    Returns:
        The table.

    Raises:
        DataSetError: a set is not here; all are looked for before any work.
        RunError: ``out`` holds a step of another plan; the message says what differs.
        Waiting: this part has done what it can, and waits for others.

    Example:
        Five photographs of each set, on a machine without a GPU::

            table = reproduce(table_1("base", limit=5), "data/", "runs/few")
            print(table.to_markdown())
    """
    place = Workshop(Path(root), Path(out), hub, find_device(device), part or Part(), progress, say)
    check_folder(place.out, KIND, RESULT_FILES)
    run = _Run(plan, place)
    run.check()
    for number, step in enumerate(plan.steps, start=1):
        run.do(step, f"{number} of {len(plan.steps)}, {step.name}")
    table = ReproducedTable(
        plan, {step.name: run.cell(step) for step in plan.steps if isinstance(step, Evaluate)}
    )
    with WrittenFiles(place.out, KIND) as files:
        table.write(files)
    return table


class _Run:
    """The steps of a plan, with the digests of those that are done."""

    def __init__(self, plan: Plan, place: Workshop) -> None:
        self._plan, self._place = plan, place
        self._recipe: Recipe = get_recipe(plan.recipe)
        self._done: dict[str, str] = {}
        self._pool: ModelPool | None = None

    def check(self) -> None:
        """Refuse what can be refused before any work: sets that are not here."""
        for step in self._plan.steps:
            if isinstance(step, Label):
                training_photographs(step.data, self._place.root)
            elif isinstance(step, Evaluate):
                open_data(step.data, self._place.root)

    def do(self, step: Step, told: str) -> None:
        """Do a step that is not done yet, or not with what goes in now."""
        wanted = self._inputs(step)
        if (known := self._known(step, wanted)) is not None:
            self._done[step.name] = known
            self._place.say(f"{told}: done before")
            return
        self._place.say(told)
        if isinstance(step, Label):
            result = self._label(step)
        elif isinstance(step, Fit):
            result = self._fit(step)
        else:
            result = self._evaluate(step)
        with WrittenFiles(self._noted(step), KIND) as files:
            files.write(_STEP, encode(json.dumps(sealed({"inputs": wanted, "result": result}), indent=2)))
        self._done[step.name] = result

    def cell(self, step: Evaluate) -> Cell:
        """What a step measured."""
        report = read_sealed_json(self._folder(step) / REPORT_FILE)
        ends = report["intervals"]["miou"]
        return Cell(
            miou=report["figures"]["miou"],
            interval=None if ends is None else (ends[0], ends[1]),
            photographs=report["measured"],
            failures=len(report["failures"]),
        )

    def _folder(self, step: Step) -> Path:
        return self._place.out / step.name

    def _noted(self, step: Step) -> Path:
        return self._place.out / "steps" / step.name

    def _inputs(self, step: Step) -> dict[str, Any]:
        """All that a step's result depends on."""
        given = {**self._plan.to_dict(step), "fmbseg": fmbseg.__version__}
        given["needs"] = {name: self._done[name] for name in step.needs}
        if isinstance(step, Label):
            given["photographs"] = _listed(self._photographs(step))
        elif isinstance(step, Evaluate):
            samples = open_data(step.data, self._place.root).samples[: self._plan.limit]
            given["photographs"] = _listed([local(sample.image) for sample in samples])
        found: dict[str, Any] = json.loads(json.dumps(given))
        return found

    def _known(self, step: Step, wanted: dict[str, Any]) -> str | None:
        """The digest of the result that is there, if it was made of the same.

        Raises:
            RunError: it was made of something else.
        """
        try:
            noted = read_sealed_json(self._noted(step) / _STEP)
        except OSError:
            return None
        if changed := differences(noted["inputs"], wanted):
            raise RunError(
                f"{self._place.out} holds the step {step.name} of another plan, which differs in {changed}: "
                "give a new folder, or delete this one"
            )
        try:
            result = self._digest(step)
        except (OSError, ValueError):  # gone or damaged: it is made again
            return None
        return result if result == noted["result"] else None

    def _digest(self, step: Step) -> str:
        """Of a step's result on disk."""
        folder = self._folder(step)
        if isinstance(step, Label):
            return LabelSet(folder).fingerprint
        if isinstance(step, Fit):
            return SavedHead.read(folder).digest()
        return sha256(json.dumps(read_sealed_json(folder / REPORT_FILE)).encode()).hexdigest()

    def _photographs(self, step: Label) -> list[Path]:
        return training_photographs(step.data, self._place.root, self._plan.limit)

    def _label(self, step: Label) -> str:
        photographs, words = self._photographs(step), Vocabulary.of(f"{step.data}:clean")
        labeler = PseudoLabeler(self._recipe.name, device=self._place.device, hub=self._place.hub)
        part = self._place.part
        # As many files of labels as parts, at least: a part is made of whole files.
        size = min(_SHARD, -(-len(photographs) // part.count))

        def label(folder: Path, of: Part | None) -> None:
            labeler.label(
                photographs,
                words,
                folder,
                image_labels=self._told(step) if step.known else None,
                shard_size=size,
                part=of,
                progress=self._place.progress,
            )

        if part.count == 1:
            label(self._folder(step), None)
        else:
            label(self._of_part(step, part), part)
            parts = _parts(part.count)
            self._wait(step, parts, lambda other: LabelSet(self._of_part(step, other), other))
            join([self._of_part(step, other) for other in parts], self._folder(step))
        return self._digest(step)

    def _told(self, step: Label) -> dict[str, list[str]]:
        """The classes that each photograph's masks have."""
        data = open_data(step.data, self._place.root, split=TRAINING[step.data].split)
        told = {}
        for sample in data.samples[: self._plan.limit]:
            _, target = data.load(sample)
            there = np.unique(target[target >= 0]).tolist()
            told[str(local(sample.image).absolute())] = [data.clean_names[index] for index in there]
        return told

    def _fit(self, step: Fit) -> str:
        if self._place.part.index != 1:
            raise Waiting(f"part 1 fits {step.name}: start this part again when it has")
        settings = TrainingSettings.from_dict({**self._recipe.training, **step.settings})
        where: dict[str, Any] = {"device": self._place.device, "hub": self._place.hub}
        if step.start is None:
            aligner = Aligner(recipe=self._recipe.name, settings=settings, **where)
        else:
            aligner = Aligner.from_pretrained(self._place.out / step.start, settings=settings, **where)
        aligner.fit(
            self._chosen(step),
            checkpoint=self._place.out / "checkpoints" / step.name,
            progress=self._place.progress,
        )
        aligner.save_pretrained(self._folder(step))
        return self._digest(step)

    def _chosen(self, step: Fit) -> LabelCollection:
        """The masks that a head is fitted on, whatever the recipe shows people of them."""
        labels: LabelCollection = LabelSet(self._place.out / step.labels).whole
        if step.stages:
            labels = labels.stage(*step.stages)
        return labels if step.fraction is None else labels.resample(step.fraction)

    def _evaluate(self, step: Evaluate) -> str:
        data, own = open_data(step.data, self._place.root), self._place.part
        count = min(own.count, len(data.samples[: self._plan.limit]))  # a part without images is none
        if own.index <= count:
            if self._pool is None:
                self._pool = ModelPool(device=self._place.device, hub=self._place.hub)
            part = Part(own.index, count)
            evaluate(
                load_method(step.method if step.fit is None else str(self._place.out / step.fit), self._pool),
                data,
                PROTOCOL,
                out=self._folder(step) if count == 1 else self._of_part(step, part),
                part=part,
                limit=self._plan.limit,
                progress=self._place.progress,
            )
        if count > 1:
            parts = _parts(count)
            self._wait(step, parts, lambda other: read_sealed_json(self._of_part(step, other) / REPORT_FILE))
            merge_runs([self._of_part(step, other) for other in parts], self._folder(step))
        elif own.index > 1:
            self._wait(step, [Part()], lambda _: read_sealed_json(self._folder(step) / REPORT_FILE))
        return self._digest(step)

    def _of_part(self, step: Step, part: Part) -> Path:
        return self._place.out / "parts" / step.name / f"{part.index}-of-{part.count}"

    def _wait(self, step: Step, parts: Sequence[Part], read: Callable[[Part], object]) -> None:
        """Go on only where every part has done its share of a step."""
        missing = [str(other) for other in parts if not _is_there(read, other)]
        if missing:
            raise Waiting(
                f"part {self._place.part} of {step.name} is done, not yet {', '.join(missing)}: start this "
                "part again when they are"
            )


def _parts(count: int) -> list[Part]:
    return [Part(index, count) for index in range(1, count + 1)]


def _is_there(read: Callable[[Part], object], part: Part) -> bool:
    """Whether a part's share can be read; one that is damaged is an error."""
    try:
        read(part)
    except OSError:
        return False
    return True


def _listed(photographs: Sequence[Path]) -> dict[str, Any]:
    """How many photographs there are, and a hash of their names and sizes."""
    told = [[photograph.name, photograph.stat().st_size] for photograph in photographs]
    return {"count": len(told), "sha256": sha256(json.dumps(told).encode()).hexdigest()}
