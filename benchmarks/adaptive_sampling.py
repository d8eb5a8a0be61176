"""What "segment everything" loses and saves when it does not try every point of the grid.

``python benchmarks/adaptive_sampling.py --images DIR`` runs MobileSAM over photographs, once with every point
of the grid and once with ``sampling="adaptive"``, and then once more for each ``--curve`` value of
``max_share`` and for ``sampling="cover"``. The adaptive run after the grid's is a run of its own, so
that both are timed side by side; the others reuse the grid's decodes, which changes nothing but their time.

- decodes: points tried, as a fraction of the grid's;
- recovered: of the masks of the full grid, those that a run has too, at an IoU of at least 0.8.

A mean is over photographs, each alike. ``ratio`` is the grid's decodes over the adaptive run's,
``seconds_ratio`` the same of the median seconds a photograph, encoding left out. The last line on standard
output is one JSON object.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.output import measured_with, tell
from fmbseg.images import find_images, load_image
from fmbseg.masks import MaskSet
from fmbseg.models.mask_generators.candidates import Candidates
from fmbseg.models.mask_generators.mobilesam import mobilesam
from fmbseg.models.mask_generators.sam_prompter import SamPrompter
from fmbseg.models.mask_generators.settings import EverythingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.candidates import SamDecoder

RECOVERED_IOU = 0.8


class RememberingDecoder:
    """A decoder that computes each single point once, and counts the points it is asked for.

    Args:
        decoder: of an image.
    """

    def __init__(self, decoder: SamDecoder) -> None:
        self._decoder = decoder
        self._known: dict[tuple[bytes, int], Candidates] = {}
        self.asked = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self._decoder.size

    def decode(self, points: NDArray[np.float32], *, beside: int = 0, least: float = -math.inf) -> Candidates:
        """Decode N prompts, those that are not known yet."""
        del least  # all are kept
        self.asked += len(points)
        for point in points:
            if (point.tobytes(), beside) not in self._known:
                self._known[point.tobytes(), beside] = self._decoder.decode(point[None], beside=beside)
        answers = [self._known[point.tobytes(), beside] for point in points]
        return Candidates(
            torch.cat([one.logits for one in answers]), torch.cat([one.predicted_iou for one in answers])
        )

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        """Decode boxes, always anew."""
        return self._decoder.decode_boxes(boxes)

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Bring coarse logits to the image."""
        return self._decoder.upscale(logits)

    def sample(self, logits: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read coarse logits at points."""
        return self._decoder.sample(logits, points)

    def features(self, points: NDArray[np.float32]) -> torch.Tensor:
        """Read the encoder's features at points."""
        return self._decoder.features(points)


def recovered(masks: MaskSet, reference: MaskSet) -> float:
    """Return the part of the reference's masks that ``masks`` has, too; 1 where the reference has none.

    Example:
        >>> import numpy as np
        >>> one = np.zeros((2, 4, 5), bool)
        >>> one[0, :2], one[1, 2:] = True, True
        >>> both = MaskSet.from_masks(one)
        >>> recovered(both.select([0]), both), recovered(both, both.select([]))
        (0.5, 1.0)
    """
    if not len(reference):
        return 1.0
    if not len(masks):
        return 0.0
    iou = MaskSet.concat([reference, masks]).iou()[: len(reference), len(reference) :]
    return float((iou.max(axis=1) >= RECOVERED_IOU).mean())


def measure(
    image: NDArray[np.uint8], decoder: SamDecoder, settings: EverythingSettings, curve: Sequence[float]
) -> dict[str, Any]:
    """Run every way of sampling over one encoded photograph."""
    grid, adaptive = RememberingDecoder(decoder), RememberingDecoder(decoder)
    reference, grid_seconds = everything(image, grid, replace(settings, sampling="grid"))
    masks, adaptive_seconds = everything(image, adaptive, replace(settings, sampling="adaptive"))
    points = grid.asked
    row: dict[str, Any] = {
        "masks": len(reference),
        "decodes": adaptive.asked / points,
        "recovered": recovered(masks, reference),
        "seconds": {"grid": grid_seconds, "adaptive": adaptive_seconds},
        "curve": {},
    }
    others = {f"{value:g}": replace(settings, sampling="adaptive", max_share=value) for value in curve}
    others["cover"] = replace(settings, sampling="cover")
    for name, other in others.items():
        grid.asked = 0
        masks, _ = everything(image, grid, other)
        row["curve"][name] = {"decodes": grid.asked / points, "recovered": recovered(masks, reference)}
    return row


def everything(
    image: NDArray[np.uint8], decoder: RememberingDecoder, settings: EverythingSettings
) -> tuple[MaskSet, float]:
    """Segment everything, and say how many seconds it took."""
    prompter = SamPrompter(image, lambda _: decoder, settings)
    start = perf_counter()
    return prompter.everything(), perf_counter() - start


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Average over photographs."""
    curve = {
        name: {
            key: round(mean(row["curve"][name][key] for row in rows), 4) for key in ("decodes", "recovered")
        }
        for name in rows[0]["curve"]
    }
    seconds = {name: median(row["seconds"][name] for row in rows) for name in ("grid", "adaptive")}
    decodes = mean(row["decodes"] for row in rows)
    return {
        "ratio": round(1 / decodes, 3),
        "seconds_ratio": round(seconds["grid"] / seconds["adaptive"], 3),
        "decodes": round(decodes, 4),
        "recovered": round(mean(row["recovered"] for row in rows), 4),
        "curve": curve,
        "median_seconds": {name: round(value, 2) for name, value in seconds.items()},
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the photographs that were asked for."""
    torch.set_num_threads(arguments.threads)
    settings = EverythingSettings(
        points_per_side=arguments.points_per_side,
        points_per_batch=1,
        predicted_iou_threshold=arguments.predicted_iou,
        stability_threshold=arguments.stability,
    )
    generator = mobilesam(threads=arguments.threads)
    paths = sorted(find_images(arguments.images), key=lambda path: path.stem)
    random.Random(arguments.seed).shuffle(paths)
    rows = []
    for path in paths[arguments.skip :][: arguments.count]:
        image = load_image(path)
        row = measure(image, generator.decoder(image), settings, arguments.curve)
        rows.append({"photograph": path.stem, **row})
        print(path.stem, f"{row['decodes']:.3f} {row['recovered']:.3f}", file=sys.stderr, flush=True)
    return {
        **summary(rows),
        "photographs": rows,
        "settings": asdict(settings),
        "arguments": {
            "seed": arguments.seed,
            "skip": arguments.skip,
            "count": len(rows),
            "threads": arguments.threads,
        },
        **measured_with("torch", "onnxruntime", "numpy"),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    default = EverythingSettings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--count", type=int, default=10, help="photographs to measure")
    parser.add_argument("--skip", type=int, default=0, help="photographs to leave out, of the shuffled order")
    parser.add_argument("--seed", type=int, default=0, help="of the order of photographs")
    parser.add_argument("--points-per-side", type=int, default=default.points_per_side)
    parser.add_argument("--predicted-iou", type=float, default=default.predicted_iou_threshold)
    parser.add_argument("--stability", type=float, default=default.stability_threshold)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--curve",
        type=float,
        nargs="*",
        default=[0.2, 0.25, 0.5],
        help="values of max_share",
    )
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Print one JSON object as the last line."""
    tell(run(parse(command)))


if __name__ == "__main__":
    main()
