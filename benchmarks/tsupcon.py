"""What TSupCon's two forms cost: the clear one, with the matrix of all pairs, and the one in tiles.

    python benchmarks/tsupcon.py --out benchmarks/results/tsupcon.json

Forward and backward pass, float32, one thread, random unit vectors in classes, temperature 0.07. Time is
that of the processor, which other users of the machine do not distort as they do the clock: both forms run in
turn in one process, and the ratio is the median over neighbouring runs. Memory is measured in a new process
for each form and size: the peak of the resident memory in one forward and backward pass, less what was
resident before it (inputs and libraries); the patches' gradient is part of it. Linux alone tells the peak.
The growth exponents are slopes of straight lines through the logarithms of what was measured over patches.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.output import measured_with, tell
from fmbseg.alignment.losses import LossOptions, tsupcon, tsupcon_clear

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FORMS = {"clear": tsupcon_clear, "blocked": tsupcon}
TEMPERATURE = 0.07
Size = tuple[int, int, int]
"""Patches, dimensions, classes."""


def problem(size: Size) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patches near their class's prototype, their labels, and the prototypes; all of unit length."""
    patches, dims, classes = size
    generator = torch.Generator().manual_seed(0)
    texts = torch.nn.functional.normalize(torch.randn(classes, dims, generator=generator), dim=1)
    labels = torch.randint(classes, (patches,), generator=generator)
    vectors = torch.randn(patches, dims, generator=generator).div_(dims**0.5)
    for start in range(0, patches, 4096):  # in place: inputs must not raise the peak that is measured
        rows = slice(start, start + 4096)
        vectors[rows] = torch.nn.functional.normalize(vectors[rows] + texts[labels[rows]], dim=1)
    return vectors.requires_grad_(), labels, texts


def once(form: str, inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> float:
    """Run forward and backward; return processor seconds. The gradient is left in the patches' ``grad``."""
    patches, labels, prototypes = inputs
    patches.grad = None
    start = process_time()
    torch.autograd.backward(FORMS[form](patches, labels, prototypes, LossOptions(temperature=TEMPERATURE)))
    return process_time() - start


def measured_memory(form: str, size: Size) -> dict[str, float]:
    """Gigabytes (1e9 bytes) that one pass takes beyond its inputs, and its processor seconds."""
    inputs = problem(size)
    once(form, problem((8, 4, 2)))  # what is loaded on first use is not part of the loss
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    seconds = once(form, inputs)
    peak = resident("VmHWM")
    return {"extra_gb": (peak - before) / 1e9, "process_gb": peak / 1e9, "seconds": seconds}


def resident(what: str) -> int:
    """Bytes of this process as the kernel counts them: ``VmRSS`` now, ``VmHWM`` at the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {what}")


def measured_time(size: Size, pairs: int) -> dict[str, float]:
    """Processor seconds of both forms in turn, their ratio, and how far their gradients are apart."""
    inputs = problem(size)
    runs: list[dict[str, float]] = []
    gradients: dict[str, torch.Tensor] = {}
    for turn in range(pairs + 1):
        seconds = {}
        for form in sorted(FORMS, reverse=bool(turn % 2)):
            seconds[form] = once(form, inputs)
            assert inputs[0].grad is not None
            gradients[form] = inputs[0].grad
        runs.append(seconds)
    del runs[0]  # warms up
    apart = (gradients["blocked"] - gradients["clear"]).abs().max() / gradients["clear"].abs().max()
    return {
        **{f"{form}_seconds": median(run[form] for run in runs) for form in FORMS},
        "time_ratio": median(run["blocked"] / run["clear"] for run in runs),
        "largest_gradient_difference": float(apart),
    }


def in_a_process(run: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Run a measurement in a process of its own, forked so that its libraries are loaded already."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(run(*arguments)))
    process.start()
    sender.close()
    try:
        found: dict[str, float] = receiver.recv()
    except EOFError as error:
        raise RuntimeError(f"{run.__name__}{arguments} failed: its error is above") from error
    finally:
        process.join()
    return found


def both_forms(size: Size, pairs: int) -> dict[str, Any]:
    """Measure time and memory of both forms at one size."""
    row: dict[str, Any] = {"patches": size[0], "dims": size[1], "classes": size[2]}
    row |= in_a_process(measured_time, size, pairs)
    for form in FORMS:
        row[f"{form}_extra_gb"] = in_a_process(measured_memory, form, size)["extra_gb"]
    row["memory_ratio"] = row["blocked_extra_gb"] / row["clear_extra_gb"]
    print({name: round(value, 4) for name, value in row.items()}, file=sys.stderr, flush=True)
    return row


def exponents(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How time and memory of each form grow with the patches: 1 in proportion, 2 with the square."""

    def slope(name: str) -> float:
        logs = np.log([row["patches"] for row in rows]), np.log([row[name] for row in rows])
        return round(float(np.polyfit(*logs, deg=1)[0]), 3)

    return {form: {"time": slope(f"{form}_seconds"), "memory": slope(f"{form}_extra_gb")} for form in FORMS}


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every size and return the JSON object."""
    torch.set_num_threads(1)  # before anything runs: a process that has threads cannot be forked
    patches, dims, classes = arguments.patches, arguments.dims, arguments.classes
    over_patches = [
        both_forms((count, dims, classes), arguments.pairs) for count in (patches // 4, patches // 2, patches)
    ]
    others = [
        both_forms((patches // 4, *shape), arguments.pairs)
        for shape in ((dims // 4, classes), (dims // 2, classes), (dims, classes // 8), (dims, classes * 6))
    ]
    large = in_a_process(measured_memory, "blocked", (arguments.large, dims, classes))
    named = over_patches[-1]
    return {
        "benchmark": "tsupcon",
        "patches": patches,
        "dims": dims,
        "classes": classes,
        "time_ratio": round(named["time_ratio"], 4),
        "memory_ratio": round(named["memory_ratio"], 4),
        f"gb_at_{arguments.large}_patches": round(large["extra_gb"], 4),
        "growth_exponents": exponents(over_patches),
        "largest_gradient_difference": max(row["largest_gradient_difference"] for row in over_patches),
        "large": large,
        "over_patches": over_patches,
        "over_dims_and_classes": others,
        "temperature": TEMPERATURE,
        "pairs_of_runs": arguments.pairs,
        "threads": 1,
        **measured_with("torch", "numpy"),
    }


def main(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and print its JSON object last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--patches", type=int, default=6845, help="of five photographs of 37 x 37 patches")
    parser.add_argument("--dims", type=int, default=768, help="of the text space")
    parser.add_argument("--classes", type=int, default=171)
    parser.add_argument("--large", type=int, default=50_000, help="patches that the tiles alone can take")
    parser.add_argument("--pairs", type=int, default=3, help="timed runs of each form")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    arguments = parser.parse_args(command)
    result = run(arguments)
    tell(result, arguments.out)
    return result


if __name__ == "__main__":
    main()
