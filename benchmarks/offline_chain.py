"""What the benchmarks of the offline chain share: their options, the labelled pool, and what they ran on."""

from __future__ import annotations

import json
import math
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg import PseudoLabeler, __version__
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.images import find_images
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.recipes import get_recipe

if TYPE_CHECKING:
    import argparse

    from fmbseg import LabelSet

_PACKAGES = ("torch", "timm", "transformers", "onnxruntime", "scikit-image", "numpy", "pillow", "pycocotools")


def add_options(parser: argparse.ArgumentParser, *, needs_pool: bool = True) -> None:
    """Add what every such benchmark takes; ``needs_pool`` where it always labels."""
    parser.add_argument("--data", type=Path, required=True, help="photographs with masks and a fold `val`")
    parser.add_argument(
        "--pool", type=Path, required=needs_pool, help="photographs to learn from, here or in images/"
    )
    parser.add_argument("--limit", type=int, help="take the first N photographs of the pool, sorted")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    parser.add_argument("--work", type=Path, help="keep what is done here, to go on later")
    parser.add_argument(
        "--vocabulary", default="imagenet1k", help="words for the pool: a list's name or a file"
    )
    parser.add_argument("--recipe", default="offline", help="names the models")
    parser.add_argument("--backbone", help="instead of the recipe's, for example efficientnet_lite2")
    parser.add_argument("--mask-generator", help="instead of the recipe's, for example superpixels")
    for stage, of in (("labeling", LabelingSettings), ("training", TrainingSettings)):
        text = f"settings of {of.__name__} as a JSON object, instead of the recipe's"
        parser.add_argument(f"--{stage}", type=json.loads, default={}, help=text)


def check_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace, name: str) -> None:
    """Refuse a limit below one, and choose the work folder if none is given."""
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}: it must be 1 or more")
    if arguments.work is None:
        beside = arguments.out.with_suffix("") if arguments.out else Path("runs") / name
        arguments.work = beside / ("all" if arguments.limit is None else f"first-{arguments.limit}")


def backbone_of(arguments: argparse.Namespace) -> str:
    """Spec of the recipe's encoder, or of the one that ``--backbone`` names."""
    return arguments.backbone or get_recipe(arguments.recipe).backbone


def training_settings(arguments: argparse.Namespace) -> TrainingSettings:
    """The recipe's, changed by ``--training``."""
    return TrainingSettings.from_dict({**get_recipe(arguments.recipe).training, **arguments.training})


def make_labeler(arguments: argparse.Namespace) -> PseudoLabeler:
    """Stage 1 as the recipe has it, and all labels are shown; ``--mask-generator``, ``--labeling`` change it.

    What stays blank is another question, which ``benchmarks/certainty.py`` answers.
    """
    recipe = get_recipe(arguments.recipe)
    return PseudoLabeler(
        recipe.name,
        mask_generator=arguments.mask_generator,
        settings=LabelingSettings(**{**recipe.labeling, "certainty": 0.0, **arguments.labeling}),
    )


def label_pool(arguments: argparse.Namespace, labeler: PseudoLabeler) -> LabelSet:
    """Label the pool in the work folder, or go on where that was stopped."""
    folder = arguments.pool / "images" if (arguments.pool / "images").is_dir() else arguments.pool
    pool = find_images(folder)[: arguments.limit]
    return labeler.label(pool, arguments.vocabulary, arguments.work / "labels")


def versions() -> dict[str, str]:
    """Of Python, of this package, and of what it computes with."""
    return {
        "python": platform.python_version(),
        "fmbseg": __version__,
        **{package: metadata.version(package) for package in _PACKAGES},
    }


def number(value: float) -> float | None:
    """A figure as JSON has it: five digits after the point, None for what is not a number."""
    return None if math.isnan(value) else round(value, 5)
