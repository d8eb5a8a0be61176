"""What a head learns from labels of everything, and what from certain labels alone.

``python -m benchmarks.labels_to_learn --data DIR`` labels the photographs of fold ``--learn`` by the offline
recipe, without a look at their masks; fits heads on all masks and on the certain ones, from nothing (the
recipe's settings) and going on from the packaged head (8 passes, distillation 1); and measures them, as they
are and with all names of classes.txt, on fold ``--measure``. The mIoU is over the classes that are shown;
intervals hold 90 % of 1,000 draws of the photographs, differences are paired. It also says what the certain
part is of the masks, of the bytes and of the pixels.

Labels and counts are kept in ``--work``, so a run that was stopped goes on. The last line on standard output
is one JSON object.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.certainty_figures import miou, with_interval
from benchmarks.output import measured_with, tell
from fmbseg import Aligner, OpenVocabSegmenter, PseudoLabeler, Vocabulary
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.heads import DEFAULT_HEAD
from fmbseg.labels.label_set import save
from fmbseg.labels.manifest import shown_from
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import SegmentSettings
from fmbseg.sources.stored_path import local

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg import LabelSet

GOING_ON: dict[str, Any] = {"distillation": 1.0, "epochs": 8}


def label(folder: MaskFolder, words: Vocabulary, fold: str, work: Path, limit: int | None) -> LabelSet:
    """Label the first ``limit`` photographs of a fold, or go on where that was stopped."""
    photographs = [local(one.image) for one in folder.fold(fold)[:limit]]
    return PseudoLabeler(DEFAULT_HEAD, mask_cache=work).label(photographs, words, work / f"labels-{fold}")


def counts(
    aligner: Aligner, folder: MaskFolder, words: Vocabulary, fold: str, limit: int | None = None
) -> NDArray[np.int64]:
    """Pixels of each photograph by true and found class, (photographs, K, K + 1)."""
    segmenter = OpenVocabSegmenter(aligner, settings=SegmentSettings(certainty=0.0))
    matrices = []
    for photograph in folder.fold(fold)[:limit]:
        image, target = folder.load(photograph)
        matrix = ConfusionMatrix(len(words))
        matrix.update(segmenter.segment(image, words).labels, target)
        matrices.append(matrix.counts)
    return np.stack(matrices)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Label, fit and measure; return the JSON object."""
    folder = MaskFolder(arguments.data)
    words, recipe = Vocabulary.of(folder.names), get_recipe(DEFAULT_HEAD)
    labels = label(folder, words, arguments.learn, arguments.work, arguments.limit)
    certain = labels.certain(shown_from(labels.manifest))
    settings = TrainingSettings.from_dict(recipe.training)
    going_on = TrainingSettings.from_dict({**recipe.training, **GOING_ON})

    def measured(name: str, aligner: Aligner, learned: LabelSet | None) -> NDArray[np.int64]:
        place = arguments.work / f"{arguments.learn}-{arguments.measure}-{name}.npy"
        if not place.exists():
            if learned is not None:
                aligner.fit(learned)
            with torch.inference_mode():
                np.save(place, counts(aligner, folder, words, arguments.measure))
        kept: NDArray[np.int64] = np.load(place)
        return kept

    found = {"packaged": measured("packaged", Aligner.from_pretrained(DEFAULT_HEAD), None)}
    for name, learned in (("all", labels), ("certain", certain)):
        new = Aligner(recipe=DEFAULT_HEAD, settings=settings)
        old = Aligner.from_pretrained(DEFAULT_HEAD, settings=going_on)
        found[f"{name} from nothing"] = measured(f"{name}-new", new, learned)
        found[f"{name} going on"] = measured(f"{name}-old", old, learned)
    only = save(certain, arguments.work / f"certain-{arguments.learn}")
    return {
        "benchmark": "labels_to_learn",
        "photographs": {"learned": len(labels), "measured": len(folder.fold(arguments.measure))},
        "folds": {"learned": arguments.learn, "measured": arguments.measure},
        **compared(found),
        "labels": {name: held(one) for name, one in (("all", labels), ("certain", only))},
        **measured_with("torch"),
    }


def compared(found: Mapping[str, NDArray[np.int64]]) -> dict[str, Any]:
    """The mIoU of each head, and how far heads of all labels are above those of certain ones.

    Args:
        found: counts of :func:`counts` by the name of a head; ``all HOW`` and ``certain HOW`` make a pair.
    """
    return {
        "miou": {name: with_interval(one, miou) for name, one in found.items()},
        "all_less_certain": {
            how: with_interval(
                np.stack([found[f"all {how}"], found[f"certain {how}"]], axis=1),
                lambda drawn: miou(drawn[:, 0]) - miou(drawn[:, 1]),
            )
            for how in (name.removeprefix("all ") for name in found if name.startswith("all "))
        },
    }


def held(labels: LabelSet) -> dict[str, Any]:
    """All masks of a label set, the bytes of its shards, and the share of pixels without a class."""
    return {
        "masks": sum(len(image.masks) for image in labels.whole),
        "bytes": sum(file.stat().st_size for file in labels.folder.glob("*.parquet")),
        "unknown": round(labels.whole.statistics().unknown, 4),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with folds `train` and `val`")
    parser.add_argument("--work", type=Path, default=Path("runs/labels_to_learn"), help="keeps what was made")
    parser.add_argument("--learn", default="val", help="fold whose photographs are labelled and learned from")
    parser.add_argument("--measure", default="train", help="fold whose masks heads are measured by")
    parser.add_argument("--limit", type=int, help="learn from the first N photographs")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
