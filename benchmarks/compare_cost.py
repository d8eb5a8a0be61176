"""What methods cost side by side, beside the sum of what each costs alone.

``python -m benchmarks.compare_cost --data DIR`` segments photographs of fold ``val`` by several methods: each
by itself, with models of its own, and all with one pool of models, as ``fmbseg compare`` runs them. Both are
done in turn for each photograph, after a first one that is not counted and loads what is loaded late. Seconds
are those of the processor; the ratio is of the sums, and its interval that of photographs drawn anew. Counted
besides: how often a model encodes a crop, a window or an image. The last line on standard output is one JSON
object.

``--random-clip ARCH`` makes a CLIP of open_clip's with random weights, whose folder takes the place of
``CLIP`` in ``--methods`` (``dense:CLIP?dense=sclip``): what dense maps of one model share does not depend on
what it has learned.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file

from benchmarks.offline_chain import versions
from benchmarks.output import tell
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.intervals import drawn_figure, interval
from fmbseg.evaluation.protocols import get_protocol
from fmbseg.files import write_json
from fmbseg.methods import ModelPool, load_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

METHODS = ("dense:conse", "stage1:offline@1.1", "offline", "offline@offline")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the JSON object."""
    specs = arguments.methods
    with TemporaryDirectory() as folder:
        if arguments.random_clip is not None:
            clip = random_clip(arguments.random_clip, Path(folder))
            specs = [spec.replace("CLIP", f"open_clip:local-dir:{clip}") for spec in specs]
        found = measured(specs, arguments)
    return {**found, "random_clip": arguments.random_clip} if arguments.random_clip else found


def random_clip(architecture: str, folder: Path) -> Path:
    """A folder with a model of open_clip's that has learned nothing."""
    torch.manual_seed(0)
    model = open_clip.create_model(architecture)
    pixels = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": pixels}
    write_json(folder / "open_clip_config.json", config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def measured(specs: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure methods by their specs."""
    data = open_data("folder", arguments.data, split="val")
    how = get_protocol("own")
    words, settings = how.vocabulary(data), how.settings(data)
    pools = [ModelPool(device="cpu") for _ in specs]
    alone = [load_method(spec, own) for spec, own in zip(specs, pools, strict=True)]
    pool = ModelPool(device="cpu")
    together = [load_method(spec, pool) for spec in specs]
    rows: list[NDArray[np.float64]] = []
    same = True
    for sample in data.samples[: arguments.photographs + 1]:
        image, _ = data.load(sample)
        seconds = np.zeros((2, len(alone)))
        labels: list[list[Any]] = [[], []]
        for which, methods in enumerate((alone, together) if len(rows) % 2 else (together, alone)):
            side = which if len(rows) % 2 else 1 - which  # 0 alone, 1 together, in turn
            for index, method in enumerate(methods):
                start = process_time()
                result = method.segment(image if side else image.copy(), words, settings=settings)
                seconds[side, index] = process_time() - start
                labels[side].append(result.labels)
        same &= all(np.array_equal(one, other) for one, other in zip(*labels, strict=True))
        rows.append(seconds)
    counted = np.stack(rows[1:]).transpose(0, 2, 1)  # photographs, methods, sides
    sums = counted.sum(axis=1)
    ends = interval(drawn_figure(sums, lambda drawn: drawn[:, 1] / drawn[:, 0]))
    return {
        "benchmark": "compare_cost",
        "photographs": len(counted),
        "methods": {
            spec: {
                "alone": round(float(counted[:, index, 0].mean()), 3),
                "together": round(float(counted[:, index, 1].mean()), 3),
            }
            for index, spec in enumerate(arguments.methods)
        },
        "encodes": {"alone": sum(own.memory.encodes for own in pools), "together": pool.memory.encodes},
        "alone": round(float(sums[:, 0].mean()), 3),
        "together": round(float(sums[:, 1].mean()), 3),
        "ratio": round(float(sums[:, 1].sum() / sums[:, 0].sum()), 3),
        "ratio_90": [round(end, 3) for end in ends],
        "class_maps_equal": same,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "versions": versions(),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with masks and a fold `val`")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="specs of methods")
    parser.add_argument("--random-clip", metavar="ARCH", help="architecture that CLIP stands for in methods")
    parser.add_argument("--photographs", type=int, default=4, help="that are counted")
    parser.add_argument("--out", type=Path, help="file for the JSON object")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
