"""The offline recipe's settings, chosen anew where its figures are not reported: on fold ``train``.

``python -m benchmarks.choose_settings --data DIR`` goes through candidates on fold ``train`` of ``--data``
and prints the choice beside the recipe's own settings. No photograph of another fold is read.

- **Segmenting**, without masks: every combination of :data:`SEGMENTING`, by the packaged head.
- **Stage 1**, its masks of everything painted: every combination of :data:`DESCRIBING`; then, around the best
  of these, each value of :data:`MASKS` by itself. Nothing is left blank, and no points are asked for, which
  change little and cost much.

The best has the highest mIoU as ``fmbseg eval`` has it, over classes shown or found; of equals the first, and
candidates stand in the order of their cost. The best of many looks better than it is, on the photographs that
it was chosen on. So each photograph is also measured with the settings that are best on all others, and the
recipe's own settings stay where choosing so is not surely better than they are: where the paired difference,
90 % of draws of the photographs, holds 0. All candidates share what the models compute of a photograph. What
was trained (the head, and the settings of its training) is not chosen here.

``--report DIR`` measures the packaged head with the recipe's and with the chosen settings side by side on
fold ``val``, as ``fmbseg compare`` does. Parts that the file ``--out`` has already are not chosen again. The
last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.output import measured_with, tell
from fmbseg import OpenVocabSegmenter, Vocabulary
from fmbseg.evaluation.compare import compare
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.intervals import draw_photographs, interval, mean_of_classes
from fmbseg.files import write_json
from fmbseg.labeling.classes import Classes
from fmbseg.labeling.description import describe
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labeling.stage1 import label_described
from fmbseg.methods import ModelPool
from fmbseg.methods.heads import HeadMethod
from fmbseg.models.hubness import hubness_of
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import Background, KnowledgePreservation, SegmentSettings, WindowSettings
from fmbseg.segmentation.classes import ResultClasses
from fmbseg.segmentation.decoding import SecondMap
from fmbseg.segmentation.encoding import SecondView, encode_images
from fmbseg.segmentation.reduction import segment_encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.evaluation.datasets import SegmentationData
    from fmbseg.labeling.description import Description
    from fmbseg.masks import MaskSet
    from fmbseg.recipes import Recipe

SEGMENTING: dict[str, tuple[Any, ...]] = {
    "short_side": (448, 544, 640, 736),
    "weight": (0.0, 0.25, 0.5, 0.75),
    "own_short_side": (448, 560),
    "hubness": (0.0, 0.35, 0.7, 1.05, 1.4),
}
"""Size for the head; weight and size of the image-text model's own map; hubness."""

DESCRIBING: dict[str, tuple[Any, ...]] = {
    "scales": ((1.0,), (1.0, 1.5)),
    "min_crop_similarity": (0.3, 0.4, 0.5),
    "hubness": (0.0, 0.4, 0.8, 1.2),
}
"""Crops, and how their classes are chosen."""

MASKS: dict[str, tuple[Any, ...]] = {
    "label_remainder": (True, False),
    "min_area": (0.001, 0.002, 0.005),
    "min_predicted_iou": (0.6, 0.7, 0.8),
}
"""Which masks are named."""

Candidate = tuple[Any, ...]
"""One value of each setting of a grid, in its order."""


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[Candidate]:
    """Every combination of a grid's values; of those that mix nothing in, one.

    Example:
        >>> combinations({"weight": (0.0, 0.5), "own_short_side": (448, 560)})
        [(0.0, 448), (0.5, 448), (0.5, 560)]
    """
    names = list(grid)
    found = []
    for values in product(*grid.values()):
        named = dict(zip(names, values, strict=True))
        if named.get("weight") == 0 and named["own_short_side"] != grid["own_short_side"][0]:
            continue
        found.append(values)
    return found


class Counts:
    """What is counted of each photograph and candidate: pixels right, of the class, and given it.

    Args:
        classes: K.

    Example:
        >>> counts = Counts(2)
        >>> counts.add("one", np.array([[0, 1]]), np.array([[0, 0]]))
        >>> counts.add("other", np.array([[0, 0]]), np.array([[0, 0]]))
        >>> counts.miou("one"), counts.best(["one", "other"])
        (0.25, 'other')
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._pixels: dict[Any, list[NDArray[np.int64]]] = {}

    def add(self, candidate: Any, labels: NDArray[np.integer], target: NDArray[np.integer]) -> None:
        """Count a photograph."""
        matrix = ConfusionMatrix(self._classes)
        matrix.update(labels, target)
        counts = matrix.counts
        row = np.stack([np.diagonal(counts), counts.sum(axis=1), counts[:, :-1].sum(axis=0)], axis=1)
        self._pixels.setdefault(candidate, []).append(row)

    def miou(self, candidate: Any) -> float:
        """Over the classes shown or found."""
        return float(_miou(np.sum(self._pixels[candidate], axis=0)))

    def left_out(self, candidates: Sequence[Any]) -> list[NDArray[np.int64]]:
        """The counts of each photograph with the candidate that is best on all others.

        Example:
            >>> counts = Counts(2)
            >>> for shown in ([[0, 0]], [[1, 1]]):
            ...     counts.add("zeros", np.array([[0, 0]]), np.array(shown))
            ...     counts.add("ones", np.array([[1, 1]]), np.array(shown))
            >>> [int(one[:, 0].sum()) for one in counts.left_out(["zeros", "ones"])]  # each has the other's
            [0, 0]
        """
        pixels = np.stack([self._pixels[one] for one in candidates])
        others = pixels.sum(axis=1, keepdims=True) - pixels
        best = _miou(others).argmax(axis=0)
        return [pixels[chosen, place] for place, chosen in enumerate(best)]

    def drawn(self, photographs: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """The mIoU of each draw of the photographs, as :class:`ImageCounts` has it."""
        pixels = np.stack(photographs)
        sums = draw_photographs(len(pixels)) @ pixels.reshape(len(pixels), -1).astype(np.float64)
        hits, there, given = np.moveaxis(sums.reshape(-1, self._classes, 3), -1, 0)
        either = (there > 0) | (pixels[..., 1].sum(axis=0) == 0)
        return mean_of_classes(hits, there + given - hits, either)

    def best(self, candidates: Sequence[Any]) -> Any:
        """The candidate of the highest mIoU, of equals the first."""
        return max(candidates, key=self.miou)

    def told(self, names: Sequence[str], candidates: Sequence[Candidate], own: Candidate) -> dict[str, Any]:
        """The choice beside the recipe's own settings, and all candidates, as JSON values."""
        chosen, others_best = self.best(candidates), self.left_out(candidates)
        low, high = interval(self.drawn(others_best) - self.drawn(self._pixels[own]))
        return {
            "chosen": dict(zip(names, chosen, strict=True)),
            "recipe": dict(zip(names, own, strict=True)),
            "chosen_miou": round(self.miou(chosen), 4),
            "recipe_miou": round(self.miou(own), 4),
            "chosen_on_others_miou": round(float(_miou(np.sum(others_best, axis=0))), 4),
            "chosen_on_others_over_recipe": [round(low, 4), round(high, 4)],
            "recipe_stays": low <= 0,
            "candidates": [[*one, round(self.miou(one), 4)] for one in candidates],
        }


def _miou(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of counts (..., K, 3) as :class:`Counts` has them, over the classes shown or found."""
    hits, there, given = np.moveaxis(counts.astype(np.float64), -1, 0)
    union = there + given - hits
    shares = np.divide(hits, union, out=np.zeros_like(hits), where=union > 0)
    return np.asarray(shares.sum(axis=-1) / np.maximum(1, (union > 0).sum(axis=-1)))


class Remembered:
    """A mask generator that gives masks which are known, and takes no points."""

    promptable = False

    def __init__(self, masks: MaskSet) -> None:
        self.spec, self.license, self._masks = "remembered", "", masks

    def begin(self, image: NDArray[np.uint8]) -> Remembered:
        """Turn to an image, which is not looked at."""
        del image
        return self

    def prompt(self, points: object = (), *, boxes: object = None) -> MaskSet:
        """No masks."""
        del points, boxes
        raise ValueError("remembered masks take no points")

    def everything(self) -> MaskSet:
        """The masks."""
        return self._masks


class Segmenting:
    """Measures the settings for segmenting.

    Args:
        recipe: whose packaged head is used.
        pool: of the models.
        data: fold to choose on.
    """

    def __init__(self, recipe: Recipe, pool: ModelPool, data: SegmentationData) -> None:
        assert recipe.head is not None
        self._pool, self._data = pool, data
        self._text = pool.image_text(recipe.image_text)
        encoder = OpenVocabSegmenter.from_pretrained(recipe.head, device=pool.device).encoder
        assert encoder.prototypes is not None
        words = Vocabulary.of(data.names)
        self._encoder, self._classes = encoder, ResultClasses.of(words, Background())
        self._vectors = encoder.encode_text(words)
        self._hubness = hubness_of(self._vectors, encoder.prototypes.vectors)

    def measure(self, image: NDArray[np.uint8], target: NDArray[np.int32], counts: Counts) -> None:
        """Count a photograph for every candidate."""
        for side in SEGMENTING["short_side"]:
            encoded = next(encode_images(self._encoder, [image], WindowSettings(side, None), batch_size=1))
            maps = {
                own: SecondView(self._text, short_side=own, batch_size=1).of(encoded)
                for own in SEGMENTING["own_short_side"]
            }
            for candidate in combinations(SEGMENTING):
                _, weight, own, hubness = candidate
                if candidate[0] != side:
                    continue
                mixed = KnowledgePreservation(weight=weight, short_side=own) if weight else None
                second = None if mixed is None else SecondMap(maps[own], mixed)
                prototypes = torch.cat([self._vectors, -hubness * self._hubness[:, None]], dim=1)
                labels = segment_encoded(
                    replace(encoded, second=second).with_constant(),
                    prototypes,
                    self._classes,
                    SegmentSettings(hubness=hubness, certainty=0.0, preserve=mixed),
                ).labels
                counts.add(candidate, labels, target)


class Labeling:
    """Measures the settings of Stage 1; what models compute is kept for all photographs.

    Args:
        recipe: whose models are used.
        pool: of the models.
        names: words.
    """

    def __init__(self, recipe: Recipe, pool: ModelPool, names: Sequence[str]) -> None:
        assert recipe.mask_generator is not None
        self._encoder = pool.image_text(recipe.image_text)
        self._masks = pool.mask_generator(recipe.mask_generator, recipe.mask_options)
        given = LabelingSettings.from_dict(recipe.labeling)
        self.settings = replace(given, certainty=0.0, keep_features=False)
        words = Vocabulary.of(names)
        self._classes = {
            hubness: Classes.embed(self._encoder, words, hubness=hubness) for hubness in DESCRIBING["hubness"]
        }
        self._known: dict[str, tuple[MaskSet, dict[Any, Description]]] = {}

    def measure(
        self,
        key: str,
        image: NDArray[np.uint8],
        target: NDArray[np.int32],
        counts: Counts,
        candidates: Mapping[Candidate, LabelingSettings],
    ) -> None:
        """Count a photograph for every candidate."""
        if key not in self._known:
            described = {
                scales: describe(image, self._encoder, replace(self.settings, scales=scales, batch_size=1))
                for scales in DESCRIBING["scales"]
            }
            self._known[key] = self._masks.begin(image).everything(), described
        masks, descriptions = self._known[key]
        for candidate, settings in candidates.items():
            labels = label_described(
                image,
                descriptions[tuple(settings.scales)],
                key,
                self._classes[settings.hubness],
                Remembered(masks),
                settings,
            )
            counts.add(candidate, labels.label_map(kept_only=False), target)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Go through the candidates of each part that ``--out`` does not have yet; return the JSON object."""
    recipe, pool = get_recipe("offline"), ModelPool(device="cpu")
    data = open_data("folder", arguments.data, split="train")
    found: dict[str, Any] = {
        "benchmark": "choose_settings",
        "fold": "train",
        "photographs": len(data.samples[: arguments.limit]),
    }
    if arguments.out is not None and arguments.out.is_file():
        before = json.loads(arguments.out.read_text("utf-8"))
        if {name: before[name] for name in found} == found:
            found = before
    for name, choose in (("segmenting", chosen_segmenting), ("labeling", chosen_labeling)):
        if name not in found:
            found[name] = choose(recipe, pool, data, arguments.limit)
            if arguments.out is not None:
                write_json(arguments.out, found)
    if arguments.report is not None:
        found["val"] = report(recipe, found["segmenting"]["chosen"], arguments)
    versions = ("torch", "timm", "transformers", "onnxruntime", "numpy", "pillow")
    return {**found, **measured_with(*versions), "threads": torch.get_num_threads()}


def photographs(
    data: SegmentationData, limit: int | None, told: str
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int32]]]:
    """Each photograph with its key and target, behind a bar."""
    with Progress() as bars:
        samples = data.samples[:limit]
        for sample in bars.track(samples, told, len(samples)):
            yield sample.key, *data.load(sample)


def chosen_segmenting(
    recipe: Recipe, pool: ModelPool, data: SegmentationData, limit: int | None
) -> dict[str, Any]:
    """The choice for segmenting."""
    measurer, counts = Segmenting(recipe, pool, data), Counts(len(data.names))
    for _, image, target in photographs(data, limit, "segmenting"):
        pool.memory.turn_to(image)
        measurer.measure(image, target, counts)
    mixed, windows = recipe.segmenting.preserve, recipe.segmenting.windows
    assert mixed is not None
    own = (windows.short_side, mixed.weight, mixed.short_side, recipe.hubness)
    return counts.told(list(SEGMENTING), combinations(SEGMENTING), own)


def chosen_labeling(
    recipe: Recipe, pool: ModelPool, data: SegmentationData, limit: int | None
) -> dict[str, Any]:
    """The two choices for Stage 1."""
    measurer = Labeling(recipe, pool, data.names)
    settings, counts = measurer.settings, Counts(len(data.names))
    grid = {
        one: replace(settings, **dict(zip(DESCRIBING, one, strict=True))) for one in combinations(DESCRIBING)
    }
    for key, image, target in photographs(data, limit, "crops of Stage 1"):
        pool.memory.turn_to(image)
        measurer.measure(key, image, target, counts, grid)
    own = tuple(getattr(settings, name) for name in DESCRIBING)
    crops = counts.told(list(DESCRIBING), list(grid), own)
    around = {
        (name, value): replace(grid[counts.best(list(grid))], **{name: value})
        for name, values in MASKS.items()
        for value in values
    }
    masks = Counts(len(data.names))
    for key, image, target in photographs(data, limit, "masks of Stage 1"):
        measurer.measure(key, image, target, masks, around)
    each = {}
    for name, values in MASKS.items():
        told = masks.told(
            ["setting", "value"], [(name, value) for value in values], (name, getattr(settings, name))
        )
        each[name] = {**told, "chosen": told["chosen"]["value"], "recipe": told["recipe"]["value"]}
    return {"crops": crops, "masks": each}


def report(recipe: Recipe, chosen: Mapping[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the head with the recipe's and with the chosen settings on fold ``val``."""
    assert recipe.head is not None
    weight = chosen["weight"]
    mixed = KnowledgePreservation(weight=weight, short_side=chosen["own_short_side"]) if weight else None
    windows = WindowSettings(chosen["short_side"], None)
    anew = replace(recipe.segmenting, windows=windows, preserve=mixed, hubness=chosen["hubness"])
    pool = ModelPool(device="cpu")
    methods = [
        HeadMethod(recipe.head, pool, one)
        for one in (recipe, replace(recipe, name="chosen", segmenting=anew))
    ]
    val = open_data("folder", arguments.data, split="val")
    found = compare(methods, val, "own", out=arguments.report, limit=arguments.limit, progress=True)
    told = found.to_dict()
    return {
        "photographs": told["measured"],
        "methods": {
            one["method"]: {
                "miou": one["figures"]["miou"],
                "interval": one["intervals"]["miou"],
                "over_first": one["over_first"].get("miou"),
                "seconds": one["seconds"],
            }
            for one in told["methods"]
        },
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="photographs with masks, folds train and val"
    )
    parser.add_argument("--limit", type=int, help="photographs of a fold, from the first")
    parser.add_argument("--report", type=Path, help="folder of the comparison on fold val")
    parser.add_argument("--out", type=Path, help="file for the JSON object")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
