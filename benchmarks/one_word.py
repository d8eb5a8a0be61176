"""One word alone: what a photograph shows of it, and nothing beside it.

``python -m benchmarks.one_word --data DIR`` asks the packaged head for one word at a time, for every class
that a photograph of the fold shows:

- ``none``: no background, so that the word wins everything;
- ``common``: common words as background (``fmbseg.vocabularies.common_background_words``), the head alone,
  what is not certain is blank; ``common_everything``: nothing blank;
- ``deployed``, ``deployed_everything``: the same with the recipe's settings, masks of regions included.

A class's IoU is over all photographs that show it; the mean is over classes. Intervals hold 90 % of 1,000
draws of the photographs, with replacement. Of the classes of ``--watch`` the IoU of each photograph is told,
and the best that was possible: by any threshold on the head's similarity to the word, and by any one mask of
the mask model. ``--data`` is a folder with ``images/``, ``masks/``, ``classes.txt`` and ``manifest.csv``.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from benchmarks.output import tell
from fmbseg import OpenVocabSegmenter
from fmbseg.evaluation.intervals import drawn_figure, interval, mean_of_classes
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.heads import DEFAULT_HEAD
from fmbseg.models.registries import MASK_GENERATORS
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import Background, SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.models.contracts import MaskGenerator

WAYS = ("none", "common", "common_everything", "deployed", "deployed_everything")


class Remembering:
    """Encodes the windows of a photograph once, however many words are asked for.

    Args:
        encode: of an encoder, in whose place it stands.
    """

    def __init__(self, encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._encode = encode
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forget(self) -> None:
        """Before another photograph."""
        self._kept.clear()

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """As the encoder does."""
        for seen, made in self._kept:
            if torch.equal(seen, pixels):
                return made
        made = self._encode(pixels)
        self._kept.append((pixels, made))
        return made


class Counted(NamedTuple):
    """What was painted, photograph by photograph.

    Attributes:
        keys: of the photographs.
        pixels: for each way (photographs, classes, 3): in both, in either, painted; 0 where it is not shown.
        possible: by watched class and photograph, the best IoU by a threshold and by one mask.
    """

    keys: list[str]
    pixels: dict[str, NDArray[np.int64]]
    possible: dict[str, dict[str, dict[str, float]]]


def count(
    segmenter: OpenVocabSegmenter,
    generator: MaskGenerator,
    folder: MaskFolder,
    fold: str,
    classes: Sequence[str],
    watch: Sequence[str],
) -> Counted:
    """Ask for every class that a photograph shows, alone.

    Args:
        segmenter: with the settings of ``deployed``.
        generator: of the masks of which one might be the class's.
        folder: of photographs.
        fold: of the folder.
        classes: only these; all if empty.
        watch: classes of which it is told what was possible.
    """
    photographs = folder.fold(fold)
    pixels = {way: np.zeros((len(photographs), len(folder.names), 3), np.int64) for way in WAYS}
    possible: dict[str, dict[str, dict[str, float]]] = {name: {} for name in watch}
    known = segmenter.encoder.certainty
    least = 0.0 if known is None else known.default
    common = Background("common")
    asked = {
        "common": SegmentSettings(background=common, certainty=0.0),
        "deployed": replace(segmenter.settings, background=common, certainty=0.0),
    }
    remembering = Remembering(segmenter.encoder.encode)
    segmenter.encoder.encode = remembering  # type: ignore[method-assign]
    for row, photograph in enumerate(photographs):
        image, target = folder.load(photograph)
        remembering.forget()
        shown_here = np.unique(target[target >= 0]).tolist()
        for index in (one for one in shown_here if not classes or folder.names[one] in classes):
            name, shown = folder.names[index], target == index
            for way, settings in asked.items():
                result = segmenter.segment(image, [name], settings=settings)
                word = result.mask(name)
                certain = word if result.certainty is None else word & (result.certainty >= least)
                pixels[way][row, index] = _counts(certain, shown)
                pixels[f"{way}_everything"][row, index] = _counts(word, shown)
            # Without background the one word wins every pixel.
            pixels["none"][row, index] = np.count_nonzero(shown), shown.size, shown.size
            if name in watch:
                possible[name][photograph.key] = {
                    "shown": round(float(shown.mean()), 4),
                    "by_a_threshold": round(best_by_threshold(result.similarity(name), shown), 4),
                    "by_one_mask": round(best_mask(generator.begin(image).everything(), shown), 4),
                }
        print(f"{row + 1} of {len(photographs)}", file=sys.stderr)
    return Counted([photograph.key for photograph in photographs], pixels, possible)


def _counts(painted: NDArray[np.bool_], shown: NDArray[np.bool_]) -> tuple[int, int, int]:
    return int((painted & shown).sum()), int((painted | shown).sum()), int(painted.sum())


def best_by_threshold(scores: NDArray[np.floating], shown: NDArray[np.bool_]) -> float:
    """The highest IoU that painting what scores above some threshold could reach.

    Example:
        >>> best_by_threshold(np.array([0.9, 0.5, 0.4, 0.1]), np.array([True, False, True, False]))
        0.6666666666666666
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    hits = shown.ravel()[order].cumsum()
    either = np.arange(1, shown.size + 1) + hits[-1] - hits
    last = np.append(np.diff(scores.ravel()[order]) < 0, True)  # equal scores are painted together
    return float((hits / either)[last].max())


def best_mask(masks: MaskSet, shown: NDArray[np.bool_]) -> float:
    """The highest IoU of any of the masks; 0 if there are none."""
    found = (_counts(masks.decode(index), shown) for index in range(len(masks)))
    return max((both / either for both, either, _ in found), default=0.0)


def mean_iou(sums: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.float64]:
    """The mean over classes that are shown of their IoU, of sums over photographs (draws, classes, 3)."""
    both, either, _ = np.moveaxis(sums.astype(np.float64), -1, 0)
    return mean_of_classes(both, either, either > 0)


def ends(pixels: NDArray[np.int64]) -> list[float]:
    """The interval of :func:`mean_iou` over draws of the photographs (photographs, classes, 3)."""
    return [round(end, 4) for end in interval(drawn_figure(pixels, mean_iou))]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the JSON object."""
    folder = MaskFolder(arguments.data)
    segmenter = OpenVocabSegmenter.from_pretrained(arguments.head)
    recipe = get_recipe(DEFAULT_HEAD)
    assert recipe.mask_generator is not None
    generator = MASK_GENERATORS.create(recipe.mask_generator, **recipe.mask_options)
    keys, pixels, possible = count(
        segmenter, generator, folder, arguments.fold, arguments.classes, arguments.watch
    )
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
    about = {"benchmark": "one_word", "head": arguments.head, "fold": arguments.fold}
    return {**about, **found, "possible": possible}


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
