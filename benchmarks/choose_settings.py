"""The offline recipe's settings, chosen anew where its figures are not reported: on fold ``train``.

``python -m benchmarks.choose_settings --data DIR`` goes through candidates on fold ``train`` of ``--data``
and prints the choice beside the recipe's own settings. No mask of another fold is read.

- **Segmenting**, without masks: every combination of :data:`SEGMENTING`, by the packaged head, at half of the
  photographs' size.
- **Stage 1**, its masks of everything painted: every combination of :data:`DESCRIBING`; then, around the best
  of these, each value of :data:`MASKS` by itself. Nothing is left blank, and no points are asked for, which
  change little and cost much.
- **Training**: each value of :data:`~benchmarks.choose_training.TRAINING` by itself; heads learn from the
  labels of the photographs of fold ``val``, without a look at their masks.

The best has the highest mIoU as ``fmbseg eval`` has it, over classes shown or found; of equals the first, and
candidates stand in the order of their cost. The best of many looks better than it is, on the photographs that
it was chosen on. So each photograph is also measured with the settings that are best on all others, and the
recipe's own settings stay where choosing so is not surely better than they are: where the paired difference,
90 % of draws of the photographs, holds 0. All candidates share what the models compute of a photograph.

``--report DIR`` measures the packaged head with the recipe's and with the chosen settings side by side on
fold ``val``, as ``fmbseg compare`` does. Parts that the file ``--out`` has already are not chosen again. The
last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.choose_training import choose_training
from benchmarks.output import measured_with, tell
from benchmarks.setting_counts import Counts, combinations
from fmbseg import OpenVocabSegmenter, Vocabulary
from fmbseg.evaluation.compare import compare
from fmbseg.evaluation.datasets import open_data
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
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.setting_counts import Candidate
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
        """Count a photograph for every candidate, on every second row and column."""
        small, target = image[::2, ::2], target[::2, ::2]  # decoding is the cost
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
                    replace(encoded, image=small, second=second).with_constant(),
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
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "labeling": lambda: chosen_labeling(recipe, pool, data, arguments.limit),
        "training": lambda: choose_training(recipe, arguments.data, arguments.work, arguments.limit),
        "segmenting": lambda: chosen_segmenting(recipe, pool, data, arguments.limit),
    }
    for name, choose in parts.items():
        if name not in found:
            found[name] = choose()
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


@torch.inference_mode()
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


@torch.inference_mode()
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
    given = {name: getattr(settings, name) for name in MASKS}
    return {"crops": crops, "masks": masks.told_of_each(MASKS, given)}


@torch.inference_mode()
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
    parser.add_argument(
        "--work", type=Path, default=Path("runs/choose_settings"), help="keeps heads' figures"
    )
    parser.add_argument("--report", type=Path, help="folder of the comparison on fold val")
    parser.add_argument("--out", type=Path, help="file for the JSON object")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
