"""An epoch of training as it is, beside the same epoch as it was before: photograph by photograph.

    python -m benchmarks.training --out benchmarks/results/training.json

Before, each photograph went through the head by itself (its block as PyTorch computes it), the labelled
patches of each were picked on its own, and every step read its loss and asked each gradient whether it is
finite. Both ways learn from the same random features with the same loss: their steps take turns, neither
is always the first, and the ratio is that of processor seconds, the median over epochs, with the least
and the largest. ``largest_difference`` is that of the weights after all epochs. Memory is the peak of a
process of its own at its second step; Linux alone tells it.

Two settings: ``paper`` (the block, five photographs with all their patches) and ``offline`` (the offline
recipe's head: ten photographs of a hundred patches). ``waits_a_step`` counts how often a step looks at a
value that a device may have to be waited for, where losses are read every sixteen steps as on a GPU; six
in ``offline`` are AdamW's own counters, which lie in the processor's memory. The last line on standard
output is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.output import measured_with, tell
from benchmarks.tsupcon import in_a_process, resident
from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.losses import LossOptions, tsupcon
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.schedule import make_optimizer, make_schedule
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import Run
from fmbseg.alignment.training_example import TrainingExample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLASSES = 171
SHAPES: dict[str, dict[str, Any]] = {
    # ViT-S/14 at a short side of 448 pixels; most of COCO's photographs are 4:3, some upright.
    "paper": {"dim": 384, "out": 512, "grids": [(32, 43), (32, 43), (43, 32), (32, 43), (32, 48)]},
    "offline": {"dim": 472, "out": 384, "grids": [(14, 19), (14, 19), (19, 14), (14, 14)]},
    # For the benchmark's own test.
    "tiny": {"dim": 24, "out": 16, "grids": [(3, 4), (4, 3)]},
}
SETTINGS = {
    "paper": TrainingSettings(),
    "offline": TrainingSettings(
        batch_size=10,
        patches_per_image=100,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        text_weight=1.0,
        head_kind="mlp",
        mlp_ratio=0.19,
    ),
    "tiny": TrainingSettings(batch_size=3),
}


class Case:
    """Photographs with random features, and what is learned from them.

    Args:
        name: of :data:`SHAPES`.
        photographs: how many.
    """

    def __init__(self, name: str, photographs: int) -> None:
        shape, self.settings = SHAPES[name], SETTINGS[name]
        seeds, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
        self.prototypes = functional.normalize(torch.randn(CLASSES, shape["out"], generator=seeds), dim=1)
        self.examples = []
        self._features = {}
        for number in range(photographs):
            grid = shape["grids"][number % len(shape["grids"])]
            labels = np.full(grid, -1, np.int16)
            for rows in (slice(None, grid[0] // 2), slice(grid[0] // 2, None)):
                for columns in (slice(None, grid[1] // 2), slice(grid[1] // 2, None)):
                    labels[rows, columns] = random.integers(-1, CLASSES)
            labels[0, 0] = 0
            self.examples.append(TrainingExample(Path(f"{number}"), f"{number}", grid, labels))
            self._features[f"{number}"] = torch.randn(1, shape["dim"], *grid, generator=seeds)
        self._head = shape["dim"], shape["out"]

    def features(self, example: TrainingExample) -> torch.Tensor:
        """Those of a photograph, from memory."""
        return self._features[example.sha256]

    def head(self) -> AlignmentHead:
        """A new head, always the same."""
        torch.manual_seed(0)
        settings = self.settings
        return AlignmentHead(*self._head, mlp_ratio=settings.mlp_ratio, kind=settings.head_kind).train()

    @property
    def batches(self) -> list[Sequence[TrainingExample]]:
        """An epoch."""
        size = self.settings.batch_size
        return [self.examples[start : start + size] for start in range(0, len(self.examples), size)]


class Former:
    """A training as it was before.

    Args:
        case: what is learned.
        steps: how many in all.
    """

    def __init__(self, case: Case, steps: int) -> None:
        self.head, self._case = case.head(), case
        if case.settings.head_kind == "block":
            self.head.block.__class__ = torch.nn.TransformerEncoderLayer
        self._optimizer = make_optimizer(self.head.parameters(), case.settings)
        self._schedule = make_schedule(self._optimizer, case.settings, steps)
        self.good: dict[str, torch.Tensor] = {}

    def step(self, batch: Sequence[TrainingExample], epoch: int) -> None:
        """Learn from one batch."""
        case, settings = self._case, self._case.settings
        self._optimizer.zero_grad(set_to_none=True)
        vectors, classes = [], []
        for example in batch:
            places = example.drawn_places(settings.patches_per_image, settings.seed, epoch)
            where = None if places is None else torch.from_numpy(places)
            features = case.features(example)
            aligned = _taken(self.head(features), where) if self.head.attends else None
            if aligned is None:
                aligned = self.head(_taken(features, where))
            labels = torch.from_numpy(example.drawn_labels(settings.seed, epoch))[None, None]
            flat = _taken(labels, where).flatten().long()
            labelled = (flat >= 0).nonzero()[:, 0]
            vectors.append(rearrange(aligned, "1 d h w -> (h w) d").index_select(0, labelled))
            classes.append(flat[labelled])
        options = LossOptions(settings.temperature, text_weight=settings.text_weight)
        loss = tsupcon(torch.cat(vectors), torch.cat(classes), case.prototypes, options)
        torch.autograd.backward(loss)
        value = float(loss.detach())
        gradients = [weight.grad for weight in self.head.parameters() if weight.grad is not None]
        if not (np.isfinite(value) and all(bool(torch.isfinite(each).all()) for each in gradients)):
            raise RuntimeError(f"the loss is {value}")
        self.good = {name: each.detach().clone() for name, each in self.head.state_dict().items()}
        self._optimizer.step()
        self._schedule.step()


def _taken(grid: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
    return grid if places is None else grid.flatten(2).index_select(2, places)[:, :, None]


class Now:
    """A training as it is.

    Args:
        case: what is learned.
        steps: how many in all.
    """

    def __init__(self, case: Case, steps: int) -> None:
        self.head = case.head()
        epochs = -(-steps // len(case.batches))
        settings = replace(case.settings, epochs=epochs)
        objective = Objective(case.features, case.prototypes, settings)
        self._run = Run(self.head, objective, len(case.examples))

    def step(self, batch: Sequence[TrainingExample], epoch: int) -> None:
        """Learn from one batch."""
        self._run.state.epoch = epoch
        self._run.step(batch)
        if self._run.full:
            for _ in self._run.read():
                pass


WAYS: dict[str, Callable[[Case, int], Former | Now]] = {"former": Former, "now": Now}


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts values that are looked at, and sizes that depend on values."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count one operation."""
        del types
        self.count += func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "bincount")
        return func(*args, **(kwargs or {}))


def timed_epochs(case: Case, epochs: int) -> dict[str, Any]:
    """Processor seconds of an epoch in both ways, step by step in turn, and how far weights are apart."""
    steps = len(case.batches) * (epochs + 1)
    ways = {name: make(case, steps) for name, make in WAYS.items()}
    seconds: list[dict[str, float]] = []
    for epoch in range(1, epochs + 2):
        spent = dict.fromkeys(ways, 0.0)
        for number, batch in enumerate(case.batches):
            for name in sorted(ways, reverse=bool((epoch + number) % 2)):
                start = process_time()
                ways[name].step(batch, epoch)
                spent[name] += process_time() - start
        seconds.append(spent)
        print(f"epoch {epoch}: {spent}", file=sys.stderr, flush=True)
    del seconds[0]  # warms up
    ratios = [each["now"] / each["former"] for each in seconds]
    weights = [torch.cat([w.detach().flatten() for w in way.head.parameters()]) for way in ways.values()]
    return {
        "time_ratio": round(median(ratios), 4),
        "time_ratio_spread": [round(min(ratios), 4), round(max(ratios), 4)],
        "epoch_seconds": {name: round(median(each[name] for each in seconds), 4) for name in ways},
        "largest_difference": float((weights[0] - weights[1]).abs().max()),
    }


def memory(way: str, case: Case) -> dict[str, float]:
    """Gigabytes (1e9 bytes) of the process at the peak of its second step."""
    training = WAYS[way](case, 2)
    training.step(case.batches[0], 1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    training.step(case.batches[0], 1)
    return {"gb": resident("VmHWM") / 1e9}


def waits(way: str, case: Case) -> float:
    """Times that a step looks at a value, on average over one epoch."""
    training = WAYS[way](case, len(case.batches))
    if isinstance(training, Now):
        training._run.most_unread = 16
    with Waits() as counted:
        for batch in case.batches:
            training.step(batch, 1)
    return round(float(counted.count) / len(case.batches), 2)


def measured(name: str, photographs: int, epochs: int) -> dict[str, Any]:
    """All figures of one setting."""
    case = Case(name, photographs)
    gigabytes = {way: in_a_process(memory, way, case)["gb"] for way in WAYS}
    return {
        **timed_epochs(case, epochs),
        "peak_process_gb": {way: round(gb, 4) for way, gb in gigabytes.items()},
        "waits_a_step": {way: waits(way, case) for way in WAYS},
        "photographs": photographs,
        "steps": len(case.batches),
        **{key: value for key, value in SHAPES[name].items() if key != "grids"},
    }


def main(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and print its JSON object last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=sorted(SHAPES), default=["paper", "offline"])
    parser.add_argument("--photographs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5, help="that are timed, after one that warms up")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args(command)
    torch.set_num_threads(1)  # before anything runs: a process that has threads cannot be forked
    result = {
        "benchmark": "training",
        **{name: measured(name, options.photographs, options.epochs) for name in options.cases},
        "epochs": options.epochs,
        "threads": 1,
        **measured_with("torch", "numpy"),
    }
    tell(result, options.out)
    return result


if __name__ == "__main__":
    main()
