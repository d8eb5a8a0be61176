"""A dozen photographs and everyday words, by README's commands: how right the labels are, and the head.

``python -m benchmarks.few_photographs --data DIR`` runs ``fmbseg label`` on the first photographs of fold
``train`` with 16 everyday words, ``fmbseg labels show``, whose contact sheet stays in ``--work``, and
``fmbseg fit``. Then it measures:

- the labels, by the masks of those photographs, which nothing before has seen: for each word the share of
  the pixels painted with it that show it, and the share of those that show it that are painted; once with
  everything painted and once as labels are shown, the uncertain blank;
- the packaged head and the one that ``fmbseg fit`` saves, and for comparison those that it would not:
  trained on from the packaged one for all epochs (``--start offline``), and from nothing
  (``--from-scratch``); alone and with plain settings, on fold ``val`` with all names of classes.txt.
  Intervals hold 90 % of 1,000 draws of the photographs; differences are paired.

What is there in ``--work`` is not made again. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.certainty_figures import miou, with_interval
from benchmarks.labels_to_learn import counts
from benchmarks.output import measured_with, tell
from fmbseg import Aligner, Vocabulary
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.heads import DEFAULT_HEAD
from fmbseg.labels.label_set import LabelSet
from fmbseg.sources.stored_path import local

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

EVERYDAY = (
    *("person", "sky", "grass", "tree", "road", "car", "dog", "cat"),
    *("chair", "table", "bottle", "book", "horse", "sheep", "cow", "bicycle"),
)
HEADS = {"fitted": (), "trained_on": ("--start", DEFAULT_HEAD), "from_nothing": ("--from-scratch",)}
"""What ``fmbseg fit`` is told, by name."""
SAME = {"table": ("dining table",)}
"""Names in classes.txt of what goes by another name there."""


def command(*arguments: str | Path) -> str:
    """Run ``fmbseg`` and return the last line that it printed.

    Raises:
        subprocess.CalledProcessError: it failed; its own words stand above.
    """
    code = "from fmbseg.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip().rpartition("\n")[2]


def share(part: int, whole: int) -> float | None:
    """A share of pixels; None of no pixels."""
    return round(part / whole, 4) if whole else None


def painted(labels: LabelSet, folder: MaskFolder, words: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """What labels paint, by word: the share that is right, and the share of what is shown.

    Args:
        labels: of photographs of the folder, with its words at their places.
        folder: with masks.
        words: only those that the folder has masks of are told, and only if painted or shown.
    """
    known = {word: [name for name in SAME.get(word, (word,)) if name in folder.names] for word in words}
    masks = {photograph.key: photograph for photograph in folder.photographs}
    sums = {word: np.zeros(3, np.int64) for word, names in known.items() if names}
    for image in labels:
        _, target = folder.load(masks[Path(image.path).stem])
        found = image.label_map()
        for word, numbers in sums.items():
            mine = found == words.index(word)
            shown = np.isin(target, [folder.names.index(name) for name in known[word]])
            numbers += [(mine & shown).sum(), mine.sum(), shown.sum()]
    return {
        word: {"right": share(hits, mine), "of_shown": share(hits, shown)}
        for word, (hits, mine, shown) in ((word, one.tolist()) for word, one in sums.items())
        if mine or shown
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Label, fit and measure; return the JSON object."""
    folder, work = MaskFolder(arguments.data), arguments.work
    photographs, labels, sheet = work / "photographs", work / "labels", work / "sheet.jpg"
    photographs.mkdir(parents=True, exist_ok=True)
    for one in folder.fold("train")[: arguments.count]:
        shutil.copy(local(one.image), photographs)
    said = {"label": command("label", photographs, "--classes", ",".join(EVERYDAY), "--out", labels)}
    if not sheet.exists():
        said["show"] = command("labels", "show", labels, "--out", sheet)

    def measured(name: str | Path) -> NDArray[np.int64]:
        with torch.inference_mode():
            return counts(Aligner.from_pretrained(name), folder, Vocabulary.of(folder.names), "val")

    pixels = {"packaged": measured(DEFAULT_HEAD)}
    for name, options in HEADS.items():
        head = work / name
        if not head.exists():
            said[name] = command("fit", labels, "--out", head, *options)
        pixels[name] = measured(head)
    found = LabelSet(labels)
    return {
        "benchmark": "few_photographs",
        "photographs": {"learned": len(found), "measured": len(pixels["packaged"])},
        "said": {name: line.replace(str(work), "WORK") for name, line in said.items()},
        "labels": {
            "everything": painted(found.certain(0), folder, EVERYDAY),
            "shown": painted(found, folder, EVERYDAY),
        },
        "miou": {name: with_interval(one, miou) for name, one in pixels.items()},
        "less_packaged": {
            name: with_interval(
                np.stack([pixels[name], pixels["packaged"]], axis=1),
                lambda drawn: miou(drawn[:, 0]) - miou(drawn[:, 1]),
            )
            for name in HEADS
        },
        **measured_with("torch"),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with folds `train` and `val`")
    parser.add_argument("--work", type=Path, default=Path("runs/few_photographs"), help="keeps what was made")
    parser.add_argument("--count", type=int, default=12, help="photographs that are labelled")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
