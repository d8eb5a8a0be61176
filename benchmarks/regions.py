"""What region prompts bring beside the map alone and the masks of everything, and what they cost.

``python -m benchmarks.regions --data DIR --split val --journal FILE`` segments the photographs of a folder
with masks by the packaged head of the offline recipe:

- ``head``: the head with the plain settings;
- ``map``: with the size and the mixing of the recipe's ``segmenting``, but no masks;
- ``regions-K``: and the masks at K points a region, named;
- ``everything``: and all masks of the mask generator, named.

Everything is most of the time. ``--known FILE`` takes the counts of ``head``, ``map`` and ``everything``
from the journal of ``quality_offline.py`` for the same photographs; then everything is made for the first
``--timed`` photographs alone, which also checks the journal. All is done in turn in one process; seconds
are those of the processor. Of each figure there is a 90 % interval over photographs drawn anew, and of
differences those of the same draws. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.adaptive_sampling import RememberingDecoder
from benchmarks.offline_chain import versions
from benchmarks.output import tell
from fmbseg import OpenVocabSegmenter, RegionNaming, Vocabulary
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.checksums import RowJournal, read_rows
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.intervals import drawn_figure, interval
from fmbseg.heads import DEFAULT_HEAD
from fmbseg.masks import MaskSet
from fmbseg.models.hubness import hubness_of
from fmbseg.models.mask_generators.mobilesam import mobilesam
from fmbseg.models.mask_generators.sam_prompter import SamPrompter
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import Background, MaskNaming, SegmentSettings
from fmbseg.segmentation.classes import ResultClasses
from fmbseg.segmentation.decoding import SecondMap
from fmbseg.segmentation.encoding import SecondView, encode_images
from fmbseg.segmentation.reduction import segment_encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.evaluation.datasets import SegmentationData
    from fmbseg.segmentation.reduction import EncodedImage

KNOWN = {"head": "aligned_alone", "map": "aligned_mixed", "everything": "aligned"}


class Masks:
    """MobileSAM for one image at a time: prompts are decoded once, and each variant is told its cost.

    Args:
        options: of the generator.

    Attributes:
        encoded: processor seconds of the image's encoding, if it was asked for since :meth:`turn`.
        decoded: those of the masks that were asked for, as if none had been known.
        spent: seconds that it really took.
        prompts: that were decoded, or known.
    """

    promptable = True

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._sam = mobilesam(**options)
        self.spec, self.license = self._sam.spec, self._sam.license
        self.forget()
        self.turn()

    def forget(self) -> None:
        """Turn to another image."""
        self._prompter: SamPrompter | None = None
        self._encoding = 0.0
        self._known: dict[bytes, tuple[MaskSet, float]] = {}

    def turn(self) -> None:
        """Set the seconds and the count to zero."""
        self.encoded, self.decoded, self.spent, self.prompts = 0.0, 0.0, 0.0, 0

    def begin(self, image: NDArray[np.uint8]) -> Masks:
        """Encode the image in hand, if that is not done yet."""
        if self._prompter is None:
            start = process_time()
            self._prompter = SamPrompter(image, self._decoder_of, self._sam.settings)
            self._encoding = process_time() - start
            self.spent += self._encoding
        self.encoded = self._encoding
        return self

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """Ask at the points that are not known yet, all at once."""
        assert boxes is None
        assert self._prompter is not None
        new = [one for one in points if one.tobytes() not in self._known]
        start = process_time()
        masks = self._prompter.prompt(new)
        seconds = process_time() - start
        for index, one in enumerate(new):
            self._known[one.tobytes()] = masks.select([index]), seconds / len(new)
        found = [self._known[one.tobytes()] for one in points]
        self.spent += seconds
        self.decoded += sum(each for _, each in found)
        self.prompts += len(points)
        return MaskSet.concat([mask for mask, _ in found])

    def everything(self) -> MaskSet:
        """All masks."""
        assert self._prompter is not None
        asked, start = self._decoder.asked, process_time()
        masks = self._prompter.everything()
        self.decoded += process_time() - start
        self.spent += process_time() - start
        self.prompts += self._decoder.asked - asked
        return masks

    def _decoder_of(self, image: NDArray[np.uint8]) -> RememberingDecoder:
        self._decoder = RememberingDecoder(self._sam.decoder(image))
        return self._decoder


class Measurer:
    """Measures every variant on one photograph after the other.

    Args:
        points: of a region, a variant each.
        data: what is measured on.
        at_once: prompts of regions that are decoded at once.

    Attributes:
        settings: of each variant, the cheapest first.
    """

    def __init__(self, points: Sequence[int], data: SegmentationData, at_once: int = 1) -> None:
        self._segmenter = OpenVocabSegmenter.from_pretrained(DEFAULT_HEAD, settings=SegmentSettings())
        recipe = get_recipe(DEFAULT_HEAD)
        masks = self.masks = Masks({**recipe.mask_options, "points_per_batch": at_once})
        plain = replace(self._segmenter.settings, certainty=0.0)
        best = replace(
            recipe.segmenting, refine=None, background=Background(), hubness=plain.hubness, certainty=0.0
        )
        regions = recipe.segmenting.refine
        assert isinstance(regions, RegionNaming)
        self.settings: dict[str, SegmentSettings] = {"head": plain, "map": best}
        for count in points:
            asked = replace(regions, generator=masks, options={}, points=count)
            self.settings[f"regions-{count}"] = replace(best, refine=asked)
        self.settings["everything"] = replace(best, refine=MaskNaming(masks))
        self._words = Vocabulary.of(data.names)
        self._classes = ResultClasses.of(self._words, best.background)
        encoder = self._segmenter.encoder
        assert encoder.prototypes is not None
        assert plain.hubness is not None
        with torch.inference_mode():
            vectors = encoder.encode_text(self._words)
            offsets = plain.hubness * hubness_of(vectors, encoder.prototypes.vectors)
        self._prototypes = torch.cat([vectors, -offsets[:, None]], dim=1)

    @torch.inference_mode()
    def measure(
        self, image: NDArray[np.uint8], target: NDArray[np.int32], names: Sequence[str]
    ) -> dict[str, Any]:
        """The counts, processor seconds and prompts of the variants that are named, as JSON values."""
        row: dict[str, Any] = {"counts": {}, "seconds": {}, "prompts": {}, "parts": {}}
        self.masks.forget()
        maps: dict[bool, tuple[EncodedImage, float]] = {}
        for name in names:
            settings, masks = self.settings[name], self.masks
            mixed = settings.preserve is not None
            if mixed not in maps:
                maps[mixed] = self._encoded(image, settings)
            encoded, seconds = maps[mixed]
            masks.turn()
            start = process_time()
            generator = None if settings.refine is None else masks
            labels = segment_encoded(encoded, self._prototypes, self._classes, settings, generator).labels
            rest = process_time() - start - masks.spent
            row["parts"][name] = [seconds, masks.encoded, masks.decoded, rest]
            row["seconds"][name] = sum(row["parts"][name])
            row["prompts"][name] = masks.prompts
            matrix = ConfusionMatrix(len(self._words))
            matrix.update(labels, target)
            row["counts"][name] = sparse(matrix.counts)
        return row

    def _encoded(self, image: NDArray[np.uint8], settings: SegmentSettings) -> tuple[EncodedImage, float]:
        """The text map with what is mixed in, and its seconds; variants share it."""
        start = process_time()
        encoder = self._segmenter.encoder
        assert isinstance(encoder, AlignedEncoder)
        encoded = next(encode_images(encoder, [image], settings.windows, batch_size=4))
        if settings.preserve is not None:
            side = settings.preserve.short_side
            own = SecondView(encoder.text_encoder, short_side=side, batch_size=16).of(encoded)
            encoded = replace(encoded, second=SecondMap(own, settings.preserve))
        return encoded.with_constant(), process_time() - start


def sparse(counts: NDArray[np.int64]) -> list[list[int]]:
    """A confusion matrix as [row, column, count], where there are any.

    Example:
        >>> sparse(np.array([[0, 2], [0, 0]]))
        [[0, 1, 2]]
    """
    return [[int(row), int(column), int(counts[row, column])] for row, column in np.argwhere(counts)]


def dense(cells: Sequence[Sequence[int]], classes: int) -> NDArray[np.int64]:
    """The confusion matrix (K, K + 1) of such cells.

    Example:
        >>> dense([[0, 1, 2]], 1).tolist()
        [[0, 2]]
    """
    counts = np.zeros((classes, classes + 1), np.int64)
    for row, column, count in cells:
        counts[row, column] = count
    return counts


def miou(counts: NDArray[np.integer] | NDArray[np.floating]) -> float:
    """Of counts (K, K + 1).

    Example:
        >>> miou(np.array([[3, 1, 0], [0, 0, 2]]))
        0.375
    """
    matrix = ConfusionMatrix(len(counts))
    matrix.counts += counts.astype(np.int64)
    return matrix.miou()


def accuracy(counts: NDArray[np.int64]) -> float:
    """The share of the pixels that are right, of counts (K, K + 1)."""
    return float(np.trace(counts) / counts.sum())


def told(values: NDArray[np.float64]) -> str:
    """What 90 % of the draws lie in.

    Example:
        >>> told(np.arange(-5.0, 106.0) / 100)
        '0.005 to 0.995'
    """
    low, high = interval(values)
    return f"{low:.3f} to {high:.3f}"


def summary(rows: Sequence[Mapping[str, Any]], names: Sequence[str], classes: int) -> dict[str, Any]:
    """Each variant's mIoU, and what it brings over the map alone and over everything, on the same draws."""
    counts = {name: np.stack([dense(row["counts"][name], classes) for row in rows]) for name in names}
    drawn = {
        name: drawn_figure(each, lambda sums: np.array([miou(one) for one in sums]))
        for name, each in counts.items()
    }
    whole = {name: miou(each.sum(axis=0)) for name, each in counts.items()}
    gain = whole["everything"] - whole["map"]
    variants = {}
    for name in names:
        timed = [row for row in rows if "everything" in row["seconds"] and name in row["seconds"]]
        prompts = [row["prompts"][name] for row in rows if name in row["prompts"]]
        variants[name] = {
            "miou": round(whole[name], 4),
            "pixel_accuracy": round(accuracy(counts[name].sum(axis=0)), 4),
            "interval": told(drawn[name]),
            "over_map": told(drawn[name] - drawn["map"]),
            "over_everything": told(drawn[name] - drawn["everything"]),
            "part_of_the_gain": round((whole[name] - whole["map"]) / gain, 3) if gain else None,
            "prompts_per_image": round(float(np.mean(prompts)), 1),
            "seconds_per_image": round(float(np.mean([row["seconds"][name] for row in timed])), 2),
            "seconds_by_part": _by_part(timed, name),
        }
    return {"variants": variants, "timed": len(timed), "photographs": len(rows), "classes": classes}


def _by_part(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, float]:
    """Mean processor seconds of encoding, of the mask model's two parts, and of naming and up-sampling."""
    means = np.mean([row["parts"][name] for row in rows], axis=0).round(2).tolist()
    return dict(zip(("map", "mask_encoder", "prompts", "naming"), means, strict=True))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every photograph that the journal does not have yet; return the JSON object."""
    data = open_data("folder", arguments.data, split=arguments.split)
    known = {} if arguments.known is None else {row["id"]: row for row in read_rows(arguments.known)}
    samples = data.samples[: arguments.limit]
    measurer = Measurer(arguments.points, data, arguments.at_once)
    names = list(measurer.settings)
    rows = read_rows(arguments.journal)
    done = {row["key"] for row in rows}
    arguments.journal.parent.mkdir(parents=True, exist_ok=True)
    with Progress() as bars, RowJournal.after(arguments.journal) as file:
        for number, sample in bars.track(list(enumerate(samples)), "measuring", len(samples)):
            if sample.key in done:
                continue
            timed = not known or number < arguments.timed
            image, target = data.load(sample)
            row = measurer.measure(image, target, [name for name in names if timed or name not in KNOWN])
            for name, theirs in KNOWN.items() if known else ():
                counts = known[sample.key]["counts"][theirs]
                if row["counts"].setdefault(name, counts) != counts:
                    raise ValueError(f"{arguments.known} has other counts of {sample.key} for {name}")
            rows.append({"key": sample.key, **row})
            file.append(rows[-1])
    return {
        "benchmark": "regions",
        **summary(rows, names, len(data.names)),
        "split": arguments.split,
        "settings": {name: one.describe() for name, one in measurer.settings.items()},
        "versions": versions(),
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with masks")
    parser.add_argument("--split", default="val", help="fold to measure on")
    parser.add_argument("--points", type=int, nargs="+", default=[1], help="of a region")
    parser.add_argument("--at-once", type=int, default=1, help="prompts that are decoded at once")
    parser.add_argument("--journal", type=Path, required=True, help="file of what is measured so far")
    parser.add_argument("--known", type=Path, help="journal of quality_offline.py for the same photographs")
    parser.add_argument("--timed", type=int, default=8, help="with --known, photographs that take everything")
    parser.add_argument("--limit", type=int, help="photographs, from the first")
    parser.add_argument("--out", type=Path, help="write the JSON object here as well")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
