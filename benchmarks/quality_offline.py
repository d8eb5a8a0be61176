"""How good the offline chain is: label photographs, fit a head on them, segment others with other words.

``python benchmarks/quality_offline.py --data DIR --pool DIR`` labels the photographs of ``--pool`` with a
wide vocabulary, fits the head on these labels, and measures on fold ``val`` of ``--data`` (laid out as
:class:`fmbseg.evaluation.mask_folder.MaskFolder` says), with all names of its classes.txt as candidates:

- ``dense``: the image-text model's dense map alone, stitched from crops of one scale;
- ``dense_stage1``: the map that Stage 1 takes, which may join several scales;
- ``stage1_1``, ``stage1_2``, ``both``: the masks of Stage 1 for these photographs and names, painted, all of
  Stage 1.2 and not the part drawn for training; a pixel without a mask is a miss;
- ``aligned_alone``: the segmenter with the trained head alone, at the ``hubness`` that suits the head;
- ``aligned_mixed``: with the recipe's own settings for it but the refinement; they may mix in what the
  image-text model sees by itself (see :class:`fmbseg.segment_settings.KnowledgePreservation`);
- ``aligned``: with all of the recipe's own settings, which may name the masks of the mask model (see
  :class:`fmbseg.segment_settings.MaskNaming`).

mIoU is the data set's, over the classes in the ground truth, background left out. Seconds a photograph count
all that a variant needs from the decoded photograph on: with Stage 1, the dense map and the mask model, too.
Masks of everything are made once a photograph, and their seconds count wherever they are used.

``--head DIR`` (or the name of one that comes with the package) measures a head that exists: nothing is
labelled or fitted, and no ``--pool`` is needed.

A run that was stopped goes on where it stopped when it is started with the same arguments: the labels, the
head and the photographs measured are kept in ``--work``. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.offline_chain import (
    add_options,
    backbone_of,
    check_options,
    label_pool,
    make_labeler,
    number,
    training_settings,
    versions,
)
from benchmarks.output import tell
from fmbseg import Aligner, OpenVocabSegmenter, Vocabulary
from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.checksums import RowJournal, read_rows
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.mask_folder import MaskedPhotograph, MaskFolder
from fmbseg.labeling.description import describe
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE, LabeledImage
from fmbseg.models.text import embed_vocabulary
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import Background, MaskNaming, SegmentSettings
from fmbseg.segmentation.decoding import decode
from fmbseg.sources.stored_path import whole_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg import LabelSet, PseudoLabeler
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.masks import MaskSet
    from fmbseg.models.contracts import MaskGenerator, Prompter

STAGES = {
    "stage1_1": (POINT_STAGE,),
    "stage1_2": (EVERYTHING_STAGE,),
    "both": (POINT_STAGE, EVERYTHING_STAGE),
}
VARIANTS = ("dense", "dense_stage1", *STAGES, "aligned_alone", "aligned_mixed", "aligned")


@dataclass
class PresenceScore:
    """Counts predicted and present classes, image by image.

    Args:
        hits: classes that were predicted and are present.
        named: classes that were predicted.
        there: classes that are present.

    Example:
        >>> score = PresenceScore()
        >>> score.update(named={1, 2, 3}, there={2, 4})
        >>> score.precision, score.recall
        (0.3333333333333333, 0.5)
    """

    hits: int = 0
    named: int = 0
    there: int = 0

    def update(self, named: Collection[int], there: Collection[int]) -> None:
        """Count one image: the classes that the model named and those of the ground truth, each once."""
        self.hits += len(set(named) & set(there))
        self.named += len(set(named))
        self.there += len(set(there))

    @property
    def precision(self) -> float:
        """Share of the predicted classes that are present; nan where none was predicted."""
        return self.hits / self.named if self.named else float("nan")

    @property
    def recall(self) -> float:
        """Share of the present classes that were predicted; nan where none is present."""
        return self.hits / self.there if self.there else float("nan")


class Clock:
    """Seconds of what was run in it, added up.

    Example:
        >>> clock = Clock()
        >>> with clock:
        ...     pass
        >>> clock.seconds > 0
        True
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> Clock:
        self._start = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += perf_counter() - self._start


class TimedGenerator:
    """A mask generator that tells how long its parts took for the image in hand, and encodes it once.

    Args:
        inner: what makes the masks.
    """

    def __init__(self, inner: MaskGenerator) -> None:
        self.spec, self.promptable, self.license = inner.spec, inner.promptable, inner.license
        self._inner = inner
        self._prompter: TimedPrompter | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the image, and set the clocks to zero."""
        self._prompter = None
        self.encode, self.prompt, self.segment = Clock(), Clock(), Clock()

    @property
    def seconds_of_masks(self) -> float:
        """What "segment everything" took so far, with the encoding."""
        return self.encode.seconds + self.segment.seconds

    def begin(self, image: NDArray[np.uint8]) -> TimedPrompter:
        """Encode the image in hand, if that is not done yet."""
        if self._prompter is None:
            with self.encode:
                self._prompter = TimedPrompter(self._inner.begin(image), self)
        return self._prompter


class TimedPrompter:
    """The image in hand of a :class:`TimedGenerator`."""

    def __init__(self, inner: Prompter, generator: TimedGenerator) -> None:
        self._inner, self._generator = inner, generator
        self._masks: MaskSet | None = None

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """Ask for masks at points or in boxes."""
        with self._generator.prompt:
            return self._inner.prompt(points, boxes=boxes)

    def everything(self) -> MaskSet:
        """Ask for all masks; they are made once."""
        if self._masks is None:
            with self._generator.segment:
                self._masks = self._inner.everything()
        return self._masks


class Measurer:
    """Measures every variant on one photograph after the other.

    Args:
        labeler: of Stage 1.
        segmenter: with the trained head.
        segmenting: settings of the variant ``aligned``; the masks that it names are Stage 1's.
        folder: of photographs with masks; its names are the words.

    Attributes:
        segmenting: settings of each variant of the segmenter.
    """

    def __init__(
        self,
        labeler: PseudoLabeler,
        segmenter: OpenVocabSegmenter,
        segmenting: SegmentSettings,
        folder: MaskFolder,
    ) -> None:
        self._labeler, self._segmenter, self._folder = labeler, segmenter, folder
        self._words = Vocabulary.of(folder.names)
        self._generator = TimedGenerator(labeler.generator)
        labeler.two_models.generator = self._generator
        refine = MaskNaming(self._generator) if isinstance(segmenting.refine, MaskNaming) else None
        self.segmenting = {
            "aligned_alone": segmenter.settings,
            "aligned_mixed": replace(segmenting, refine=None),
            "aligned": segmenting if refine is None else replace(segmenting, refine=refine),
        }
        with torch.inference_mode():
            self._prototypes = embed_vocabulary(labeler.encoder, self._words)

    def measure(self, photograph: MaskedPhotograph) -> dict[str, Any]:
        """Measure one photograph; the result is plain JSON."""
        image, target = self._folder.load(photograph)
        seconds: dict[str, float] = {}
        maps: dict[str, NDArray[Any]] = {}
        stage1 = self._labeler.two_models.settings
        for name, settings in (("dense", replace(stage1, scales=(1.0,))), ("dense_stage1", stage1)):
            with Clock() as clock:
                maps[name] = self._dense(image, settings)
            seconds[name] = clock.seconds
        stage1_maps, stage1_seconds, detected = self._stage1(image, photograph.key)
        for name, segmenting in self.segmenting.items():
            masks = self._generator.seconds_of_masks if segmenting.refine else 0.0  # made in Stage 1
            with Clock() as clock:
                maps[name] = self._segmenter.segment(image, self._words, settings=segmenting).labels
            seconds[name] = masks + clock.seconds
        there = np.unique(target[target >= 0]).tolist()
        return {
            "id": photograph.key,
            "seconds": seconds | stage1_seconds,
            "counts": {
                name: _sparse(one, target, len(self._words)) for name, one in (maps | stage1_maps).items()
            },
            "named": list(detected),
            "there": there,
        }

    def _dense(self, image: NDArray[np.uint8], settings: LabelingSettings) -> NDArray[np.int64]:
        text_map = describe(image, self._labeler.encoder, settings).dense
        labels = decode(text_map, self._prototypes, (image.shape[0], image.shape[1])).labels
        return np.asarray(labels.cpu().numpy())

    def _stage1(
        self, image: NDArray[np.uint8], key: str
    ) -> tuple[dict[str, NDArray[np.int32]], dict[str, float], tuple[int, ...]]:
        self._generator.reset()
        with Clock() as clock:
            labels = self._labeler.label_image(image, self._words, key=key)
        record = LabeledImage(
            path=key,
            sha256="",
            detected=labels.detected,
            masks=labels.masks,
            class_ids=labels.class_ids,
            stages=labels.stages,
            similarities=labels.similarities,
            kept=labels.kept,
            points=labels.points,
        )
        maps = {name: record.label_map(stages, kept_only=False) for name, stages in STAGES.items()}
        seconds = {
            "stage1_1": clock.seconds - self._generator.segment.seconds,
            "stage1_2": clock.seconds - self._generator.prompt.seconds,
            "both": clock.seconds,
        }
        return maps, seconds, labels.detected


def _sparse(prediction: NDArray[Any], target: NDArray[np.int32], classes: int) -> list[list[int]]:
    """The confusion counts of one photograph as [row, column, count], where there are any."""
    matrix = ConfusionMatrix(classes)
    matrix.update(prediction, target)
    rows, columns = np.nonzero(matrix.counts)
    counts = matrix.counts[rows, columns]
    return [list(cell) for cell in zip(rows.tolist(), columns.tolist(), counts.tolist(), strict=True)]


def measured(
    measurer: Measurer, photographs: Sequence[MaskedPhotograph], journal: Path
) -> list[dict[str, Any]]:
    """Measure every photograph that the journal does not have yet; each is kept as soon as it is done."""
    rows = read_rows(journal)
    known = {row["id"] for row in rows}
    todo = [photograph for photograph in photographs if photograph.key not in known]
    with Progress() as bars, RowJournal.after(journal) as file:
        for photograph in bars.track(todo, "measuring", len(photographs), done=len(rows)):
            rows.append(measurer.measure(photograph))
            file.append(rows[-1])
    return rows


def summary(rows: Sequence[Mapping[str, Any]], classes: int, *, promptable: bool) -> dict[str, Any]:
    """Add up what was measured: mIoU and seconds of each variant, their ratios, and presence."""
    scores: dict[str, Any] = {}
    for variant in VARIANTS:
        matrix = ConfusionMatrix(classes)
        for row in rows:
            cells = np.array(row["counts"][variant], dtype=np.int64).reshape(-1, 3)
            matrix.counts[cells[:, 0], cells[:, 1]] += cells[:, 2]
        scores[variant] = {
            "miou": number(matrix.miou()),
            "seconds_per_image": number(float(np.mean([row["seconds"][variant] for row in rows]))),
            "pixel_accuracy": number(matrix.pixel_accuracy),
        }
    if not promptable:  # there is no Stage 1.1 without prompts
        scores["stage1_1"] = {"miou": None, "seconds_per_image": None, "pixel_accuracy": None}
    presence = PresenceScore()
    for row in rows:
        presence.update(row["named"], row["there"])
    return {
        **scores,
        "stage1_ratio": _ratio(scores["both"]["miou"], scores["dense"]["miou"]),
        "ratio": _ratio(scores["aligned"]["miou"], scores["dense"]["miou"]),
        "ratio_mixed": _ratio(scores["aligned_mixed"]["miou"], scores["dense"]["miou"]),
        "ratio_alone": _ratio(scores["aligned_alone"]["miou"], scores["dense"]["miou"]),
        "presence": {"precision": number(presence.precision), "recall": number(presence.recall)},
        "measured": {
            "photographs": len(rows),
            "classes": classes,
            "classes_present": len({index for row in rows for index in row["there"]}),
        },
    }


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else round(over / under, 4)


def trained(
    labels: LabelSet, labeler: PseudoLabeler, backbone: str, settings: TrainingSettings, folder: Path
) -> Aligner:
    """The head that was fitted on these labels with these settings, if it is in ``folder``; else fit it."""
    saved = _saved(folder, labeler)
    if saved is not None:
        config = saved.encoder.config
        found = (config.training["labels"]["fingerprint"], config.training["settings"], config.backbone)
        if found == (labels.fingerprint, settings.to_dict(), backbone):
            return saved
    aligner = Aligner(backbone, text_encoder=labeler.encoder, settings=settings).fit(labels)
    aligner.save_pretrained(folder)
    return aligner


def _saved(folder: Path, labeler: PseudoLabeler) -> Aligner | None:
    if not folder.is_dir():
        return None
    try:
        return Aligner.from_pretrained(folder, text_encoder=labeler.encoder)
    except AlignedEncoderError as error:  # for example stopped while it was written
        print(f"the head is fitted again: {error}", file=sys.stderr)
        return None


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Label, train and measure; return the JSON object."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    folder = MaskFolder(arguments.data)
    photographs = folder.fold("val")
    recipe = get_recipe(arguments.recipe)
    labeler = make_labeler(arguments)
    if arguments.head is not None:
        aligner = Aligner.from_pretrained(arguments.head, text_encoder=labeler.encoder)
    else:
        labels = label_pool(arguments, labeler)
        training = training_settings(arguments)
        aligner = trained(labels, labeler, backbone_of(arguments), training, arguments.work / "head")

    config = aligner.encoder.config
    segmenter = OpenVocabSegmenter(aligner, settings=SegmentSettings(certainty=0.0))  # a class everywhere
    best = replace(recipe.segmenting, background=Background(), certainty=0.0)
    best = replace(best, hubness=segmenter.settings.hubness)
    measurer = Measurer(labeler, segmenter, best, folder)
    segmenting = {name: settings.describe() for name, settings in measurer.segmenting.items()}
    models, stage1 = labeler.origin["models"], labeler.origin["settings"]
    key = json.dumps(
        [
            models,
            stage1,
            folder.names,
            whole_name(folder.folder),
            aligner.encoder.describe(),
            [one.key for one in photographs],
            segmenting,
        ]
    )
    journal = arguments.work / f"measured-{sha256(key.encode()).hexdigest()[:12]}.jsonl"
    rows = measured(measurer, photographs, journal)
    learned, words = config.training, config.vocabulary.names if config.vocabulary else ()
    return {
        "benchmark": "quality_offline",
        **summary(rows, len(folder.names), promptable=labeler.generator.promptable),
        "mask_generator": labeler.generator.spec,
        "trained": {
            "head": arguments.head,
            "photographs": learned["labels"]["photographs"],
            "classes_detected": len(words),
            "measured_names_among_them": len(set(folder.names) & set(words)),
            "loss": [record.loss for record in aligner.history],
        },
        "settings": {
            "recipe": recipe.name,
            "models": {**models, "backbone": config.backbone},
            "vocabulary": None if arguments.head else str(arguments.vocabulary),
            "limit": arguments.limit,
            "labeling": stage1,
            "training": learned["settings"],
            "segmenting": segmenting,
        },
        "versions": versions(),
        "machine": {
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "peak_memory_gb_since_start": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        },
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_options(parser, needs_pool=False)
    parser.add_argument("--head", help="measure this head instead of labelling and fitting")
    arguments = parser.parse_args(command)
    check_options(parser, arguments, "quality_offline")
    if (arguments.pool is None) == (arguments.head is None):
        parser.error("give either --pool to learn from, or a --head that exists")
    return arguments


def main(command: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its JSON object last."""
    arguments = parse(command)
    result = run(arguments)
    tell(result, arguments.out)


if __name__ == "__main__":
    main()
