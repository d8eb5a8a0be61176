"""Which of the classes that photographs show are among those that a teacher's pre-filter keeps.

``python -m benchmarks.prefilter --data DIR`` goes through fold ``val`` of ``--data``. For each photograph the
image-text model puts the names of all classes in order, as ``PseudoLabeler(teacher=..., prefilter=...)``
does, and the first ``keep`` are compared with the classes of its true mask.

- recall: of all pairs of a photograph and a class that it shows, those that are kept. ``low`` and ``high``
  bound 90 % of the recalls of photographs drawn anew, with replacement.
- all_kept: photographs of which no class is lost.

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.offline_chain import number, versions
from benchmarks.output import tell
from fmbseg import Vocabulary
from fmbseg.evaluation.intervals import drawn_figure, interval, mean_of_classes
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.labeling.prefilter import Prefilter
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import IMAGE_TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KEPT = (5, 10, 20, 40)
_DRAWS = 10_000


def _kept_of_shown(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return mean_of_classes(sums[:, :1], sums[:, 1:], sums[:, 1:] > 0)


def recall(counts: NDArray[np.int64], draws: int = _DRAWS) -> dict[str, float | None]:
    """The recall over all photographs with its 90 % interval.

    Args:
        counts: of each photograph, the classes that are kept of those that it shows, and these, (N, 2).
        draws: of the photographs anew, with replacement.
    """
    low, high = interval(drawn_figure(counts, _kept_of_shown, draws=draws))
    return {
        "recall": number(counts[:, 0].sum() / counts[:, 1].sum()),
        "low": number(low),
        "high": number(high),
        "all_kept": number(float((counts[:, 0] == counts[:, 1]).mean())),
    }


def measure(data: MaskFolder, prefilter: Prefilter, keeps: Sequence[int]) -> dict[str, Any]:
    """Go through fold ``val``, each photograph once, whatever the number of ``keeps``."""
    classes = prefilter.classes(Vocabulary.of(list(data.names)))
    counts: dict[int, list[tuple[int, int]]] = {keep: [] for keep in keeps}
    photographs = data.fold("val")
    for photograph in photographs:
        image, target = data.load(photograph)
        shown = set(np.unique(target[target >= 0]).tolist())
        (description,) = prefilter.describe([prefilter.cut(image)])
        assert description is not None
        for keep in keeps:
            prefilter.keep = keep
            kept = shown & set(prefilter.likeliest(description, classes))
            counts[keep].append((len(kept), len(shown)))
    return {
        "photographs": len(photographs),
        "shown": sum(shown for _, shown in counts[keeps[0]]),
        "classes": len(data.names),
        "kept": {str(keep): recall(np.array(counts[keep], np.int64)) for keep in keeps},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="photographs with masks and a fold `val`")
    parser.add_argument("--image-text", default="conse", help="spec of the image-text model")
    parser.add_argument("--keep", type=int, nargs="+", default=KEPT, help="numbers of classes to keep")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    given = parser.parse_args(arguments)
    prefilter = Prefilter(create_model(IMAGE_TEXT, given.image_text), max(given.keep))
    found = measure(MaskFolder(given.data), prefilter, given.keep)
    settings = {"image_text": given.image_text, "fold": "val"}
    tell({"benchmark": "prefilter", **found, "settings": settings, "versions": versions()}, given.out)


if __name__ == "__main__":
    main()
