"""How the head improves with the number of photographs, and what true masks would bring.

``python -m benchmarks.learning_curve --data DIR --labels DIR`` fits the recipe's head on the first 125, 250,
500 and 1,000 photographs of labels that ``fmbseg label`` wrote, and measures each on fold ``val`` of
``--data`` as ``benchmarks/ablations.py`` does. ``ceiling`` is a head of the same shape on the true masks of
fold ``train`` of ``--data`` and its names: masks that people drew, so it is not a result of the method, but
what its few photographs could give at most; ``--no-ceiling`` leaves it out, for the curve of other labels,
such as those of a second round (``fmbseg label --aligned``).

``--heads`` measures heads that exist beside them, folders or names of those that come with the package; their
rows say how many photographs they learned from.

A run that was stopped goes on when it is started with the same arguments. The last line on standard output is
one JSON object.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.ablations import FirstPhotographs, Measurer, Trial, measured, score
from benchmarks.offline_chain import (
    add_options,
    backbone_of,
    check_options,
    number,
    training_settings,
    versions,
)
from benchmarks.output import tell
from fmbseg import LabelSet, OpenVocabSegmenter, Vocabulary
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.alignment.label_source import RecordedLabels
from fmbseg.evaluation.mask_folder import MaskedPhotograph, MaskFolder
from fmbseg.files import sha256_of
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import SegmentSettings
from fmbseg.sources.stored_path import local, whole_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.alignment.settings import TrainingSettings


@dataclass(frozen=True)
class TrueMasks:
    """A photograph with the masks that people drew, as labels to learn from.

    Args:
        folder: that it is in.
        photograph: which of it.
    """

    folder: MaskFolder
    photograph: MaskedPhotograph

    @property
    def path(self) -> str:
        """Of its file, from the data set's folder."""
        return local(self.photograph.image).relative_to(local(self.folder.folder)).as_posix()

    @cached_property
    def sha256(self) -> str:
        """Of its file."""
        return sha256_of(local(self.photograph.image))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.label_map().shape
        return height, width

    @property
    def detected(self) -> tuple[int, ...]:
        """The classes that are in it."""
        classes = np.unique(self.label_map())
        return tuple(classes[classes >= 0].tolist())

    def label_map(self) -> NDArray[np.int32]:
        """Class of each pixel, -1 for none."""
        return self.folder.load(self.photograph)[1]


def true_labels(folder: MaskFolder, fold: str) -> RecordedLabels:
    """The true masks of a fold as labels."""
    records = tuple(TrueMasks(folder, photograph) for photograph in folder.fold(fold))
    return RecordedLabels(records, Vocabulary.of(folder.names), local(folder.folder))


def ceiling_settings(settings: TrainingSettings) -> TrainingSettings:
    """Those for true masks, which have no features under them, and are few: ten times the passes."""
    return replace(settings, epochs=10 * settings.epochs, mask_weight=0.0, mask_class_weight=0.0)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit and measure; return the JSON object."""
    recipe, base, folder = (
        get_recipe(arguments.recipe),
        training_settings(arguments),
        MaskFolder(arguments.data),
    )
    labels = LabelSet(arguments.labels)
    spec = labels.manifest["models"].get("image_text") or recipe.image_text
    encoder = backbone_of(arguments)
    backbone, text = create_model(BACKBONES, encoder, None), create_model(IMAGE_TEXT, spec, None)
    cache = arguments.work / "features"
    journal = arguments.work / "trials.jsonl"
    val = [photograph.key for photograph in folder.fold("val")]

    def scores(source: Any, settings: TrainingSettings) -> list[dict[str, Any]]:
        measurer = Measurer(source, backbone, text, folder, cache)
        context = [source.fingerprint, encoder, whole_name(folder.folder), *folder.names, *val]
        (found,) = measured(measurer, [Trial(settings, "all")], arguments.seeds, context, journal)
        return found

    rows = []
    for count in arguments.counts:
        part = FirstPhotographs(labels, count)
        rows.append(_row(len(part), scores(part, base)))
    for name in arguments.heads:
        head = AlignedEncoder.from_pretrained(name, text_encoder=text)
        matrix = score(OpenVocabSegmenter(head, settings=SegmentSettings(certainty=0.0)), folder)
        rows.append(
            {
                "photographs": head.config.training["labels"]["photographs"],
                "miou": number(matrix.miou()),
                "pixel_accuracy": number(matrix.pixel_accuracy),
                "head": name,
            }
        )
    ceiling = {}
    if arguments.ceiling:
        true = true_labels(folder, "train")
        ceiling["ceiling"] = _row(len(true), scores(true, ceiling_settings(base)))
    return {
        "benchmark": "learning_curve",
        "rows": rows,
        **ceiling,
        "measured": {"photographs": len(val), "classes": len(folder.names)},
        "settings": {
            "recipe": recipe.name,
            "models": {**labels.manifest["models"], "backbone": encoder},
            "labeling": labels.manifest["settings"],
            "training": base.to_dict(),
            "seeds": arguments.seeds,
        },
        "versions": versions(),
    }


def _row(photographs: int, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "photographs": photographs,
        "miou": round(float(np.mean([result["miou"] for result in results])), 5),
        "pixel_accuracy": round(float(np.mean([result["pixel_accuracy"] for result in results])), 5),
        "fit_seconds": round(float(np.mean([result["fit_seconds"] for result in results])), 1),
        "runs": len(results),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_options(parser, needs_pool=False)
    parser.add_argument("--labels", type=Path, required=True, help="folder of labels that exist")
    for name, default in (("counts", "125,250,500,1000"), ("seeds", "0")):
        parser.add_argument(
            f"--{name}", type=lambda text: [int(part) for part in text.split(",")], default=default
        )
    parser.add_argument("--heads", nargs="*", default=[], help="that exist, to measure beside them")
    parser.add_argument(
        "--ceiling", action=argparse.BooleanOptionalAction, default=True, help="the head on true masks, too"
    )
    arguments = parser.parse_args(command)
    check_options(parser, arguments, "learning_curve")
    return arguments


def main(command: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its JSON object last."""
    arguments = parse(command)
    arguments.work.mkdir(parents=True, exist_ok=True)
    result = run(arguments)
    tell(result, arguments.out)


if __name__ == "__main__":
    main()
