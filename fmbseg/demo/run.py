"""The demo: label, fit and segment real photographs, then write a report and its figures."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.demo import ground_truth
from fmbseg.demo.meter import Meter
from fmbseg.demo.metrics import collect
from fmbseg.demo.panels import panels_of
from fmbseg.demo.photographs import copy_photographs, credit_of
from fmbseg.demo.report import Row, report_page
from fmbseg.demo.scene import Observer
from fmbseg.demo.words import demo_vocabularies
from fmbseg.files import write_json, write_text
from fmbseg.images import find_images, load_image
from fmbseg.labeling.labeler import PseudoLabeler
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.segmentation.segmenter import OpenVocabSegmenter

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.labels.label_set import LabelSet
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.vocabulary import Vocabulary

MOST_ROWS = 24
"""Photographs that the report shows; more are labelled and trained on, but not shown."""

FEW_PHOTOGRAPHS = {"epochs": 20, "batch_size": 4, "patches_per_image": None, "image_size": 384}
"""What the demo's training changes in the recipe's: a pass over eight photographs is two batches, so it takes
more passes, and larger photographs show more."""

_MARK = ".fmbseg-demo"
_PARTS = ("photographs", "labels", "features", "head")


@dataclass(frozen=True)
class DemoSettings:
    """What the demo is to do.

    Args:
        out: folder to write to: new, empty, or of an earlier demo, whose files are replaced.
        images: folder of photographs; those of :mod:`fmbseg.demo.photographs` if not given.
        classes: words to label and train with; see :func:`fmbseg.demo.words.demo_vocabularies`.
        new_words: words to segment with that are not trained on; likewise.
        recipe: names the models.
        training: of the head; the recipe's with :data:`FEW_PHOTOGRAPHS` if not given.
        progress: show bars.
        hub: how files of the models are looked for, if not as the Hub's client is set up.
    """

    out: Path
    images: Path | None = None
    classes: tuple[str, ...] | None = None
    new_words: tuple[str, ...] | None = None
    recipe: str = "offline"
    training: TrainingSettings | None = None
    progress: bool = True
    hub: HubOptions | None = None


@dataclass(frozen=True)
class DemoReport:
    """What the demo wrote.

    Attributes:
        page: the report, one HTML file that needs no other.
        metrics: its figures as JSON.
        failures: photographs that could not be labelled, each with ``path`` and ``error``.
    """

    page: Path
    metrics: Path
    failures: list[dict[str, Any]]


def run_demo(settings: DemoSettings) -> DemoReport:
    """Run the whole chain and write ``report.html`` and ``metrics.json``.

    Raises:
        ValueError: an output folder that holds other things, or the photographs themselves; words that make
            no vocabulary; photographs in which nothing was found; an unknown recipe.
        FileNotFoundError: the demo's own photographs are not installed.
    """
    recipe = get_recipe(settings.recipe)
    training = settings.training or TrainingSettings.from_dict({**recipe.training, **FEW_PHOTOGRAPHS})
    trained, new = demo_vocabularies(
        settings.classes, settings.new_words, own_images=settings.images is not None
    )
    if settings.images is not None:
        _check_images(settings.images, settings.out)
    _claim(settings.out)
    photographs = settings.images
    if photographs is None:
        photographs = settings.out / "photographs"
        copy_photographs(photographs)
    meter = Meter()
    with meter.stage("load models"):
        labeler = PseudoLabeler(settings.recipe, hub=settings.hub)
    with meter.stage("label"):
        labels = labeler.label(photographs, trained, settings.out / "labels", progress=settings.progress)
    with meter.stage("fit"):
        aligner = Aligner(
            recipe.backbone,
            labeler.encoder,
            settings=training,
            cache_dir=settings.out / "features",
            hub=settings.hub,
        ).fit(labels, progress=settings.progress)
        aligner.save_pretrained(settings.out / "head")
    segmenter = OpenVocabSegmenter(aligner)
    wide = None
    if recipe.head is not None:
        backbone, text = aligner.encoder.backbone, labeler.encoder
        wide = OpenVocabSegmenter.from_pretrained(recipe.head, backbone=backbone, text_encoder=text)
    observer = Observer(labeler, segmenter, trained, new, wide=wide)
    rows, agreement = _rows(labels, observer, trained, meter, settings)
    truth = _truth(labels, labeler, segmenter) if settings.images is None else None
    metrics = collect(recipe, labeler, labels, aligner, (trained, new), meter, agreement, truth)
    page, figures = settings.out / "report.html", settings.out / "metrics.json"
    write_text(page, report_page(rows, metrics))
    write_json(figures, metrics)
    return DemoReport(page, figures, labels.errors)


def _rows(
    labels: LabelSet, observer: Observer, trained: Vocabulary, meter: Meter, settings: DemoSettings
) -> tuple[list[Row], float]:
    """Segment and draw the photographs that the report shows; and how far the head agrees with its labels."""
    rows = []
    agreeing = labelled = 0
    shown = [record for _, record in zip(range(MOST_ROWS), labels, strict=False)]
    with Progress(settings.progress) as bars:
        for record in bars.track(shown, "segmenting", len(shown)):
            with meter.stage("segment"):
                scene = observer.look(load_image(labels.image_path(record)), record)
            with meter.stage("draw"):
                panels = panels_of(scene, trained.names, packaged=get_recipe(settings.recipe).head)
            agreeing += scene.agreement.agreeing
            labelled += scene.agreement.labelled
            credit = credit_of(record.path) if settings.images is None else ""
            found = tuple(trained.names[index] for index in record.detected)
            rows.append(Row(record.path, credit, found, tuple(panels)))
    return rows, agreeing / max(labelled, 1)


def _truth(labels: LabelSet, labeler: PseudoLabeler, segmenter: OpenVocabSegmenter) -> dict[str, Any]:
    return ground_truth.measure(load_image(labels.root / ground_truth.PHOTOGRAPH), labeler, segmenter)


def _check_images(images: Path, out: Path) -> None:
    """Refuse photographs that are not there, or that emptying the output folder would delete."""
    find_images(images)
    if images.resolve().is_relative_to(out.resolve()):
        raise ValueError(
            f"the photographs {images} lie in the output folder {out}, whose files are replaced: "
            "give another folder with --out"
        )


def _claim(out: Path) -> None:
    """Make the folder, or empty that of an earlier demo; one that holds anything else is refused."""
    mark = out / _MARK
    if out.exists() and not mark.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} holds files that are not a demo's: give an empty or new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    mark.touch()
    for part in _PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
