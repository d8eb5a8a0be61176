"""What each part of Stage 2 is worth: losses, heads, temperatures and the masks that are learned from.

``python benchmarks/ablations.py --data DIR --labels DIR`` fits heads on labels that ``fmbseg label`` wrote
(or on those that it makes itself of ``--pool DIR``, as ``quality_offline.py`` does), and measures each on
fold ``val`` of ``--data``, all names of its classes.txt as candidates, background left out: the mIoU of the
data set, its mean and standard deviation over the seeds. The base is the recipe, changed by ``--training``.
Each part is changed alone, or with ``--all-combinations`` every one with every other. ``--changes`` is a JSON
list of other settings to change, a row each: ``'[{"min_coverage": 0.8}, {"mask_weight": 0}]'``.

The masks are those of Stage 1.1 (from points), of Stage 1.2 (of everything, named), or of both, as they were
drawn for training. ``--limit N`` takes the first N photographs.

A run that was stopped goes on when it is started with the same arguments: every head that was measured is
kept in ``--work``. The table is printed as Markdown; the last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice, product
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, get_args

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
from fmbseg import Aligner, LabelSet, OpenVocabSegmenter, Vocabulary
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head_settings import HEAD_KINDS
from fmbseg.alignment.settings import LossName, TrainingSettings
from fmbseg.checksums import RowJournal, read_rows
from fmbseg.evaluation.confusion import ConfusionMatrix
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.labels.record import EVERYTHING_STAGE, POINT_STAGE
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.recipes import get_recipe
from fmbseg.sources.stored_path import whole_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage
    from fmbseg.models.contracts import Backbone, ImageTextEncoder

SOURCES = {
    "1.1": (POINT_STAGE,),
    "1.2": (EVERYTHING_STAGE,),
    "both": (POINT_STAGE, EVERYTHING_STAGE),
}
PARTS = {"loss": "loss", "head": "head_kind", "temperature": "temperature"}
"""Columns of the table that are settings of the training, by the setting's name."""


@dataclass(frozen=True)
class Trial:
    """One row of the table.

    Args:
        settings: of the training, with any seed.
        source: of the masks, one of :data:`SOURCES`.
    """

    settings: TrainingSettings
    source: str

    def row(self, base: TrainingSettings) -> dict[str, Any]:
        """What distinguishes it in the table from the base."""
        parts = {column: getattr(self.settings, name) for column, name in PARTS.items()}
        usual = base.to_dict()
        other = {
            name: value
            for name, value in self.settings.to_dict().items()
            if value != usual[name] and name not in {*PARTS.values(), "seed"}
        }
        return {**parts, "masks": self.source, "other": other}


@dataclass(frozen=True)
class FirstPhotographs:
    """The first photographs of labels.

    Args:
        labels: of more.
        count: how many, at most; None for all.
    """

    labels: LabelCollection
    count: int | None

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes that the labels' indices point to."""
        return self.labels.vocabulary

    @property
    def fingerprint(self) -> str:
        """A hash; equal only for equal labels."""
        return f"{self.labels.fingerprint}-{len(self)}"

    def __len__(self) -> int:
        return len(self.labels) if self.count is None else min(self.count, len(self.labels))

    def __iter__(self) -> Iterator[LabeledImage]:
        return islice(iter(self.labels), self.count)

    @property
    def origin(self) -> dict[str, Any]:
        """What made the labels."""
        return self.labels.origin

    def photograph_of(self, record: LabeledImage) -> Path:
        """Where the photograph of a record is."""
        return Path(str(self.labels.photograph_of(record)))


def trials(base: TrainingSettings, arguments: argparse.Namespace) -> list[Trial]:
    """Every row of the table, the base first."""
    values: dict[str, Sequence[Any]] = {
        "loss": arguments.losses,
        "head_kind": arguments.heads,
        "temperature": arguments.temperatures,
    }
    found = [Trial(base, "both")]
    if arguments.all_combinations:
        for *chosen, source in product(*values.values(), arguments.sources):
            changed = dict(zip(values, chosen, strict=True))
            found.append(Trial(replace(base, **changed), source))
    else:
        for name, choices in values.items():
            found += [Trial(replace(base, **{name: choice}), "both") for choice in choices]
        found += [Trial(base, source) for source in arguments.sources]
    found += [Trial(replace(base, **change), "both") for change in arguments.changes]
    return list(dict.fromkeys(found))


class RememberingBackbone:
    """A frozen encoder that encodes the same pixels once: many heads are measured on the same photographs.

    Args:
        inner: the encoder.
    """

    def __init__(self, inner: Backbone) -> None:
        self.spec, self.dim, self.stride = inner.spec, inner.dim, inner.stride
        self.native_size, self.license, self.transform = inner.native_size, inner.license, inner.transform
        self._inner = inner
        self._known: dict[bytes, torch.Tensor] = {}

    def to(self, device: torch.device | str) -> RememberingBackbone:
        """Move the weights to ``device`` and return self."""
        self._inner = self._inner.to(device)
        return self

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W), or say again what was said of the same images before."""
        keys = [sha256(image.cpu().numpy().tobytes()).digest() for image in pixels]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        if new:
            found = self._inner.encode(pixels[new])
            self._known |= {keys[index]: grid for index, grid in zip(new, found, strict=True)}
        return torch.stack([self._known[key] for key in keys])


def score(segmenter: OpenVocabSegmenter, folder: MaskFolder) -> ConfusionMatrix:
    """Segment fold ``val`` with all its names."""
    words = Vocabulary.of(folder.names)
    matrix = ConfusionMatrix(len(words))
    for photograph in folder.fold("val"):
        image, target = folder.load(photograph)
        matrix.update(segmenter.segment(image, words).labels, target)
    return matrix


class Measurer:
    """Fits heads and measures them; frozen models are loaded once.

    Args:
        labels: of the photographs to learn from.
        backbone: frozen encoder.
        text: whose texts are learned.
        folder: of photographs with masks.
        cache: folder for the features of the frozen models.
    """

    def __init__(
        self,
        labels: FirstPhotographs,
        backbone: Backbone,
        text: ImageTextEncoder,
        folder: MaskFolder,
        cache: Path,
    ) -> None:
        self._labels, self._backbone, self._text = labels, backbone, text
        self._folder, self._cache = folder, cache
        self._seeing = RememberingBackbone(backbone)

    def measure(self, trial: Trial) -> dict[str, Any]:
        """Fit the head of a trial and measure it; plain JSON."""
        chosen = self._labels
        if trial.source in SOURCES:
            chosen = replace(chosen, labels=chosen.labels.stage(*SOURCES[trial.source]))
        aligner = Aligner(self._backbone, self._text, settings=trial.settings, features_dir=self._cache)
        start = perf_counter()
        aligner.fit(chosen)
        fitted = perf_counter()
        fit = aligner.encoder
        encoder = AlignedEncoder(
            self._seeing, fit.head, self._text, prototypes=fit.prototypes, hubness=fit.hubness
        )
        matrix = score(OpenVocabSegmenter(encoder), self._folder)
        return {
            "miou": number(matrix.miou()),
            "pixel_accuracy": number(matrix.pixel_accuracy),
            "loss": number(aligner.history[-1].loss),
            "parameters": aligner.encoder.head.parameter_count,
            "fit_seconds": round(fitted - start, 2),
            "measure_seconds": round(perf_counter() - fitted, 2),
        }


def key_of(trial: Trial, context: Sequence[str]) -> str:
    """Names what was measured: equal for equal settings, labels and photographs only."""
    content = json.dumps([trial.settings.to_dict(), trial.source, *context], sort_keys=True)
    return sha256(content.encode()).hexdigest()[:16]


def measured(
    measurer: Measurer, rows: Sequence[Trial], seeds: Sequence[int], context: Sequence[str], journal: Path
) -> list[list[dict[str, Any]]]:
    """What each row's seeds gave; a head that the journal has is not fitted again."""
    known = {line["key"]: line["result"] for line in read_rows(journal)}
    found: list[list[dict[str, Any]]] = []
    with RowJournal.after(journal) as file:
        for index, row in enumerate(rows, start=1):
            found.append([])
            for seed in seeds:
                trial = replace(row, settings=replace(row.settings, seed=seed))
                key = key_of(trial, context)
                if key not in known:
                    known[key] = measurer.measure(trial)
                    file.append({"key": key, "result": known[key]})
                found[-1].append(known[key])
            shown = [result["miou"] for result in found[-1]]
            print(
                f"{index} of {len(rows)}: {row.row(rows[0].settings)}: mIoU {shown}",
                file=sys.stderr,
                flush=True,
            )
    return found


def summary(trial: Trial, base: TrainingSettings, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of one row over its seeds."""
    scores = [result["miou"] for result in results]
    return {
        **trial.row(base),
        "miou": round(statistics.mean(scores), 5),
        "spread": round(statistics.stdev(scores), 5) if len(scores) > 1 else None,
        "seeds": results,
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table; what differs from the base, the first row, is bold."""
    base = rows[0]
    lines = ["| loss | head | temperature | masks | other | parameters | mIoU | to the base |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [
            f"{row[name]}" if row[name] == base[name] else f"**{row[name]}**" for name in (*PARTS, "masks")
        ]
        cells.append(", ".join(f"**{name} {value}**" for name, value in row["other"].items()))
        spread = "" if row["spread"] is None else f" ± {row['spread']:.4f}"
        difference = "" if row is base else f"{row['miou'] - base['miou']:+.4f}"
        cells += [f"{row['seeds'][0]['parameters']:,}", f"{row['miou']:.4f}{spread}", difference]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Label where that is asked for, fit and measure every row; return the JSON object."""
    recipe, base, folder = (
        get_recipe(arguments.recipe),
        training_settings(arguments),
        MaskFolder(arguments.data),
    )
    rows = trials(base, arguments)
    if arguments.labels is not None:
        labels = LabelSet(arguments.labels)
        text = create_model(
            IMAGE_TEXT, labels.manifest["models"].get("image_text") or recipe.image_text, None
        )
    else:
        labeler = make_labeler(arguments)
        labels, text = label_pool(arguments, labeler), labeler.encoder
    part, backbone = FirstPhotographs(labels, arguments.limit), backbone_of(arguments)
    measurer = Measurer(
        part, create_model(BACKBONES, backbone, None), text, folder, arguments.work / "features"
    )
    photographs = folder.fold("val")
    context = [
        part.fingerprint,
        backbone,
        whole_name(folder.folder),
        *folder.names,
        *(photograph.key for photograph in photographs),
    ]
    results = measured(measurer, rows, arguments.seeds, context, arguments.work / "trials.jsonl")
    return {
        "benchmark": "ablations",
        "rows": [summary(row, base, result) for row, result in zip(rows, results, strict=True)],
        "trained": {"photographs": len(part), "labels": part.fingerprint},
        "measured": {"photographs": len(photographs), "classes": len(folder.names)},
        "settings": {
            "recipe": recipe.name,
            "models": {**labels.manifest["models"], "backbone": backbone},
            "labeling": labels.manifest["settings"],
            "training": base.to_dict(),
            "seeds": arguments.seeds,
        },
        "versions": versions(),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_options(parser, needs_pool=False)
    parser.add_argument("--labels", help="folder of labels that exist, instead of labelling --pool")
    for name, kind, choices in (
        ("losses", str, get_args(LossName)),
        ("heads", str, HEAD_KINDS),
        ("temperatures", float, (1.0, 0.2, 0.07, 0.03)),
        ("sources", str, tuple(SOURCES)),
        ("seeds", int, (0, 1, 2)),
    ):
        parser.add_argument(
            f"--{name}", type=_list_of(kind), default=list(choices), help="joined by commas; all if not given"
        )
    parser.add_argument(
        "--changes", type=json.loads, default=[], help="other settings to change, a row each: a JSON list"
    )
    parser.add_argument("--all-combinations", action="store_true", help="instead of one change at a time")
    arguments = parser.parse_args(command)
    check_options(parser, arguments, "ablations")
    if (arguments.pool is None) == (arguments.labels is None):
        parser.error("give either --labels, or --pool to label")
    unknown = [source for source in arguments.sources if source not in SOURCES]
    if unknown or not arguments.seeds:
        parser.error(
            f"--sources takes {', '.join(SOURCES)}, and --seeds at least one; got {unknown or 'none'}"
        )
    return arguments


def _list_of(kind: type) -> Any:
    return lambda text: [kind(part) for part in text.split(",") if part]


def main(command: Sequence[str] | None = None) -> None:
    """Run the benchmark; print the table, and its JSON object last."""
    arguments = parse(command)
    arguments.work.mkdir(parents=True, exist_ok=True)
    result = run(arguments)
    print(markdown(result["rows"]))
    tell(result, arguments.out)


if __name__ == "__main__":
    main()
