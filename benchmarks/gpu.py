"""What an accelerator is worth: every step of fmbseg beside its bare models, random weights of true shapes.

    python -m benchmarks.gpu --shapes paper --out benchmarks/results/gpu_paper.json

needs no network and no files: photographs are JPEGs of smooth noise made on the spot, and time does not
depend on what weights have learned. It measures, on the accelerator that PyTorch finds (``--device`` names
another):

- ``label``: photographs a second of Stage 1 with the whole grid of points and with fewer (``adaptive``), and
  ``outside``, the share of the time that is not spent in the models, in a second run that waits for each
  call;
- ``features``: photographs a second of Stage 2's features, from files, over the bare backbone's on pixels
  that lie on the device already, at its best batch (``ratio``);
- ``epoch``: seconds of a training's later epoch on kept features;
- ``segment``: photographs a second from arrays in memory over the bare backbone's on the same pixels, by
  side, classes and batch;
- ``same_as_cpu``: share of pixels whose class is that of the CPU, both in float32; ``bf16``: the same with a
  bfloat16 encoder;
- ``top``: the ten operations that take most of the device's time, of labelling and of segmenting.

Peak memory is the device's where it tells it, else the process's. A part that does not fit its memory is
told as such, and the others go on; parts that ``--minutes`` leaves no time for are listed as ``skipped``. The
last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from benchmarks.feature_cache import labelled, timed_epochs
from benchmarks.label_throughput import Meter, random_encoder
from benchmarks.output import tell
from fmbseg import OpenVocabSegmenter, PseudoLabeler, Vocabulary, __version__
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.features import FeatureCache
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.images import load_image
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models.mask_generators.segment_anything import sam
from fmbseg.models.registries import BACKBONES
from fmbseg.segment_settings import WindowSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.models.contracts import Backbone, ImageTextEncoder
    from fmbseg.models.mask_generators.torch_sam import TorchSam

PARTS = ("classes", "segment", "features", "epoch", "label_grid", "label_adaptive")


@dataclass(frozen=True)
class Shapes:
    """Architectures, and how much to do with them.

    Attributes:
        backbone: a preset.
        image_text: an architecture of open_clip.
        sam: width, depth, heads and global attention layers of segment-anything's image encoder.
        points: along each side of the grid.
        sides: of the images that are segmented, in pixels.
        batches: windows at once.
        classes: numbers of words.
        size: of the photographs, width and height in pixels.
        label_side: short side in pixels of what the image-text model sees.
    """

    backbone: str
    image_text: str
    sam: tuple[int, int, int, tuple[int, ...]]
    points: int = 32
    sides: tuple[int, ...] = (448, 1022)  # multiples of a patch, so that both sides see the same pixels
    batches: tuple[int, ...] = (1, 8, 32)
    classes: tuple[int, ...] = (21, 171)
    size: tuple[int, int] = (640, 480)
    label_side: int = 448


SHAPES = {
    "paper": Shapes("dinov2_vitl14", "ViT-L-14-quickgelu", (1280, 32, 16, (7, 15, 23, 31))),
    "base": Shapes("dinov2_vitb14", "ViT-B-16-quickgelu", (768, 12, 12, (2, 5, 8, 11))),
    # For the benchmark's own test.
    "tiny": Shapes("dinov2_vits14", "ViT-S-32-alt", (32, 1, 2, ()), 2, (28,), (1, 2), (3,), (64, 48), 224),
}


class Device:
    """The device that is measured.

    Args:
        name: of it; the accelerator that PyTorch finds, or the CPU, if not given.
    """

    def __init__(self, name: str | None) -> None:
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        self.device = torch.device(name) if name else (found or torch.device("cpu"))

    def wait(self) -> None:
        """Until all that was asked of the device is done."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)

    def name(self) -> str:
        """What the device calls itself."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return platform.processor() or platform.machine()

    def seconds(self, call: Callable[[], object]) -> float:
        """By the clock, until the device is done."""
        self.wait()
        start = perf_counter()
        call()
        self.wait()
        return perf_counter() - start

    def peak_gb(self) -> float:
        """Most memory since the last call: the device's, or of the process since its start."""
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) / 1e9
            torch.cuda.reset_peak_memory_stats(self.device)
            return round(peak, 3)
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3)

    def top(self, call: Callable[[], object]) -> list[list[Any]]:
        """The ten operations that take most of the time: name and milliseconds."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=activities) as profile:
            self.seconds(call)
        kind = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        events = sorted(profile.key_averages(), key=lambda event: -getattr(event, kind))
        return [[event.key[:80], round(getattr(event, kind) / 1000, 2)] for event in events[:10]]


def photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """JPEGs of smooth noise, the same in every run."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        paths.append(folder / f"{number:04}.jpg")
        coarse.resize(size, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def words(count: int) -> Vocabulary:
    """So many classes."""
    return Vocabulary.of([f"class {index}" for index in range(count)])


class Measured:
    """The parts of the benchmark.

    Args:
        shapes: of the models.
        device: to measure.
        paths: of the photographs.
        work: folder for what is written.
    """

    def __init__(self, shapes: Shapes, device: Device, paths: list[Path], work: Path) -> None:
        self.shapes, self.device, self.paths, self.work = shapes, device, paths, work
        self.backbone: Backbone = BACKBONES.create(shapes.backbone, weights="random").to(device.device)
        self.encoder: ImageTextEncoder = random_encoder(shapes.image_text)
        self.encoder.to(device.device)

    def label(self, sampling: str) -> dict[str, Any]:
        """Stage 1, with all points of the grid or fewer."""
        generator = self._sam(sampling)
        labeler = PseudoLabeler(
            "offline",
            image_text=self.encoder,
            mask_generator=generator,
            settings=LabelingSettings(
                min_crops=1, min_predicted_iou=0.5, max_area=1.0, short_side=self.shapes.label_side
            ),
            device=self.device.device,
        )
        vocabulary = words(self.shapes.classes[0])
        labeler.label_image(self.paths[0], vocabulary)
        self.device.peak_gb()

        turns = count()

        def run() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out = self.work / f"labels-{sampling}-{next(turns)}"
                labeler.label(self.paths, vocabulary, out, progress=False)

        free = self.device.seconds(run)
        peak = self.device.peak_gb()
        meter = _Waiting(self.device)
        meter.watch(self.encoder, "encode_image", "image-text model")
        meter.watch(generator.model, "encode", "mask model, encoding")
        for decode in ("decode", "decode_several"):
            meter.watch(generator.model, decode, "mask model, decoding")
        waiting = self.device.seconds(run)
        parts = {name: round(seconds / waiting, 4) for name, seconds in meter.seconds.items()}
        return {
            "photographs_a_second": round(len(self.paths) / free, 3),
            "outside": round(1 - sum(meter.seconds.values()) / waiting, 4),
            "parts": parts,
            "peak_gb": peak,
            "top": self.device.top(lambda: labeler.label_image(self.paths[0], vocabulary)),
        }

    def features(self) -> dict[str, Any]:
        """Stage 2's features from files, beside the bare backbone."""
        settings = TrainingSettings(image_size=self.shapes.sides[0])
        examples = [labelled(path, settings, self.backbone, n) for n, path in enumerate(self.paths)]
        cache = FeatureCache(self.backbone, self.device.device, self.work / "features", 20.0)
        cache.open(examples)
        self._bare(1, examples[0].size)  # the first call is none that lasts
        self.device.peak_gb()
        rate = len(examples) / self.device.seconds(lambda: list(cache.fill(examples)))
        peak = self.device.peak_gb()
        cache.close()
        height, width = examples[0].size
        bare = {batch: self._bare(batch, (height, width)) for batch in self.shapes.batches}
        best = max(bare.values())
        return {
            "photographs_a_second": round(rate, 3),
            "bare_by_batch": {str(batch): round(value, 3) for batch, value in bare.items()},
            "ratio": round(rate / best, 4),
            "peak_gb": peak,
        }

    def epoch(self) -> dict[str, Any]:
        """A training on kept features."""
        settings = TrainingSettings(epochs=3, image_size=self.shapes.sides[0])
        examples = [labelled(path, settings, self.backbone, n) for n, path in enumerate(self.paths)]
        self.device.peak_gb()
        epochs = timed_epochs(self.backbone, examples, settings, self.work / "epochs", self.device.device)
        return {
            "photographs": len(examples),
            "first_seconds": round(epochs[0]["wall_seconds"], 4),
            "later_seconds": round(min(epoch["wall_seconds"] for epoch in epochs[1:]), 4),
            "peak_gb": self.device.peak_gb(),
        }

    def segment(self) -> list[dict[str, Any]]:
        """Whole segmentations beside the bare backbone, by side, classes and batch."""
        rows = []
        for side, batch in product(self.shapes.sides, self.shapes.batches):
            bare = self._bare(batch, (side, side))
            for classes in self.shapes.classes:
                segmenter = self._segmenter(self.backbone, side, batch)
                images, vocabulary = _squares(2 * batch, side), words(classes)
                segmenter.segment(images[:batch], vocabulary)
                self.device.peak_gb()
                rate = len(images) / self.device.seconds(lambda: segmenter.segment(images, vocabulary))  # noqa: B023
                row: dict[str, Any] = {"side": side, "classes": classes, "batch": batch}
                row |= {"photographs_a_second": round(rate, 3), "ratio": round(rate / bare, 4)}
                rows.append({**row, "peak_gb": self.device.peak_gb()})
        return rows

    def classes(self) -> dict[str, Any]:
        """Equality of classes with the CPU's, what bfloat16 changes, and the operations that take most."""
        side, vocabulary = self.shapes.sides[0], words(self.shapes.classes[-1])
        images = [load_image(path) for path in self.paths[:4]]
        here = self._segmenter(self.backbone, side, 1)
        found = [result.labels for result in here.segment(images, vocabulary)]
        top = self.device.top(lambda: here.segment(images[0], vocabulary))
        exact = BACKBONES.create(self.shapes.backbone, weights="random")
        half = BACKBONES.create(self.shapes.backbone, weights="random", precision="bf16")
        same = {}
        for name, backbone in (("same_as_cpu", exact), ("bf16", half.to(self.device.device))):
            other = self._segmenter(backbone, side, 1, None if name == "bf16" else torch.device("cpu"))
            pairs = zip(found, (result.labels for result in other.segment(images, vocabulary)), strict=True)
            same[name] = round(float(np.mean([np.mean(one == two) for one, two in pairs])), 6)
        return {**same, "top": top}

    def _segmenter(
        self, backbone: Backbone, side: int, batch: int, device: torch.device | None = None
    ) -> OpenVocabSegmenter:
        torch.manual_seed(0)
        head = AlignmentHead(backbone.dim, self.encoder.dim)
        encoder = AlignedEncoder(backbone, head, self.encoder)
        windows = WindowSettings(side, side, max(1, side // 2))
        return OpenVocabSegmenter(encoder.to(device or self.device.device), windows=windows, batch_size=batch)

    def _bare(self, batch: int, size: tuple[int, int]) -> float:
        """Photographs a second of the backbone alone, on pixels that lie on the device."""
        pixels = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))
        pixels = pixels.to(self.device.device)
        with torch.inference_mode():
            self.backbone.encode(pixels)
            return 3 * batch / self.device.seconds(lambda: [self.backbone.encode(pixels) for _ in range(3)])

    def _sam(self, sampling: str) -> TorchSam:
        """A SAM of random weights whose masks are in one piece, a third of which pass its filter."""
        from segment_anything.build_sam import _build_sam

        torch.manual_seed(0)
        width, depth, heads, everywhere = self.shapes.sam
        module = _build_sam(width, depth, heads, list(everywhere)).eval()
        with torch.no_grad():
            for layer in (module.mask_decoder.output_upscaling[0], module.mask_decoder.output_upscaling[3]):
                layer.weight.copy_(layer.weight.mean(dim=(2, 3), keepdim=True).expand_as(layer.weight))
        generator = sam(
            "random",
            module=module,
            device=self.device.device,
            points_per_side=self.shapes.points,
            sampling=sampling,
            stability_threshold=0.0,
        )
        with torch.no_grad():
            prompter = generator.begin(load_image(self.paths[0]))
            points = np.random.default_rng(0).uniform(0, 40, (12, 1, 2)).astype(np.float32)
            ious = prompter.prompt(list(points)).predicted_iou
            bias = module.mask_decoder.iou_prediction_head.layers[-1].bias
            bias += 0.88 - float(np.quantile(ious, 2 / 3))
        return generator


class _Waiting(Meter):
    """A meter whose calls are over when the device is done with them."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def watch(self, owner: Any, method: str, part: str) -> None:
        real = getattr(owner, method)

        def waited(*given: Any, **named: Any) -> Any:
            self._device.wait()
            result = real(*given, **named)
            self._device.wait()
            return result

        object.__setattr__(owner, method, waited)
        super().watch(owner, method, part)


def _squares(count: int, side: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def run(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All parts, as far as time and memory go."""
    start = perf_counter()
    device, shapes = Device(options.device), SHAPES[options.shapes]
    measured = Measured(shapes, device, photographs(work, options.photographs, shapes.size), work)
    calls = (
        measured.classes,
        measured.segment,
        measured.features,
        measured.epoch,
        partial(measured.label, "grid"),
        partial(measured.label, "adaptive"),
    )
    parts: dict[str, Callable[[], object]] = dict(zip(PARTS, calls, strict=True))
    found: dict[str, Any] = {}
    skipped: list[str] = []
    for name in options.parts or parts:
        if perf_counter() - start > 60 * options.minutes:
            skipped.append(name)
            continue
        try:
            found[name] = parts[name]()
        except torch.OutOfMemoryError as error:
            found[name] = {"out_of_memory": str(error).partition(".")[0]}
        print(f"{perf_counter() - start:.0f} s: {name}: {found[name]}", file=sys.stderr, flush=True)
    return {
        "benchmark": "gpu",
        "shapes": options.shapes,
        "device": device.name(),
        **found,
        "skipped": skipped,
        "seconds": round(perf_counter() - start, 1),
        "photographs": options.photographs,
        "weights": "random",
        "versions": {"fmbseg": __version__, **{name: version(name) for name in ("torch", "timm", "numpy")}},
    }


def main(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and print its JSON object last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shapes", choices=sorted(SHAPES), default="base")
    parser.add_argument("--device", help="cuda, mps, xpu or cpu; the accelerator that there is by default")
    parser.add_argument("--photographs", type=int, default=24, help="to label and to train on")
    parser.add_argument("--minutes", type=float, default=4, help="after which no further part is begun")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="to measure; all by default")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args(command)
    with TemporaryDirectory() as work:
        result = run(options, Path(work))
    tell(result, options.out)
    return result


if __name__ == "__main__":
    main()
