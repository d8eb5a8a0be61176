"""How right is what is not left blank: fit certainty without labels, then measure it where masks are known.

``python -m benchmarks.certainty --data DIR --work DIR`` does three things:

1. From the photographs of fold ``train`` of ``--data``, without their masks, it fits the curves of
   the module ``fmbseg.certainty`` (see ``benchmarks/certainty_fit.py``): of the packaged head's scores alone,
   of those mixed with the image-text model's, of Stage 1's dense map, and of the best crop for presence.
   ``--fit`` writes the head's curves to the packaged head; Stage 1's stand in its recipe.
2. With the masks of fold ``train`` it tells the best certainties: the most precise for which 95 of 100 draws
   of the photographs keep half of the recall of painting everything; and what the defaults reach there.
3. With the certainties that are the defaults, it measures on fold ``val``, with all names of classes.txt as
   candidates and pixels that show none of them counted as wrong (crowds aside):

   - ``stage1``: the labels of the offline recipe, with masks;
   - ``segmenter``: the packaged head with its recipe's settings, beside common words and so with all masks
     and a second look; ``segmenter_no_background``: without them, by certainty alone, masks of regions;
   - ``head``: the head alone with plain settings, no masks; ``dense``: the dense map of Stage 1, no masks;
   - ``presence``: precision of the classes found, at equal recall.

Intervals hold 90 % of 1,000 draws of the photographs. What was encoded and measured is kept in ``--work``, so
a run that was stopped goes on. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from benchmarks.certainty_figures import (
    Painted,
    choose,
    counts,
    curve,
    figures,
    picture,
    presence,
    reliability,
)
from benchmarks.certainty_fit import Encoders, best_crop, fit, keep
from benchmarks.output import tell
from fmbseg.certainty import HeadCertainty
from fmbseg.checksums import RowJournal, read_rows
from fmbseg.evaluation.mask_folder import MaskedPhotograph, MaskFolder
from fmbseg.files import write_atomically
from fmbseg.heads import DEFAULT_HEAD, packaged_head
from fmbseg.labeling.classes import Classes
from fmbseg.labeling.description import Description
from fmbseg.labeling.stage1 import label_described
from fmbseg.masks import MaskSet
from fmbseg.models.hubness import hubness_of
from fmbseg.models.mask_generators.kept_masks import KeptMasks
from fmbseg.models.registries import MASK_GENERATORS
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import Background, MaskNaming
from fmbseg.segmentation.certainty import curve_for
from fmbseg.segmentation.classes import ResultClasses
from fmbseg.segmentation.cutouts import Cutouts
from fmbseg.segmentation.decoding import SecondMap, decode
from fmbseg.segmentation.reduction import EncodedImage, segment_encoded
from fmbseg.sources.stored_path import local

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.models.contracts import Prompter

    Count = Callable[[str, float, NDArray[np.integer]], None]
    Maps = dict[str, torch.Tensor]
    Rows = Sequence[Mapping[str, Any]]

LEAST_RECALL = 0.5
"""Part of the recall that is kept on fold ``train`` in 95 of 100 draws of its photographs."""
LEVELS = tuple(step / 40 for step in range(40))
LABEL_LEVELS = (0.0, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
_REACHED = ("times_the_precision", "part_of_the_recall")
WAYS = ("stage1", "segmenter", "segmenter_no_background", "head", "dense")
_IGNORED = 255
_EVERY = 2
"""Of so many pixels in a row, and rows, one is measured: maps of 32 pixels a cell hold no more."""


class RememberedMasks:
    """The recipe's mask model: images are encoded and prompts decoded once, all masks are kept on disk.

    Args:
        kept: mask generator.
    """

    def __init__(self, kept: KeptMasks) -> None:
        self.spec, self.promptable, self.license = kept.spec, kept.promptable, kept.license
        self._kept = kept
        self.forget()

    def forget(self) -> None:
        """Turn to another image."""
        self._prompter: Prompter | None = None
        self._all: MaskSet | None = None
        self._known: dict[bytes, MaskSet] = {}

    def begin(self, image: NDArray[np.uint8]) -> RememberedMasks:
        """Take the image in hand."""
        self._prompter = self._prompter or self._kept.begin(image)
        return self

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """Ask at the points that are not known yet."""
        assert boxes is None
        assert self._prompter is not None
        new = [one for one in points if one.tobytes() not in self._known]
        if new:
            found = self._prompter.prompt(new)
            self._known |= {one.tobytes(): found.select([index]) for index, one in enumerate(new)}
        return MaskSet.concat([self._known[one.tobytes()] for one in points])

    def everything(self) -> MaskSet:
        """All masks."""
        assert self._prompter is not None
        self._all = self._prompter.everything() if self._all is None else self._all
        return self._all


class Measurer:
    """Counts what each way of painting paints, on one photograph after the other.

    Args:
        models: that made the maps.
    """

    def __init__(self, models: Encoders) -> None:
        self.models, self.folder, self.words = models, models.folder, models.words
        options = dict(models.recipe.mask_options)
        spec = models.recipe.mask_generator
        assert spec is not None
        self._masks = RememberedMasks(
            KeptMasks(MASK_GENERATORS.create(spec, **options), options, models.work)
        )
        known = models.encoder.certainty
        assert known is not None
        assert models.labeling.mask_curve is not None
        self._curves = {"head": known.alone, "dense": models.labeling.mask_curve}
        prototypes = models.prototypes(head=False)
        self._classes = Classes(prototypes[:, :-1], -prototypes[:, -1])

    def row(self, photograph: MaskedPhotograph) -> dict[str, Any]:
        """Counts of what segmenters paint by way and certainty, and the classes' scores, as JSON values."""
        maps = self.models.encode(photograph, ("head", "head640", "second", "dense", "pooled"))
        image, target, count, ways = self._begun(photograph)
        for way in ("head", "dense"):
            labels, certainty = self._map(maps[way], way, image.shape[:2])
            for level in LEVELS:
                count(way, level, np.where(certainty < level, -1, labels))
        for way, rule in (
            ("segmenter", Background("common")),
            ("segmenter_no_background", Background("none")),
        ):
            labels, certainty = self._segmented(image, maps, rule)
            for level in LEVELS:
                count(way, level, np.where(certainty < level, -1, labels))
        return {"key": photograph.key, "ways": ways, "presence": self._presence(maps, target)}

    def labels_row(self, photograph: MaskedPhotograph) -> dict[str, Any]:
        """The same counts of the labels of Stage 1."""
        maps = self.models.encode(photograph, ("dense", "pooled"))
        image, _, count, ways = self._begun(photograph)
        seen = Description(pooled=maps["pooled"], dense=maps["dense"])
        labels = label_described(
            image, seen, photograph.key, self._classes, self._masks, self.models.labeling
        )
        for level in LABEL_LEVELS:
            count("stage1", level, labels.certain(level).label_map(kept_only=False))
        return {"key": photograph.key, "ways": ways}

    def _begun(
        self, photograph: MaskedPhotograph
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32], Count, dict[str, dict[float, list[list[int]]]]]:
        """A photograph, its classes, what counts a way of painting it, and the counts."""
        image, target = self.folder.load(photograph)
        with Image.open(local(photograph.mask)) as mask:
            counted = np.asarray(mask) != _IGNORED
        self._masks.forget()
        here = np.s_[1::_EVERY, 1::_EVERY]
        ways: dict[str, dict[float, list[list[int]]]] = {}

        def count(way: str, level: float, painted: NDArray[np.integer]) -> None:
            cells = counts(painted[here], target[here], counted[here], len(self.words))
            ways.setdefault(way, {})[level] = cells

        return image, target, count, ways

    def _map(
        self, text_map: torch.Tensor, way: str, size: tuple[int, int]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The word of each pixel by a map without masks, and its certainty."""
        one = torch.cat([text_map, torch.ones_like(text_map[:1])])
        found = decode(one, self.models.prototypes(head=way == "head"), size)
        return found.labels.numpy(), self._curves[way].of(found.scores.numpy())

    def _segmented(
        self, image: NDArray[np.uint8], maps: Maps, background: Background
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The word of each pixel by the segmenter with its recipe's settings, -1 for background."""
        segmenter, settings = self.models.segmenter, self.models.recipe.segmenting
        if background.rule == "common":
            settings = settings.beside_common_words()
        assert isinstance(settings.refine, MaskNaming)
        assert settings.preserve is not None
        second = SecondMap(maps["second"], settings.preserve)
        settings = replace(
            settings,
            background=background,
            certainty=0.0,
            hubness=self.models.encoder.hubness,
            refine=replace(settings.refine, generator=self._masks, options={}),
        )
        texts, classes = segmenter.competing(ResultClasses.of(self.words, background))
        offsets = self.models.encoder.hubness * hubness_of(texts, self.models.known)
        found = segment_encoded(
            EncodedImage(image, torch.zeros(3, 1, 1), maps["head640"], second).with_constant(),
            torch.cat([texts, -offsets[:, None]], dim=1),
            classes,
            settings,
            self._masks,
            curve_for(self.models.encoder, settings),
            Cutouts(self.models.text, device=torch.device("cpu"), batch_size=4),
        )
        assert found.certainty is not None
        return found.labels - (classes.background == 0), found.certainty  # background comes first

    def _presence(self, maps: Maps, target: NDArray[np.int32]) -> dict[str, list[Any]]:
        """For each word its score, whether it is shown, and whether a crop voted for it."""
        pooled = maps["pooled"]
        choice = self._classes.scores(pooled).argmax(1)
        similarity = (pooled * self.models.texts[choice]).sum(1)
        chosen = choice[similarity >= self.models.labeling.min_crop_similarity]
        words = np.arange(len(self.words))
        return {
            "score": [round(float(one), 5) for one in best_crop(self.models, maps)],
            "shown": np.isin(words, target).tolist(),
            "voted": np.isin(words, chosen.numpy()).tolist(),
        }


def measured(measurer: Measurer, fold: Sequence[MaskedPhotograph]) -> Rows:
    """The rows of a fold; those that were measured before are read."""
    models, words = measurer.models, measurer.words.names
    labeling = models.labeling
    describing = replace(labeling, certainty=0.0)
    segmenters = [
        models.encoder.describe(),
        models.recipe.segmenting.describe(),
        str(describing),
        words,
        LEVELS,
    ]
    labels = [str(labeling), dict(models.recipe.mask_options), words, LABEL_LEVELS]
    rows = _kept(models.work, "segmented", segmenters, measurer.row, fold)
    for row, labelled in zip(
        rows, _kept(models.work, "labelled", labels, measurer.labels_row, fold), strict=True
    ):
        row["ways"] |= labelled["ways"]
    return rows


def _kept(
    work: Path,
    name: str,
    made_with: list[Any],
    measure: Callable[[MaskedPhotograph], dict[str, Any]],
    fold: Sequence[MaskedPhotograph],
) -> list[dict[str, Any]]:
    """Rows of one kind, each measured once."""
    key = sha256(json.dumps(made_with, default=str).encode()).hexdigest()[:12]
    journal = work / f"{name}-{key}.jsonl"
    rows = {row["key"]: row for row in read_rows(journal)}
    with Progress() as bars, RowJournal.after(journal) as file:
        todo = [one for one in fold if one.key not in rows]
        for photograph in bars.track(todo, name, len(fold), done=len(fold) - len(todo)):
            row = json.loads(json.dumps(measure(photograph)))
            file.append(row)
            rows[photograph.key] = row
    return [rows[one.key] for one in fold]


def painted(rows: Rows, way: str, classes: int) -> dict[float, Painted]:
    """A way of painting at each certainty."""
    return {
        float(level): Painted.of([row["ways"][way][level] for row in rows], classes)
        for level in rows[0]["ways"][way]
    }


def chosen_on(rows: Rows, classes: int) -> dict[str, dict[str, Any]]:
    """The certainty of each way, the best on these photographs, and what it reaches there."""
    found: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        everything = painted(rows, _everything(way), classes)[0.0]
        certainty, reached = choose(painted(rows, way, classes), everything, LEAST_RECALL)
        found[way] = {"certainty": certainty, **reached}
    return found


def _everything(way: str) -> str:
    """What paints everything, at certainty 0."""
    return "segmenter_no_background" if way == "segmenter" else way


def told(rows: Rows, certainties: Mapping[str, float], classes: int) -> dict[str, Any]:
    """The figures of each way at a certainty."""
    found: dict[str, Any] = {}
    for way, certainty in certainties.items():
        levels = painted(rows, way, classes)
        found[way] = {
            "certainty": certainty,
            **figures(levels[certainty], painted(rows, _everything(way), classes)[0.0]),
            "curve": curve(levels),
            # Of labels there is none: where smaller masks go blank, larger ones below them show.
            "reliability": [] if way == "stage1" else reliability(levels),
        }
    return found


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit, choose, and measure; return the JSON object."""
    folder = MaskFolder(arguments.data)
    models = Encoders(folder, arguments.work, DEFAULT_HEAD, get_recipe(DEFAULT_HEAD))
    train, test = (folder.fold(name)[: arguments.limit] for name in ("train", "val"))
    curves = fit(models, train)
    if arguments.fit:
        place = packaged_head(DEFAULT_HEAD)
        assert place is not None
        known = models.encoder.certainty
        keep(curves, len(train), place, known or HeadCertainty(curves["alone"]))
        models = Encoders(folder, arguments.work, DEFAULT_HEAD, models.recipe)
    measurer, classes = Measurer(models), len(folder.names)
    seen = measured(measurer, train)
    chosen = chosen_on(seen, classes)
    rows = measured(measurer, test)
    known, labels = models.encoder.certainty, models.labeling.certainty
    assert known is not None
    beside = known.default if known.beside_common is None else known.beside_common
    defaults = dict.fromkeys(WAYS, known.default) | {"stage1": labels, "dense": labels, "segmenter": beside}
    found = told(rows, defaults, classes)
    for way, reached in told(seen, defaults, classes).items():
        chosen[way]["by_default"] = {name: reached[name] for name in ("certainty", *_REACHED)}
    if arguments.picture:
        names = {
            "stage1": "labels of Stage 1, with masks",
            "segmenter": "the segmenter, with masks",
            "head": "head alone",
            "dense": "Stage 1's dense map",
        }
        lines = {called: found[way]["curve"] for way, called in names.items()}
        marks = {
            called: (found[way]["share"][0], found[way]["precision"][0]) for way, called in names.items()
        }
        write_atomically(arguments.picture, picture(lines, marks).encode())
    assert models.labeling.presence_curve is not None
    score, shown, voted = (
        np.array([row["presence"][name] for row in rows]) for name in ("score", "shown", "voted")
    )
    return {
        "benchmark": "certainty",
        "photographs": {"looked_at": len(train), "measured": len(test)},
        "curves": [[name, list(one.scores), list(one.certainties)] for name, one in curves.items()],
        "chosen_on_train": chosen,
        **found,
        "presence": presence(score, shown, voted, models.labeling.presence_curve.of(score)),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with folds `train` and `val`")
    parser.add_argument("--work", type=Path, default=Path("runs/certainty"), help="keeps what was encoded")
    parser.add_argument("--fit", action="store_true", help="write the curves to the packaged head")
    parser.add_argument("--limit", type=int, help="the first N photographs of each fold")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    parser.add_argument("--picture", type=Path, help="draw the curves into this SVG")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    with torch.inference_mode():
        tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
