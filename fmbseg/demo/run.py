"""The demo: label, fit and segment real photographs, then write a report and its figures."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fmbseg.aligned.files import FILES
from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.demo.metrics import KNOWN, Meter, collect, measure
from fmbseg.demo.panels import Painter
from fmbseg.demo.photographs import PHOTOGRAPHS, PackagedPhotograph, add_photographs, credit_of
from fmbseg.demo.report import Row, report_page
from fmbseg.demo.scene import Observer
from fmbseg.demo.words import demo_vocabularies
from fmbseg.devices import Device, find_device
from fmbseg.files import encode
from fmbseg.images import find_images, load_image
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.labels.manifest import MANIFEST
from fmbseg.labels.record import photograph_at
from fmbseg.labels.shards import shard_name
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.segmentation.segmenter import OpenVocabSegmenter
from fmbseg.written import LOCK, MARKER, WrittenFiles

if TYPE_CHECKING:
    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.vocabulary import Vocabulary

MOST_ROWS = 24
"""Number of photographs that the report shows; all are labelled and trained on."""

FEW_PHOTOGRAPHS = {"epochs": 20, "batch_size": 4, "patches_per_image": None, "image_size": 384}
"""What the demo changes in the recipe's training: a pass over eight photographs is two batches, so it takes
more passes, and larger photographs show more."""

_MARK = ".fmbseg-demo"
_SHARD = 1000
"""Photographs per file of labels."""


@dataclass(frozen=True)
class DemoSettings:
    """What the demo should do.

    Args:
        out: folder to write to: new, empty, or of an earlier demo, whose files alone are replaced;
            features that it computed are reused.
        images: folder of photographs; ``photographs`` if not given.
        photographs: those of packages to show, of :mod:`fmbseg.demo.photographs`.
        classes: words to label and train with; see :func:`fmbseg.demo.words.demo_vocabularies`.
        new_words: words to segment with that are not trained on; see there.
        recipe: the models and their settings.
        training: of the head; the recipe's with :data:`FEW_PHOTOGRAPHS` if not given.
        progress: show bars.
        hub: how files of the models are found; by default as the Hub's client is configured.
        device: where to compute; by default the best there is.
    """

    out: Path
    images: Path | None = None
    photographs: tuple[PackagedPhotograph, ...] = PHOTOGRAPHS
    classes: tuple[str, ...] | None = None
    new_words: tuple[str, ...] | None = None
    recipe: str = "offline"
    training: TrainingSettings | None = None
    progress: bool = True
    hub: HubOptions | None = None
    device: Device = None


@dataclass(frozen=True)
class DemoReport:
    """What the demo wrote.

    Attributes:
        page: the report, one self-contained HTML file.
        metrics: its figures as JSON.
        failures: photographs that could not be labelled, each with ``path`` and ``error``.
    """

    page: Path
    metrics: Path
    failures: list[dict[str, Any]]


def run_demo(settings: DemoSettings) -> DemoReport:
    """Run the whole chain and write ``report.html`` and ``metrics.json``, with the labels and the head.

    Raises:
        ValueError: the output folder holds other files, or the photographs themselves; words that do not form
            a vocabulary; photographs in which nothing was found; an unknown recipe, or one with a teacher.
        WouldReplaceError: (a ValueError) a file that fmbseg did not write is in the way; nothing was written.
        FileNotFoundError: the demo's own photographs are not installed.
    """
    trained, new = demo_vocabularies(
        settings.classes, settings.new_words, own_images=settings.images is not None
    )
    if get_recipe(settings.recipe).teacher is not None:
        raise ValueError(
            f"the demo shows what an image-text model and a mask model do; the recipe {settings.recipe!r} "
            "has a teacher in their place: name another recipe, or use PseudoLabeler or `fmbseg label`"
        )
    count = len(settings.photographs) if settings.images is None else _count(settings.images, settings.out)
    _check_folder(settings.out)
    with WrittenFiles(settings.out, "demo") as written, TemporaryDirectory() as work:
        written.check(_names(count))
        written.write(_MARK, b"")
        if settings.images is None:
            add_photographs(written, "photographs", settings.photographs)
        rows, metrics, failures = _run(settings, trained, new, Path(work))
        for folder in ("labels", "head"):
            for path in sorted(Path(work, folder).glob("[!.]*")):
                with written.path(f"{folder}/{path.name}") as place:
                    shutil.copyfile(path, place)
        written.write("metrics.json", encode(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n"))
        written.write("report.html", encode(report_page(rows, metrics)))
    return DemoReport(settings.out / "report.html", settings.out / "metrics.json", failures)


def _run(
    settings: DemoSettings, trained: Vocabulary, new: Vocabulary, work: Path
) -> tuple[list[Row], dict[str, Any], list[dict[str, Any]]]:
    """Label, fit and segment; labels and head go to ``work``.

    Returns:
        The report's photographs, its figures, and the photographs that could not be labelled.
    """
    on = find_device(settings.device)
    recipe = get_recipe(settings.recipe)
    training = settings.training or TrainingSettings.from_dict({**recipe.training, **FEW_PHOTOGRAPHS})
    meter = Meter()
    with meter.stage("load models"):
        labeler = PseudoLabeler(settings.recipe, device=on, hub=settings.hub)
    with meter.stage("label"):
        photographs = settings.images or settings.out / "photographs"
        labels = labeler.label(
            photographs, trained, work / "labels", shard_size=_SHARD, progress=settings.progress
        )
    with meter.stage("fit"):
        aligner = Aligner(
            recipe.backbone,
            labeler.encoder,
            settings=training,
            features_dir=settings.out / "features",
            device=on,
            hub=settings.hub,
        ).fit(labels, progress=settings.progress)
        aligner.save_pretrained(work / "head")
    segmenter = OpenVocabSegmenter(aligner)
    wide = None
    if recipe.head is not None:
        backbone, text = aligner.encoder.backbone, labeler.encoder
        wide = OpenVocabSegmenter.from_pretrained(
            recipe.head, backbone=backbone, text_encoder=text, device=on
        )
    observer = Observer(labeler, segmenter, trained, new, wide=wide)
    rows, agreement = _rows(labels, observer, trained, meter, settings)
    known = settings.images is None and KNOWN in {one.name for one in settings.photographs}
    truth = _truth(labels, labeler, segmenter) if known else None
    metrics = collect(recipe, labeler, labels, aligner, (trained, new), meter, agreement, truth)
    return rows, metrics, list(labels.errors)


def _rows(
    labels: LabelSet, observer: Observer, trained: Vocabulary, meter: Meter, settings: DemoSettings
) -> tuple[list[Row], float]:
    """Segment and draw the photographs of the report, and measure how far the head agrees with its labels."""
    rows, painter = [], Painter(trained.names, packaged=get_recipe(settings.recipe).head)
    agreeing = labelled = 0
    shown = [record for _, record in zip(range(MOST_ROWS), labels, strict=False)]
    with Progress(settings.progress) as bars:
        for record in bars.track(shown, "segmenting", len(shown)):
            with meter.stage("segment"):
                scene = observer.look(load_image(labels.photograph_of(record)), record)
            with meter.stage("draw"):
                panels = painter.panels(scene)
            agreeing += scene.agreement.agreeing
            labelled += scene.agreement.labelled
            credit = credit_of(record.path) if settings.images is None else ""
            found = tuple(trained.names[index] for index in record.detected)
            rows.append(Row(record.path, credit, found, tuple(panels)))
    return rows, agreeing / max(labelled, 1)


def _truth(labels: LabelSet, labeler: PseudoLabeler, segmenter: OpenVocabSegmenter) -> dict[str, Any]:
    return measure(load_image(photograph_at(labels.root, KNOWN)), labeler, segmenter)


def _count(images: Path, out: Path) -> int:
    """Count the photographs; refuse those in the output folder."""
    found = find_images(images)
    if images.resolve().is_relative_to(out.resolve()):
        raise ValueError(
            f"the photographs {images} are in the output folder {out}: give another folder with --out"
        )
    return len(found)


def _names(count: int) -> list[str]:
    """Every file that a demo of this many photographs can write."""
    shards = [shard_name(index) for index in range(-(-count // _SHARD))]
    return [
        _MARK,
        "report.html",
        "metrics.json",
        *(f"photographs/{one.name}" for one in PHOTOGRAPHS),
        *(f"labels/{name}" for name in (MANIFEST, *shards)),
        *(f"head/{name}" for name in FILES),
    ]


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds anything other than an earlier demo."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give a folder with --out")
    if not out.is_dir() or (out / _MARK).exists():
        return
    others = sorted(path.name for path in out.iterdir() if path.name not in (MARKER, LOCK))
    if others:
        raise ValueError(
            f"{out} holds files that are not a demo's, such as {others[0]}: "
            "give an empty or new folder with --out"
        )
