"""One word alone: what a photograph shows of it, and nothing beside it.

``python -m benchmarks.one_word --data DIR`` asks a head for one word at a time, for every class that a
photograph of the fold shows, with common words as background
(:func:`fmbseg.vocabularies.common_background_words`) and without, where the word wins everything. A class's
IoU is over all photographs that show it; the mean is over classes. Intervals hold 90 % of 1,000 draws of the
photographs, with replacement. ``--data`` is a folder with ``images/``, ``masks/``, ``classes.txt`` and
``manifest.csv``.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.output import tell
from fmbseg import OpenVocabSegmenter
from fmbseg.evaluation.intervals import drawn_figure, interval, mean_of_classes
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.heads import DEFAULT_HEAD
from fmbseg.segment_settings import Background, SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.segmentation.encoding import TextSpaceEncoder

RULES = ("none", "common")


class Remembering:
    """An encoder that encodes the windows of a photograph once, however many words are asked for.

    Args:
        encoder: that it stands in for.
    """

    def __init__(self, encoder: TextSpaceEncoder) -> None:
        self._encoder = encoder
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def forget(self) -> None:
        """Before another photograph."""
        self._kept.clear()

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """As the encoder does."""
        for seen, made in self._kept:
            if torch.equal(seen, pixels):
                return made
        made = self._encoder.encode(pixels)
        self._kept.append((pixels, made))
        return made


def count(
    segmenter: OpenVocabSegmenter, folder: MaskFolder, fold: str, classes: Sequence[str]
) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """Pixels of every photograph and class: in both, in either, and painted; zeros where it is not shown.

    Returns:
        The photographs' keys, and for each rule (photographs, classes, 3).
    """
    photographs = folder.fold(fold)
    pixels = {rule: np.zeros((len(photographs), len(folder.names), 3), np.int64) for rule in RULES}
    settings = SegmentSettings(background=Background("common"))
    remembering = Remembering(segmenter.encoder)
    segmenter.encoder = remembering
    for row, photograph in enumerate(photographs):
        image, target = folder.load(photograph)
        remembering.forget()
        shown_here = np.unique(target[target >= 0]).tolist()
        for index in (one for one in shown_here if not classes or folder.names[one] in classes):
            name = folder.names[index]
            result = segmenter.segment(image, [name], settings=settings)
            painted, shown = result.labels == result.names.index(name), target == index
            both, either = np.count_nonzero(painted & shown), np.count_nonzero(painted | shown)
            pixels["common"][row, index] = both, either, np.count_nonzero(painted)
            # Without background the one word wins every pixel.
            pixels["none"][row, index] = np.count_nonzero(shown), shown.size, shown.size
        print(f"{row + 1} of {len(photographs)}", file=sys.stderr)
    return [photograph.key for photograph in photographs], pixels


def mean_iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over classes that are shown of their IoU, of sums over photographs (draws, classes, 3)."""
    both, either, _ = np.moveaxis(sums, -1, 0)
    return mean_of_classes(both, either, either > 0)


def ends(pixels: NDArray[np.int64]) -> list[float]:
    """The interval of :func:`mean_iou` over draws of the photographs (photographs, classes, 3)."""
    return [round(end, 4) for end in interval(drawn_figure(pixels, mean_iou))]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the JSON object."""
    folder = MaskFolder(arguments.data)
    segmenter = OpenVocabSegmenter.from_pretrained(arguments.head)
    keys, pixels = count(segmenter, folder, arguments.fold, arguments.classes)
    watched = [folder.names.index(name) for name in arguments.watch]
    found: dict[str, Any] = {}
    for rule, of_rule in pixels.items():
        both, either, painted = of_rule.sum(axis=0).T
        by_class = {
            name: round(float(both[index] / either[index]), 4)
            for index, name in enumerate(folder.names)
            if either[index]
        }
        found[rule] = {
            "miou": round(float(mean_iou(of_rule.sum(axis=0, keepdims=True))[0]), 4),
            "miou_90": ends(of_rule),
            "precision": round(float(both.sum() / max(1, painted.sum())), 4),
            "iou": by_class,
            "iou_by_photograph": {
                folder.names[index]: {
                    key: round(float(row[0] / row[1]), 4)
                    for key, row in zip(keys, of_rule[:, index], strict=True)
                    if row[1]
                }
                for index in watched
            },
        }
    return {"benchmark": "one_word", "head": arguments.head, "fold": arguments.fold, **found}


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with masks")
    parser.add_argument("--fold", default="val")
    parser.add_argument("--head", default=DEFAULT_HEAD)
    parser.add_argument("--classes", nargs="*", default=(), help="only these")
    parser.add_argument("--watch", nargs="*", default=("dog",), help="classes told by photograph")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    with torch.inference_mode():
        tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
