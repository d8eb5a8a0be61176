"""What the feature cache saves: the time of the first epoch of a training beside that of later ones.

    python -m benchmarks.feature_cache --photographs DIR --image-size 224 --out FILE

The features of all photographs are computed before the first step, so the first epoch counts that and the
training; later epochs read. Weights are random and labels are boxes, for neither changes the time. Seconds
are of this process's processor time in one thread, which other users of the machine do not distort as they do
wall time; both are given. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from benchmarks.output import measured_with, tell
from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.features import FeatureCache
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import train
from fmbseg.alignment.training_example import TrainingExample, training_size
from fmbseg.files import sha256_of
from fmbseg.images import find_images
from fmbseg.models.registries import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.models.contracts import Backbone

_CLASSES, _TEXT_DIM = 171, 512  # of COCO-Stuff, and of CLIP ViT-B


class Clock:
    """Processor and wall seconds since it was made or read."""

    def __init__(self) -> None:
        self.read()

    def read(self) -> tuple[float, float]:
        """Seconds of both kinds; they start again from 0."""
        now = time.process_time(), time.perf_counter()
        before, self._before = getattr(self, "_before", now), now
        return now[0] - before[0], now[1] - before[1]


def labelled(path: Path, settings: TrainingSettings, backbone: Backbone, number: int) -> TrainingExample:
    """A photograph whose four quarters have a class each."""
    with Image.open(path) as image:
        size = training_size((image.height, image.width), settings.image_size, backbone.stride)
    labels = np.zeros((size[0] // backbone.stride, size[1] // backbone.stride), np.int16)
    half = labels.shape[0] // 2, labels.shape[1] // 2
    for quarter, (rows, columns) in enumerate(
        (rows, columns)
        for rows in (slice(None, half[0]), slice(half[0], None))
        for columns in (slice(None, half[1]), slice(half[1], None))
    ):
        labels[rows, columns] = (4 * number + quarter) % _CLASSES
    return TrainingExample(path, sha256_of(path), size, labels)


def timed_epochs(
    backbone: Backbone,
    examples: Sequence[TrainingExample],
    settings: TrainingSettings,
    folder: Path,
    device: torch.device,
) -> list[dict[str, float]]:
    """Train on ``device`` with a cache in ``folder``; the seconds of each epoch, whole and on features."""
    seeds = torch.Generator().manual_seed(0)
    prototypes = functional.normalize(torch.randn(_CLASSES, _TEXT_DIM, generator=seeds), dim=1)
    torch.manual_seed(settings.seed)
    head = AlignmentHead(backbone.dim, _TEXT_DIM).to(device)
    epochs: list[dict[str, float]] = []
    whole, on_features = Clock(), [0.0, 0.0]

    def counted(run: Callable[[Any], Any], given: object) -> Any:
        clock = Clock()
        result = run(given)
        for kind, seconds in enumerate(clock.read()):
            on_features[kind] += seconds
        return result

    def end_epoch(_: object) -> None:
        processor, wall = whole.read()
        epochs.append(
            {
                "seconds": processor,
                "features_seconds": on_features[0],
                "wall_seconds": wall,
                "features_wall_seconds": on_features[1],
            }
        )
        on_features[:] = [0.0, 0.0]

    cache = FeatureCache(backbone, device, folder, settings.cache_gb)
    if not cache.open(examples).kept:
        raise RuntimeError("the features do not fit the budget or the disk")
    whole.read()  # the probe that tells backbones apart is not work of an epoch
    counted(list, cache.fill(examples))
    objective = Objective(lambda example: counted(cache, example), prototypes.to(device), settings)
    train(head, examples, objective, on_step=lambda _: None, on_epoch=end_epoch)
    cache.close()
    return epochs


def summary(epochs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The ratios of later epochs (their median) to the first.

    Example:
        >>> first = {"seconds": 9.0, "features_seconds": 6.0}
        >>> summary([first, {"seconds": 3.0, "features_seconds": 0.06}])["epoch_ratio"]
        0.3333
    """
    first, later = epochs[0], epochs[1:]
    median = {name: statistics.median(epoch[name] for epoch in later) for name in first}
    return {
        "features_ratio": round(median["features_seconds"] / first["features_seconds"], 4),
        "epoch_ratio": round(median["seconds"] / first["seconds"], 4),
        "epochs": [{name: round(value, 6) for name, value in epoch.items()} for epoch in epochs],
    }


def main(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and print its JSON object last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photographs", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--count", type=int, default=30, help="photographs to take, sorted")
    parser.add_argument("--backbone", default="dinov2_vitb14", help="preset, with random weights")
    parser.add_argument("--image-size", type=int, default=448, help="short side in pixels")
    parser.add_argument("--epochs", type=int, default=3, help="at least 2")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args(command)
    if options.epochs < 2:
        parser.error(f"--epochs is {options.epochs}: there is no later one to compare with below 2")
    torch.set_num_threads(1)
    settings = TrainingSettings(epochs=options.epochs, image_size=options.image_size)
    backbone = BACKBONES.create(options.backbone, weights="random")
    files = find_images(options.photographs)[: options.count]
    examples = [labelled(path, settings, backbone, number) for number, path in enumerate(files)]
    with TemporaryDirectory() as folder:
        epochs = timed_epochs(backbone, examples, settings, Path(folder), torch.device("cpu"))
    result = {
        "benchmark": "feature_cache",
        **summary(epochs),
        "photographs": len(examples),
        "patches": sum(example.labels.size for example in examples),
        "image_size": options.image_size,
        "backbone": options.backbone,
        "dim": backbone.dim,
        "batch_size": settings.batch_size,
        "weights": "random",
        "threads": 1,
        **measured_with("torch", "numpy"),
    }
    tell(result, options.out)
    return result


if __name__ == "__main__":
    main()
