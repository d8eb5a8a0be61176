"""How fast Stage 1 labels, beside the plain composition of the same models.

``python benchmarks/label_throughput.py --models vit_b`` labels the same photographs with the same models and
thresholds twice: through ``PseudoLabeler``, and through the composition that one would write with the
libraries' own pieces (``benchmarks/plain_labeling.py``). Each side lives in a process of its own, with its
models loaded; they take turns over the photographs, so that a busy machine slows both, and the medians of the
turns are compared. The masks of both are compared, too.

- ``vit_b``: open_clip ViT-B-16 and segment_anything ViT-B with random weights, made so that a third of the
  candidates pass the filter and masks are in one piece rather than noise;
- ``offline``: the offline recipe's trained models, with the whole grid of points (its sampling makes
  other masks; what that saves is given as ``ratio_with_recipe_sampling``);
- ``encoder``: the image encoder of SAM ViT-B alone, as fmbseg runs it and as the package does, in turn in one
  process and by its processor time; the largest part of ``vit_b``, for a machine with little time;
- ``tiny``: small stand-ins of random weights, for the benchmark's own test.

The last line on standard output is one JSON object: ``ratio`` (photographs a second, fmbseg's over the plain
side's), ``cpu_ratio`` (the same in seconds of CPU, which other work on the machine disturbs less),
``memory_ratio`` (most memory, fmbseg's over the plain side's), ``equal_masks``, and where the time goes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import sys
import tempfile
import threading
import warnings
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.output import tell
from benchmarks.plain_labeling import (
    Labelled,
    OnnxMasks,
    PlainMasks,
    SegmentAnythingMasks,
    label_plainly,
)
from fmbseg import PseudoLabeler, Vocabulary, __version__
from fmbseg.demo.photographs import copy_photographs
from fmbseg.images import find_images, load_image
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.masks import MaskSet
from fmbseg.models.mask_generators.settings import EverythingSettings
from fmbseg.models.text import embed_vocabulary
from fmbseg.recipes import get_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection

    from fmbseg.models.contracts import ImageTextEncoder, MaskGenerator

VOCABULARY = Vocabulary.of("voc20:clean")
SIDES = ("plain", "fmbseg")
RECIPE = "fmbseg, recipe's sampling"
"""A third side of the offline models: the same, but for the points that its recipe tries."""
SAME_IOU = 0.98
PASSING = 1 / 3
"""Part of the random SAM's candidates whose predicted IoU passes."""


@dataclass(frozen=True)
class Models:
    """The same models, for both sides.

    Attributes:
        encoder: of images and texts.
        generator: fmbseg's mask generator.
        plain: the plain side's calls of the same mask model.
        settings: of Stage 1.
        timed: objects and the names of their methods that parts of the time are spent in, by part.
    """

    encoder: ImageTextEncoder
    generator: MaskGenerator
    plain: PlainMasks
    settings: LabelingSettings
    timed: dict[str, list[tuple[Any, str]]]


class Meter:
    """Adds up the seconds spent in methods, by what they do; methods of several threads add up, too."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Replace an object's method by one that is timed."""
        real = getattr(owner, method)

        def timed(*given: Any, **named: Any) -> Any:
            start = perf_counter()
            try:
                return real(*given, **named)
            finally:
                with self._lock:
                    self.seconds[part] += perf_counter() - start

        object.__setattr__(owner, method, timed)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", choices=("vit_b", "offline", "encoder", "tiny"), default="vit_b")
    parser.add_argument(
        "--images", type=Path, help="folder of photographs; those of installed packages if absent"
    )
    parser.add_argument("--count", type=int, default=2, help="photographs a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument(
        "--cold", action="store_true", help="no turn before those that count, for a machine with little time"
    )
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="of torch and ONNX, each side"
    )
    parser.add_argument("--workers", type=int, default=1, help="of PseudoLabeler.label")
    return parser.parse_args(arguments)


def random_models(options: argparse.Namespace, first: Path, *, tiny: bool) -> Models:
    """open_clip and segment_anything with random weights, the same in every process."""
    from segment_anything.build_sam import _build_sam

    torch.manual_seed(0)
    width, depth, heads = (32, 1, 2) if tiny else (768, 12, 12)
    shape = [0] if tiny else [2, 5, 8, 11]
    module = _build_sam(width, depth, heads, shape).eval()
    with torch.no_grad():
        # Masks of random weights are noise, whose run lengths nobody would wait for: pixels of a place alike.
        for layer in (module.mask_decoder.output_upscaling[0], module.mask_decoder.output_upscaling[3]):
            layer.weight.copy_(layer.weight.mean(dim=(2, 3), keepdim=True).expand_as(layer.weight))
    settings = EverythingSettings(
        points_per_side=options.points_per_side, predicted_iou_threshold=0.88, stability_threshold=0.0
    )
    encoder = random_encoder("ViT-S-32-alt" if tiny else "ViT-B-16")
    from fmbseg.models.mask_generators.segment_anything import sam

    generator = sam("random", module=module, device="cpu", **asdict(settings))
    with torch.no_grad():
        prompter = generator.begin(load_image(first))
        grid = np.random.default_rng(0).uniform(0, 300, (12, 1, 2)).astype(np.float32)
        ious = prompter._decoder.decode(grid).predicted_iou
        module.mask_decoder.iou_prediction_head.layers[-1].bias += 0.88 - ious.quantile(1 - PASSING)
    return Models(
        encoder,
        generator,
        SegmentAnythingMasks(module, settings),
        LabelingSettings(
            min_crops=1,
            min_predicted_iou=0.5,
            max_area=1.0,
            short_side=224 if tiny else 448,
            batch_size=1 if tiny else 3,  # a batch is filled up; 448 pixels are three crops
        ),
        {
            "image-text model": [(encoder, "encode_image")],
            "mask model, encoding": [(module.image_encoder, "forward"), (generator.model, "encode")],
            "mask model, decoding": [(module.mask_decoder, "forward"), (generator.model, "decode")],
        },
    )


def random_encoder(name: str) -> ImageTextEncoder:
    """A model of open_clip with random weights, through the loader of checkpoints."""
    import open_clip

    from fmbseg.models.image_text.open_clip import open_clip as load

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = Path(folder) / "random.pt"
        torch.save(open_clip.create_model(name).state_dict(), weights)
        mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
        return load(f"{name}@{weights}", mean=mean, std=std)


def offline_models(options: argparse.Namespace, *, adaptive: bool) -> Models:
    """The offline recipe's models, with the whole grid or the points that the recipe tries."""
    from fmbseg.models.image_text.conse import conse
    from fmbseg.models.mask_generators.mobilesam import mobilesam

    recipe = get_recipe("offline")
    points: dict[str, Any] = {"points_per_side": options.points_per_side}
    if not adaptive:  # the grid needs not see one mask before it takes the next point
        points |= {"sampling": "grid", "points_per_batch": 16}
    generator = mobilesam(threads=options.threads, **{**recipe.mask_options, **points})
    encoder = conse()
    sessions = (generator._encoder, generator._decoder)
    settings = LabelingSettings(
        **{
            **recipe.labeling,
            "label_remainder": False,
            "scales": (1.0,),
            "hubness": 0.0,
            "certainty": 0.0,
            "batch_size": 1,
        }
    )
    return Models(
        encoder,
        generator,
        OnnxMasks(*sessions, generator.settings),
        settings,
        {
            "image-text model": [(encoder, "encode_image")],
            "mask model, encoding": [(sessions[0], "run")],
            "mask model, decoding": [(sessions[1], "run"), (generator._lean, "decode")],
        },
    )


def serve(side: str, options: argparse.Namespace, paths: list[Path], pipe: Connection) -> None:
    """One side, in a process of its own: label what is asked for, and tell how long it took."""
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    if options.models == "offline":
        models = offline_models(options, adaptive=side == RECIPE)
    else:
        models = random_models(options, paths[0], tiny=options.models == "tiny")
    meter = Meter()
    for part, methods in models.timed.items():
        for owner, method in methods:
            meter.watch(owner, method, part)
    loaded = most_memory()
    with tempfile.TemporaryDirectory() as folder:
        label = _labeler(side, models, options, Path(folder))
        while (wanted := pipe.recv()) is not None:
            meter.seconds.clear()
            start, cpu = perf_counter(), process_time()
            labels = label(wanted)
            pipe.send((perf_counter() - start, process_time() - cpu, dict(meter.seconds), labels))
    pipe.send((loaded, most_memory()))


def _labeler(
    side: str, models: Models, options: argparse.Namespace, folder: Path
) -> Callable[[list[Path]], list[list[Labelled]]]:
    if side == "plain":
        prototypes = embed_vocabulary(models.encoder, VOCABULARY)
        plainly = partial(
            label_plainly,
            out=folder,
            prototypes=prototypes,
            encoder=models.encoder,
            masks=models.plain,
            settings=models.settings,
        )
        return lambda paths: [plainly(path) for path in paths]
    labeler = PseudoLabeler(
        image_text=models.encoder, mask_generator=models.generator, settings=models.settings, device="cpu"
    )
    turns = iter(range(10**6))

    def label(paths: list[Path]) -> list[list[Labelled]]:
        out = folder / f"{next(turns)}"
        labels = labeler.label(paths, VOCABULARY, out, workers=options.workers, progress=False)
        return [
            [
                Labelled(int(stage), int(index), rle.decode("ascii"), image.size)
                for stage, index, rle in zip(image.stages, image.class_ids, image.masks.rles, strict=True)
            ]
            for image in labels
        ]

    return label


def most_memory() -> int:
    """The most memory that this process had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def equal_share(one: Sequence[Sequence[Labelled]], other: Sequence[Sequence[Labelled]]) -> float:
    """Part of the masks of both sides that the other side has: same stage and class, IoU of 0.98 at least.

    Example:
        >>> mask = Labelled(11, 3, "0h0", (4, 6))
        >>> equal_share([[mask]], [[mask, mask._replace(class_id=4)]])
        0.6666666666666666
    """
    matched = total = 0
    for left, right in zip(one, other, strict=True):
        total += len(left) + len(right)
        rest = list(right)
        for mask in left:
            same = next((candidate for candidate in rest if _same(mask, candidate)), None)
            if same is not None:
                rest.remove(same)
                matched += 2
    return matched / total if total else 1.0


def _same(one: Labelled, other: Labelled) -> bool:
    if (one.stage, one.class_id) != (other.stage, other.class_id):
        return False
    if one.counts == other.counts:
        return True
    ones = np.ones(2, np.float32)
    pair = MaskSet(one.size, (one.counts.encode(), other.counts.encode()), ones, ones)
    return bool(pair.iou()[0, 1] >= SAME_IOU)


def measure(options: argparse.Namespace, paths: list[Path]) -> dict[str, Any]:
    """Let both sides take turns and compare them."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    sides = (*SIDES, RECIPE) if options.models == "offline" else SIDES
    for side in sides:
        pipes[side], theirs = context.Pipe()
        process = context.Process(target=serve, args=(side, options, paths, theirs), daemon=True)
        process.start()
        processes.append(process)

    def turn(side: str, wanted: list[Path]) -> Any:
        pipes[side].send(wanted)
        while not pipes[side].poll(5):
            if not all(process.is_alive() for process in processes):
                raise RuntimeError(f"the process of {side!r} ended: its error stands above")
        return pipes[side].recv()

    for side in () if options.cold else sides:
        turn(side, paths[-1:])  # loads what is loaded on first use
    turns: dict[str, list[Any]] = {side: [] for side in sides}
    equal = []
    for number in range(options.rounds):
        start = number * options.count % len(paths)
        wanted = sorted((paths + paths)[start : start + options.count])
        for side in sides if number % 2 == 0 else sides[::-1]:
            turns[side].append(turn(side, wanted))
        equal.append(equal_share(turns["plain"][-1][3], turns["fmbseg"][-1][3]))
    memory = {}
    for side in sides:
        pipes[side].send(None)
        memory[side] = pipes[side].recv()
    for process in processes:
        process.join()
    return summary(turns, memory, equal, options)


def measure_encoder(options: argparse.Namespace) -> dict[str, Any]:
    """The image encoder alone, in turn."""
    from segment_anything.build_sam import _build_sam

    from fmbseg.models.mask_generators.lean_encoder import LeanEncoder

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    module = _build_sam(768, 12, 12, [2, 5, 8, 11]).eval().image_encoder
    pixels = torch.randn(1, 3, 1024, 1024)
    calls = {"plain": partial(module, pixels), "fmbseg": partial(LeanEncoder(module), pixels)}
    return {
        **in_turn(calls, options.rounds),
        "settings": {name: getattr(options, name) for name in ("models", "rounds", "threads")},
        "versions": _versions(),
    }


@torch.inference_mode()
def in_turn(calls: Mapping[str, Callable[[], torch.Tensor]], rounds: int) -> dict[str, Any]:
    """Call both sides in turn; processor time, its ratio, and how far their results are apart."""
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    found = {}
    for number in range(rounds):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            start = process_time()
            found[side] = calls[side]()
            seconds[side].append(process_time() - start)
    ratios = [plain / ours for plain, ours in zip(*seconds.values(), strict=True)]
    return {
        "cpu_ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "largest_difference": float((found["plain"] - found["fmbseg"]).abs().max()),
        "largest_value": round(float(found["plain"].abs().max()), 3),
        "cpu_seconds": {side: round(median(each), 2) for side, each in seconds.items()},
    }


def _versions() -> dict[str, str]:
    return {"fmbseg": __version__, "torch": torch.__version__, "python": platform.python_version()}


def summary(
    turns: dict[str, list[Any]],
    memory: dict[str, tuple[int, int]],
    equal: list[float],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Put the turns of both sides in one object."""
    ratios, cpu = _ratios(turns, "fmbseg", 0), _ratios(turns, "fmbseg", 1)
    recipe = {}
    if RECIPE in turns:
        recipe = {"ratio_with_recipe_sampling": round(median(_ratios(turns, RECIPE, 0)), 3)}
    return {
        "ratio": round(median(ratios), 3),
        "cpu_ratio": round(median(cpu), 3),
        "memory_ratio": round(memory["fmbseg"][1] / memory["plain"][1], 3),
        "equal_masks": round(min(equal), 4),
        **recipe,
        "ratios": [round(ratio, 3) for ratio in ratios],
        "sides": {side: _side(turns[side], memory[side], options.count) for side in turns},
        "settings": {
            name: getattr(options, name)
            for name in ("models", "count", "rounds", "points_per_side", "threads", "workers", "cold")
        },
        "versions": _versions(),
    }


def _ratios(turns: dict[str, list[Any]], side: str, which: int) -> list[float]:
    """Of each turn, the plain side's seconds (0: of the clock, 1: of CPU) over a side's."""
    return [plain[which] / ours[which] for plain, ours in zip(turns["plain"], turns[side], strict=True)]


def _side(turns: list[Any], memory: tuple[int, int], count: int) -> dict[str, Any]:
    parts = sorted({part for _, _, seconds, _ in turns for part in seconds})
    wall = median(turn[0] for turn in turns) / count
    where = {part: round(median(turn[2].get(part, 0.0) for turn in turns) / count, 3) for part in parts}
    return {
        "seconds_per_image": round(wall, 3),
        "images_per_second": round(1 / wall, 4),
        "cpu_seconds_per_image": round(median(turn[1] for turn in turns) / count, 3),
        "seconds_by_part": where,
        "seconds_of_the_rest": round(wall - sum(where.values()), 3),  # below 0 where parts overlap
        "masks_per_image": round(
            sum(len(one) for turn in turns for one in turn[3]) / (count * len(turns)), 2
        ),
        "memory_gb": {"loaded": round(memory[0] / 1e9, 3), "most": round(memory[1] / 1e9, 3)},
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the result as the last line."""
    options = parse(arguments)
    if options.models == "encoder":
        tell(measure_encoder(options))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.images is None:
            options.images = Path(folder) / "photographs"
            copy_photographs(options.images)
        paths = find_images(options.images)[: max(options.count * options.rounds, 1)]
        result = measure(options, paths)
    tell(result)


if __name__ == "__main__":
    main(sys.argv[1:])
