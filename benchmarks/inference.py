"""What segmentation costs beyond its frozen encoder: time, and peak memory.

``python benchmarks/inference.py`` measures, on random weights and in one run:

- ``overhead``: processor time of a whole segmentation (resizing, encoder, head, decoding, result) over that
  of the bare backbone's forward pass on the same pixels, the median of pairs that take turns; a ViT-L/14 of
  the paper's shape, a square photograph of ``--side`` pixels, 171 classes. ``overhead_clock`` is the same by
  the clock, ``overhead_spread`` the least and the largest pair. ``overhead_parts`` needs no difference of two
  large numbers: one plus the time of all but the backbone (its features are given back at once) over the
  backbone's;
- ``memory_ratio``: peak memory of block decoding over that of up-sampling every class and taking the maximum,
  at the most classes and pixels for which the latter fits (``--plain``);
- ``gb_at_1000_classes_12_megapixels``: peak memory of a whole segmentation of a 4,000 x 3,000 photograph with
  1,000 classes beyond the loaded models;
- ``exponents``: how decoding's processor seconds and memory grow with classes and with pixels (slope of the
  logarithms between the least and the most). ``work_memory`` leaves out the result itself, 8 bytes a pixel;
  ``work_gb`` of the points is never told below 1 MB.

Cells of the decoded maps are independent random vectors, the hardest case: in a photograph neighbours agree,
and most classes are out of the question at once. Each memory figure is of a process of its own. The last line
on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from benchmarks.output import tell
from benchmarks.random_models import (
    RandomBackbone,
    RandomTexts,
    Remembering,
    photograph,
    seeded,
    timed,
    words,
)
from fmbseg import OpenVocabSegmenter, __version__
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.segment_settings import WindowSettings
from fmbseg.segmentation.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

PAPER_CLASSES = 171
MOST_CLASSES = 1000
PACKAGES = ("torch", "timm", "numpy", "pillow")


def segmenter(arguments: argparse.Namespace) -> OpenVocabSegmenter:
    """Random weights of the asked architecture with a head to the paper's text space."""
    backbone = RandomBackbone(arguments.backbone)
    head = AlignmentHead(backbone.dim, arguments.text_dim)
    windows = WindowSettings(arguments.side, arguments.side, max(1, arguments.side // 2))
    encoder = AlignedEncoder(backbone, head, RandomTexts(arguments.text_dim))
    return OpenVocabSegmenter(encoder, windows=windows)


def measure_overhead(arguments: argparse.Namespace) -> dict[str, Any]:
    """Whole segmentation against the bare backbone, taking turns; and all but the backbone by itself."""
    whole = segmenter(arguments)
    encoder = whole.encoder
    assert isinstance(encoder, AlignedEncoder)
    side = arguments.side // encoder.stride * encoder.stride
    image, vocabulary = photograph((side, side)), words(PAPER_CLASSES)
    pixels = encoder.transform(image, (side, side))[None]
    features = encoder.backbone.encode(pixels)
    whole.segment(image, vocabulary)  # words are encoded once, and both sides are warm
    assert isinstance(encoder.backbone, RandomBackbone)
    remembering = Remembering(encoder.backbone, features)
    rest = OpenVocabSegmenter(
        AlignedEncoder(remembering, encoder.head, encoder.text_encoder), settings=whole.settings
    )
    rest.segment(image, vocabulary)
    calls = {
        "bare": lambda: encoder.backbone.encode(pixels),
        "whole": lambda: whole.segment(image, vocabulary),
        "rest": lambda: rest.segment(image, vocabulary),
    }
    turns = []
    for turn in range(arguments.repeats):
        order = list(calls) if turn % 2 else list(reversed(calls))  # neither side is always the first
        turns.append({name: timed(calls[name]) for name in order})
        print(f"turn {turn + 1}: {turns[-1]}", file=sys.stderr)
    pairs = [[turn["whole"][clock] / turn["bare"][clock] for turn in turns] for clock in (0, 1)]
    seconds = {name: median(turn[name][0] for turn in turns) for name in calls}
    return {
        "overhead": round(median(pairs[0]), 4),
        "overhead_clock": round(median(pairs[1]), 4),
        "overhead_parts": round(1 + seconds["rest"] / seconds["bare"], 4),
        "overhead_spread": [round(min(pairs[0]), 4), round(max(pairs[0]), 4)],
        "overhead_clock_spread": [round(min(pairs[1]), 4), round(max(pairs[1]), 4)],
        "processor_s": {name: round(value, 4) for name, value in seconds.items()},
    }


def measure_whole_memory(arguments: argparse.Namespace) -> dict[str, float]:
    """Peak memory of one large segmentation beyond the loaded models, in this process."""
    whole = segmenter(arguments)
    size = (arguments.height, arguments.width)
    with Peak() as peak:
        whole.segment(photograph(size), words(arguments.count))
    return {"gb": peak.gb}


def measure_decoding(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds and peak memory of one decoding, in blocks or plain, in this process."""
    size = (arguments.height, arguments.width)
    rows, columns = 32, round(32 * size[1] / size[0])
    text_map = F.normalize(torch.randn(arguments.text_dim, rows, columns, generator=seeded()), dim=0)
    prototypes = RandomTexts(arguments.text_dim).encode_text(list(words(arguments.count)))
    reduce = plain if arguments.measure == "plain" else decode
    with torch.inference_mode():
        reduce(text_map[:, :4], prototypes[:64], (16, 64))  # libraries are loaded
        with Peak() as peak:
            seconds, _ = timed(lambda: reduce(text_map, prototypes, size))
    return {"gb": peak.gb, "seconds": seconds}


def plain(text_map: torch.Tensor, prototypes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Up-sample every class, then take the maximum: what block decoding is compared with."""
    similarity = torch.einsum("kd,dhw->khw", prototypes, text_map)
    whole = F.interpolate(similarity[None], size, mode="bilinear", align_corners=False)[0]
    return whole.max(dim=0).indices


class Peak:
    """Peak memory of this process above what it had at the start, in GB; Linux tells it."""

    def __enter__(self) -> Peak:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        self._before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.gb = (_status("VmHWM") - self._before) / 1e6


def _status(key: str) -> int:
    """A figure of /proc/self/status in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


def in_a_process(
    arguments: argparse.Namespace, measure: str, count: int, size: tuple[int, int]
) -> dict[str, float]:
    """Measure one thing in a process of its own."""
    command = [sys.executable, __file__, "--measure", measure, "--count", str(count)]
    command += ["--height", str(size[0]), "--width", str(size[1]), "--text-dim", str(arguments.text_dim)]
    command += [
        "--side",
        str(arguments.side),
        "--backbone",
        arguments.backbone,
        "--threads",
        str(arguments.threads),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring {measure} of {count} classes at {size} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{measure}, {count} classes, {size[0]} x {size[1]}: {found}", file=sys.stderr)
    return found


def size_of(megapixels: float) -> tuple[int, int]:
    """Height and width of a 4:3 photograph.

    Example:
        >>> size_of(12)
        (3000, 4000)
    """
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    return height, round(height * 4 / 3)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Slope of the logarithms between the first and the last point.

    Example:
        >>> round(slope([(1, 5), (10, 500)]), 6)
        2.0
    """
    (x0, y0), (x1, y1) = points[0], points[-1]
    return math.log(y1 / y0) / math.log(x1 / x0)


def growth(arguments: argparse.Namespace) -> tuple[dict[str, float], list[dict[str, float]]]:
    """How decoding grows; with the points that the slopes are from."""
    middle_classes = sorted(arguments.classes)[len(arguments.classes) // 2]
    middle_pixels = sorted(arguments.megapixels)[len(arguments.megapixels) // 2]
    lines = {
        "classes": [(count, middle_pixels) for count in sorted(arguments.classes)],
        "pixels": [(middle_classes, megapixels) for megapixels in sorted(arguments.megapixels)],
    }
    points: list[dict[str, float]] = []
    exponents: dict[str, float] = {}
    blocks = cache(partial(in_a_process, arguments, "blocks"))  # the lines cross
    for name, line in lines.items():
        found = []
        for count, megapixels in line:
            measured = blocks(count, size_of(megapixels))
            result_gb = megapixels * 8e-3
            work_gb = max(measured["gb"] - result_gb, 1e-3)
            found.append({"classes": count, "megapixels": megapixels, **measured, "work_gb": work_gb})
        axis = "classes" if name == "classes" else "megapixels"
        for figure, key in (("seconds", "seconds"), ("memory", "gb"), ("work_memory", "work_gb")):
            ends = [(point[axis], point[key]) for point in found]
            exponents[f"{figure}_by_{name}"] = round(slope(ends), 3)
        points += found
    return exponents, points


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything; return the JSON object."""
    overhead = measure_overhead(arguments)
    count, megapixels = arguments.plain
    size = size_of(megapixels)
    blocks, upsampled = (in_a_process(arguments, how, int(count), size) for how in ("blocks", "plain"))
    whole = in_a_process(arguments, "whole", arguments.most_classes, size_of(arguments.most_megapixels))
    exponents, points = growth(arguments)
    full_size = (arguments.most_classes, arguments.most_megapixels) == (MOST_CLASSES, 12)
    return {
        "benchmark": "inference",
        **overhead,
        "memory_ratio": round(blocks["gb"] / upsampled["gb"], 4),
        "memory_ratio_at": {"classes": int(count), "megapixels": megapixels, "plain_gb": upsampled["gb"]},
        "seconds_ratio": round(blocks["seconds"] / upsampled["seconds"], 4),
        "gb_at_1000_classes_12_megapixels": round(whole["gb"], 4) if full_size else None,
        "gb_at_most": round(whole["gb"], 4),
        "exponents": exponents,
        "points": points,
        "settings": {
            "backbone": arguments.backbone,
            "side": arguments.side,
            "classes_of_overhead": PAPER_CLASSES,
            "text_dim": arguments.text_dim,
            "repeats": arguments.repeats,
            "most": {"classes": arguments.most_classes, "megapixels": arguments.most_megapixels},
        },
        "versions": {
            "python": platform.python_version(),
            "fmbseg": __version__,
            **{package: metadata.version(package) for package in PACKAGES},
        },
        "machine": {"processor": platform.machine(), "threads": arguments.threads},
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default="vit_large_patch14_dinov2", help="timm architecture")
    parser.add_argument("--side", type=int, default=448, help="pixels of the photograph timed")
    parser.add_argument("--text-dim", type=int, default=768, help="dimensions of the text space")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each side")
    parser.add_argument("--classes", type=int, nargs="+", default=[20, 171, 1000], help="for the exponents")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.2, 2, 12], help="likewise")
    parser.add_argument(
        "--plain", type=float, nargs=2, default=(PAPER_CLASSES, 2.0), help="classes and megapixels"
    )
    parser.add_argument("--most-classes", type=int, default=MOST_CLASSES)
    parser.add_argument("--most-megapixels", type=float, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    parser.add_argument("--measure", choices=("whole", "blocks", "plain"), help=argparse.SUPPRESS)
    for name in ("--count", "--height", "--width"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its JSON object last."""
    arguments = parse(command)
    torch.set_num_threads(arguments.threads)
    if arguments.measure is not None:
        measure = measure_whole_memory if arguments.measure == "whole" else measure_decoding
        print(json.dumps(measure(arguments)))
        return
    result = run(arguments)
    tell(result, arguments.out)


if __name__ == "__main__":
    main()
