"""One word alone: what a photograph shows of it, and nothing beside it.

``python -m benchmarks.one_word --data DIR`` asks the packaged head for one word at a time, for every class
that a photograph of the fold shows, with common words as background
(``fmbseg.vocabularies.common_background_words``):

- ``none``: no background, so that the word wins everything;
- ``common``: the head alone; ``common_certain``: what is not certain is blank;
- ``regions``: with the recipe's settings and the masks of regions; ``regions_certain``: the uncertain blank;
- ``masks``: with all masks of the mask model;
- ``deployed``: as the recipe says, with a second look at masks that are hardly told from background
  (``fmbseg.segment_settings.SecondLook``).

A class's IoU is over all photographs that show it; the mean is over classes. Intervals hold 90 % of 1,000
draws of the photographs, with replacement; so do those of the difference from ``regions``. Of the classes of
``--watch`` the IoU of each photograph is told, and the best that was possible: by any threshold on the head's
similarity to the word, and by any one mask of the mask model. ``--data`` is a folder with ``images/``,
``masks/``, ``classes.txt`` and ``manifest.csv``.

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
from fmbseg.methods import ModelPool
from fmbseg.models.registries import BACKBONES
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import Background, MaskNaming, RegionNaming, SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.methods.remembering import Memory
    from fmbseg.models.contracts import MaskGenerator

WAYS = ("none", "common_certain", "common", "regions_certain", "regions", "masks", "deployed")
_CERTAIN = "_certain"


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


def ways(segmenter: OpenVocabSegmenter, generator: MaskGenerator) -> dict[str, SegmentSettings]:
    """The settings of each way that asks for masks of ``generator`` or none; every pixel is painted."""
    own = get_recipe(DEFAULT_HEAD).segmenting
    assert isinstance(own.refine, RegionNaming)
    assert isinstance(own.refine_common, MaskNaming)
    common = Background("common")
    best = replace(segmenter.settings, background=common, certainty=0.0, refine_common=None)
    return {
        "common": SegmentSettings(background=common, certainty=0.0),
        "regions": replace(best, refine=replace(own.refine, generator=generator, options={})),
        "masks": replace(best, refine=MaskNaming(generator)),
        "deployed": replace(best, refine=replace(own.refine_common, generator=generator, options={})),
    }


def count(
    segmenter: OpenVocabSegmenter,
    generator: MaskGenerator,
    folder: MaskFolder,
    fold: str,
    classes: Sequence[str],
    watch: Sequence[str],
    memory: Memory,
) -> Counted:
    """Ask for every class that a photograph shows, alone.

    Args:
        segmenter: with the settings of the recipe.
        generator: of masks.
        folder: of photographs.
        fold: of the folder.
        classes: only these; all if empty.
        watch: classes of which it is told what was possible.
        memory: of the models, which is turned to each photograph.
    """
    photographs = folder.fold(fold)
    pixels = {way: np.zeros((len(photographs), len(folder.names), 3), np.int64) for way in WAYS}
    possible: dict[str, dict[str, dict[str, float]]] = {name: {} for name in watch}
    known = segmenter.encoder.certainty
    least = 0.0 if known is None else known.default
    asked = ways(segmenter, generator)
    for row, photograph in enumerate(photographs):
        image, target = folder.load(photograph)
        memory.turn_to(photograph.key)
        shown_here = np.unique(target[target >= 0]).tolist()
        for index in (one for one in shown_here if not classes or folder.names[one] in classes):
            name, shown = folder.names[index], target == index
            for way, settings in asked.items():
                result = segmenter.segment(image, [name], settings=settings)
                word = result.mask(name)
                pixels[way][row, index] = _counts(word, shown)
                if way + _CERTAIN in pixels:
                    certain = word if result.certainty is None else word & (result.certainty >= least)
                    pixels[way + _CERTAIN][row, index] = _counts(certain, shown)
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


def gain(pixels: NDArray[np.int64], other: NDArray[np.int64]) -> list[float]:
    """The interval of what :func:`mean_iou` of the first has more than of the second, same photographs."""

    def more(sums: NDArray[np.floating]) -> NDArray[np.float64]:
        return mean_iou(sums[..., :3]) - mean_iou(sums[..., 3:])

    return [round(end, 4) for end in interval(drawn_figure(np.concatenate([pixels, other], axis=2), more))]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the JSON object."""
    folder = MaskFolder(arguments.data)
    recipe, pool = get_recipe(DEFAULT_HEAD), ModelPool(device="cpu")
    assert recipe.mask_generator is not None
    segmenter = OpenVocabSegmenter.from_pretrained(
        arguments.head,
        backbone=pool.backbone(BACKBONES.create(recipe.backbone)),
        text_encoder=pool.image_text(recipe.image_text),
        device="cpu",
    )
    generator = pool.mask_generator(recipe.mask_generator, recipe.mask_options)
    found: dict[str, Any] = {}
    possible: dict[str, Any] = {}
    for fold in arguments.fold:
        counted = count(segmenter, generator, folder, fold, arguments.classes, arguments.watch, pool.memory)
        watched = {name: folder.names.index(name) for name in arguments.watch}
        possible[fold] = counted.possible
        for way, pixels in counted.pixels.items():
            both, _, painted = pixels.sum(axis=(0, 1))
            shown = pixels[..., 1].sum() - painted + both
            found[f"{fold}, {way}"] = {
                "miou": round(float(mean_iou(pixels.sum(axis=0, keepdims=True))[0]), 4),
                "miou_90": ends(pixels),
                "more_than_regions_90": gain(pixels, counted.pixels["regions"]),
                "precision": round(float(both / max(1, painted)), 4),
                "recall": round(float(both / max(1, shown)), 4),
                "iou_by_photograph": {
                    name: {
                        key: round(float(row[0] / row[1]), 4)
                        for key, row in zip(counted.keys, pixels[:, index], strict=True)
                        if row[1]
                    }
                    for name, index in watched.items()
                },
            }
    about = {"benchmark": "one_word", "head": arguments.head, "classes": len(arguments.classes) or "all"}
    return {**about, "ways": found, "possible": possible}


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with masks")
    parser.add_argument("--fold", nargs="+", default=("train", "val"))
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
