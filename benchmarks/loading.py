"""What one loading pipeline is worth: features of photographs beside one photograph at a time.

    python -m benchmarks.loading --photographs ../shared/data/coco/images ../shared/data/pool --out FILE

Both ways compute and keep the same features of the same photographs, a few in turn, in one process: ``now``
is :class:`fmbseg.alignment.features.FeatureCache`; ``before`` is the way that it replaced, written out below:
reading, resizing, arithmetic on every pixel and one pass of the backbone, one after another. Weights are
random, for time does not depend on them. It gives

- ``wall`` and ``processor``: seconds of both ways, and ``ratio``, now over before in each turn (the median
  and the middle half);
- ``waited``: share of the time in which computing waited for photographs, and ``overlap``: processor time of
  reading, computing and keeping over the time by the clock, which is the number of cores that were busy;
- ``largest_difference`` of the kept features, and ``peak_mb`` of a process for each way;
- ``reading``: milliseconds of a photograph by Pillow and by torchvision, on how many of them the pixels are
  equal, and photographs a second read by one thread, by two, and by two processes.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file  # type: ignore[import-untyped]

from benchmarks.feature_cache import Clock, labelled
from benchmarks.output import measured_with, tell
from fmbseg.ahead import ordered_map, readers
from fmbseg.alignment import features
from fmbseg.alignment.feature_store import FeatureKey, FeatureStore
from fmbseg.alignment.features import FeatureCache
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.images import find_images, load_image
from fmbseg.models.registries import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from fmbseg.alignment.training_example import TrainingExample
    from fmbseg.models.contracts import Backbone

_WAYS = ("before", "now")


class Before:
    """Features as they were made: one photograph after another.

    Args:
        backbone: the frozen encoder.
        folder: to keep them in.
    """

    def __init__(self, backbone: Backbone, folder: Path) -> None:
        self._backbone = backbone
        self._store = FeatureStore(folder, backbone.dim)

    @torch.no_grad()
    def fill(self, examples: Sequence[TrainingExample]) -> None:
        """Compute and keep those of some photographs."""
        transform = self._backbone.transform
        mean, std = torch.tensor(transform.mean), torch.tensor(transform.std)
        for example in examples:
            height, width = example.size
            image = Image.fromarray(load_image(example.path)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            scaled = torch.from_numpy(np.asarray(image).astype(np.float32) / 255.0).permute(2, 0, 1)
            pixels = ((scaled - mean[:, None, None]) / std[:, None, None]).contiguous()
            half = self._backbone.encode(pixels[None])[0].half()
            assert bool(torch.isfinite(half).all())
            self._store.write(self.key(example), half.numpy())

    def kept(self, example: TrainingExample) -> torch.Tensor:
        """What was kept, (dim, h, w)."""
        found = self._store.read(self.key(example))
        assert found is not None
        return torch.from_numpy(np.asarray(found, np.float32))

    @staticmethod
    def key(example: TrainingExample) -> FeatureKey:
        """As the cache names it."""
        return FeatureKey(example.sha256, *example.labels.shape)


class Waiting:
    """Seconds in which results of the threads that read were waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def ordered_map(
        self, function: Callable[[Any], Any], items: Iterable[Any], **options: Any
    ) -> Generator[Any, None, None]:
        """That of :mod:`fmbseg.ahead`; only the readers' results are counted."""
        inner = ordered_map(function, items, **options)
        reads = getattr(function, "__name__", "") == "_pixels"
        while True:
            start = perf_counter()
            try:
                found = next(inner)
            except StopIteration:
                return
            self.seconds += (perf_counter() - start) if reads else 0.0
            yield found


def compare(backbone: Backbone, examples: list[TrainingExample], at_once: int, work: Path) -> dict[str, Any]:
    """Both ways over the same photographs, some in turn."""
    before = Before(backbone, work / "before")
    cache = FeatureCache(backbone, torch.device("cpu"), work / "now", 50.0)
    cache.open(examples)
    waiting = Waiting()
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in _WAYS}
    fills: dict[str, Callable[[Sequence[TrainingExample]], object]] = {
        "before": before.fill,
        "now": lambda some: list(cache.fill(some)),
    }
    with patch.object(features, "ordered_map", waiting.ordered_map):
        for turn, start in enumerate(range(0, len(examples), at_once)):
            for way in _WAYS if turn % 2 else reversed(_WAYS):
                clock = Clock()
                fills[way](examples[start : start + at_once])
                seconds[way].append(clock.read())
    cache.close()
    differences = [float((cache(one)[0] - before.kept(one)).abs().max()) for one in examples]
    wall = {way: sum(pair[1] for pair in seconds[way]) for way in _WAYS}
    processor = {way: sum(pair[0] for pair in seconds[way]) for way in _WAYS}
    ratios = {
        name: [now[kind] / then[kind] for then, now in zip(seconds["before"], seconds["now"], strict=True)]
        for kind, name in enumerate(("processor", "wall"))
    }
    return {
        "photographs": len(examples),
        "wall": {way: round(value, 3) for way, value in wall.items()},
        "processor": {way: round(value, 3) for way, value in processor.items()},
        "ratio": {name: round(float(np.median(each)), 4) for name, each in ratios.items()},
        "ratio_middle_half": {
            name: [round(float(one), 4) for one in np.quantile(each, (0.25, 0.75))]
            for name, each in ratios.items()
        },
        "waited": round(waiting.seconds / wall["now"], 4),
        "overlap": {way: round(processor[way] / wall[way], 3) for way in _WAYS},
        "largest_difference": max(differences),
    }


def read(path: Path, size: tuple[int, int], transform: Any) -> float:
    """Read and resize a photograph, as the threads do."""
    return float(transform(load_image(path), size)[0, 0, 0])


def reading(backbone: Backbone, examples: list[TrainingExample], *, quick: bool) -> dict[str, Any]:
    """Decoders, threads and processes, without the backbone."""
    paths = [Path(str(one.path)) for one in examples]
    jpegs = [path for path in paths if path.suffix.lower() in (".jpg", ".jpeg")]

    def by_torchvision(path: Path) -> np.ndarray[Any, Any]:
        pixels = decode_jpeg(read_file(str(path)), mode=ImageReadMode.RGB)
        return np.asarray(pixels.permute(1, 2, 0).numpy())

    milliseconds: dict[str, float] = {}
    for name, decode in (("pillow", load_image), ("torchvision", by_torchvision)) * 2:
        start = process_time()
        for path in jpegs:
            decode(path)
        took = 1000 * (process_time() - start) / max(1, len(jpegs))
        milliseconds[name] = round(min(took, milliseconds.get(name, took)), 3)
    equal = sum(np.array_equal(load_image(path), by_torchvision(path)) for path in jpegs)

    def rate(pool: Executor) -> float:
        call = partial(read, transform=backbone.transform)
        paths, sizes = [one.path for one in examples], [one.size for one in examples]
        list(pool.map(call, paths[:4], sizes[:4]))  # once its workers are there
        start = perf_counter()
        list(pool.map(call, paths, sizes))
        return round(len(paths) / (perf_counter() - start), 1)

    rates = {}
    for name, make in (
        ("one thread", partial(ThreadPoolExecutor, 1)),
        ("two threads", partial(ThreadPoolExecutor, 2)),
        ("two processes", partial(ProcessPoolExecutor, 2, multiprocessing.get_context("spawn"))),
    )[: 2 if quick else 3]:
        with make() as pool:
            rates[name] = rate(pool)
    return {
        "milliseconds": milliseconds,
        "jpegs": len(jpegs),
        "equal_pixels": equal,
        "photographs_a_second": rates,
    }


def peak_mb(options: argparse.Namespace, way: str) -> float:
    """Most memory of a process that fills a cache in one way."""
    command = [sys.executable, "-m", "benchmarks.loading", "--only", way]
    command += ["--photographs", *map(str, options.photographs), "--count", str(options.count)]
    command += ["--backbone", options.backbone, "--image-size", str(options.image_size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mb"])


def main(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and print its JSON object last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--count", type=int, default=200, help="photographs to take, sorted")
    parser.add_argument("--at-once", type=int, default=20, help="photographs of a turn")
    parser.add_argument("--backbone", default="dinov2_vits14", help="preset, with random weights")
    parser.add_argument("--image-size", type=int, default=224, help="short side in pixels")
    parser.add_argument("--threads", type=int, default=1, help="of the backbone")
    parser.add_argument("--quick", action="store_true", help="without other processes")
    parser.add_argument("--only", choices=_WAYS, help="one way alone, for its memory")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args(command)
    torch.set_num_threads(options.threads)
    settings = TrainingSettings(image_size=options.image_size)
    backbone = BACKBONES.create(options.backbone, weights="random")
    paths = find_images(options.photographs)[: options.count]
    examples = [labelled(path, settings, backbone, number) for number, path in enumerate(paths)]
    with TemporaryDirectory() as work:
        if options.only is not None:
            if options.only == "before":
                Before(backbone, Path(work)).fill(examples[: 2 * options.at_once])
            else:
                cache = FeatureCache(backbone, torch.device("cpu"), Path(work), 50.0)
                cache.open(examples)
                list(cache.fill(examples[: 2 * options.at_once]))
            status = Path("/proc/self/status").read_text("utf-8")  # unlike getrusage, not the parent's
            only = {"peak_mb": round(int(status.partition("VmHWM:")[2].split()[0]) / 1e3, 1)}
            tell(only)
            return only
        found = compare(backbone, examples, options.at_once, Path(work))
    result = {
        "benchmark": "loading",
        **found,
        "peak_mb": {way: peak_mb(options, way) for way in (() if options.quick else _WAYS)},
        "reading": reading(backbone, examples, quick=options.quick),
        "backbone": options.backbone,
        "image_size": options.image_size,
        "threads": {"backbone": options.threads, "readers": readers(torch.device("cpu"))},
        **measured_with("torch", "pillow", "torchvision"),
    }
    tell(result, options.out)
    return result


if __name__ == "__main__":
    main()
