"""How right is what is not left blank: fit certainty without labels, then measure it where masks are known.

``python -m benchmarks.certainty --data DIR --work DIR`` does two things:

1. From the photographs of fold ``train`` of ``--data``, without their masks, it fits the curves of
   :mod:`fmbseg.certainty`: of the packaged head's scores alone, of those mixed with the image-text model's,
   of Stage 1's dense map, and of a class's best crop for presence. Pseudo labels are what three views agree
   on (see :mod:`fmbseg.segmentation.agreement`); two of them are classifiers that Stage 1 did not see.
   ``--fit`` writes the head's curves to the packaged head; Stage 1's stand in its recipe.
2. On fold ``val``, with all names of classes.txt as candidates and pixels that show none of them counted as
   wrong (crowds aside), it measures for the dense map of Stage 1 and for the head alone, without masks: mIoU,
   and the precision of what is not blank against its share and its recall, at every certainty and at the
   default one; how near certainty is to precision; and presence's precision at equal recall.

Intervals hold 90 % of 1,000 draws of the photographs. What was encoded is kept in ``--work``, so a run that
was stopped goes on. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from benchmarks.output import tell
from fmbseg import OpenVocabSegmenter, Vocabulary
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.files import CONFIG_FILE
from fmbseg.aligned.saved import SavedHead
from fmbseg.certainty import CertaintyCurve, HeadCertainty, fit_curve
from fmbseg.evaluation.intervals import interval
from fmbseg.evaluation.mask_folder import MaskedPhotograph, MaskFolder
from fmbseg.files import write_atomically
from fmbseg.heads import DEFAULT_HEAD, packaged_head
from fmbseg.labeling.classes import REFERENCE_VOCABULARY
from fmbseg.labeling.description import describe
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models import efficientnet_lite as lite
from fmbseg.models.hubness import hubness_of
from fmbseg.models.image_text.conse import Conse
from fmbseg.models.text import embed_vocabulary
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.segment_settings import WindowSettings
from fmbseg.segmentation.agreement import View, gather_evidence
from fmbseg.segmentation.decoding import decode
from fmbseg.segmentation.encoding import encode_images, second_map

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Maps = dict[str, torch.Tensor]

DEFAULT = {"head": 0.4, "dense": 0.3}
"""Certainties below which the head and Stage 1 leave blank; chosen on fold ``train``."""
_BINS = 200
_IGNORED = 255
_DRAWS = 1000
_EVERY = 2
"""Of so many pixels in a row, and rows, one is measured: maps of 32 pixels a cell hold no more."""


class Encoders:
    """The models that the views are made by.

    Args:
        folder: of photographs.
        work: where what was encoded is kept.
    """

    def __init__(self, folder: MaskFolder, work: Path) -> None:
        self.folder, self.work = folder, work
        self.segmenter = OpenVocabSegmenter(AlignedEncoder.from_pretrained(DEFAULT_HEAD))
        self.recipe = get_recipe("offline")
        self.labeling = LabelingSettings.from_dict(self.recipe.labeling)
        self.words = Vocabulary.of(folder.names)
        encoder = self.segmenter.encoder
        assert isinstance(encoder, AlignedEncoder)
        assert encoder.prototypes is not None
        self.encoder, self.text = encoder, encoder.text_encoder
        self._others: dict[str, Conse] = {}
        with torch.inference_mode():
            self.texts = embed_vocabulary(self.text, self.words)
            self.known = encoder.prototypes.vectors
            self.reference = embed_vocabulary(self.text, Vocabulary.of(REFERENCE_VOCABULARY))

    def encode(self, photograph: MaskedPhotograph, names: Sequence[str]) -> Maps:
        """Maps of a photograph by name, made once."""
        path = self.work / f"{photograph.key}.npz"
        kept = dict(np.load(path)) if path.is_file() else {}
        if missing := [name for name in names if name not in kept]:
            image = self.folder.load(photograph)[0]
            with torch.inference_mode():
                for name in missing:
                    kept |= {key: value.half().numpy() for key, value in self._make(name, image).items()}
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **kept)
        return {name: torch.from_numpy(kept[name]).float() for name in names}

    def _make(self, name: str, image: NDArray[np.uint8]) -> Maps:
        if name in ("head", "head640", "second"):
            windows = WindowSettings() if name == "head" else self.recipe.segmenting.windows
            encoded = next(encode_images(self.encoder, [image], windows, batch_size=4))
            if name != "second":
                return {name: encoded.text_map}
            return {name: second_map(encoded, self.text, short_side=448, batch_size=16)}
        if name in ("dense", "pooled"):
            found = describe(image, self.text, self.labeling)
            return {"dense": found.dense, "pooled": found.pooled}
        if name not in self._others:
            self._others[name] = Conse(network={"lite0": lite.LITE0, "lite1": lite.LITE1}[name])
        return {name: describe(image, self._others[name], replace(self.labeling, scales=(1.0,))).dense}

    def view(self, text_map: torch.Tensor, *, head: bool) -> View:
        """A map with the words, and the hubness that goes with the head or with Stage 1."""
        if head:
            return View(text_map, self.texts, self.known, self.encoder.hubness)
        return View(text_map, self.texts, self.reference, self.labeling.hubness)

    def prototypes(self, *, head: bool) -> torch.Tensor:
        """The words, with what hubness takes off as one more dimension."""
        weight, reference = (
            (self.encoder.hubness, self.known) if head else (self.labeling.hubness, self.reference)
        )
        return torch.cat([self.texts, -weight * hubness_of(self.texts, reference)[:, None]], dim=1)


def fit(models: Encoders, photographs: Sequence[MaskedPhotograph]) -> dict[str, CertaintyCurve]:
    """Fit all curves to photographs whose masks nobody looks at."""
    curves = ("alone", "mixed", "dense", "presence")
    found: dict[str, list[NDArray[Any]]] = {
        f"{name} {what}": [] for name in curves for what in ("scores", "right")
    }

    def put(name: str, scores: NDArray[Any], right: NDArray[Any]) -> None:
        found[f"{name} scores"].append(scores.ravel())
        found[f"{name} right"].append(right.ravel())

    with Progress() as bars:
        for photograph in bars.track(photographs, "looking", len(photographs)):
            names = ("head", "head640", "second", "dense", "pooled", "lite0", "lite1")
            maps = models.encode(photograph, names)
            half = (maps["head640"] + maps["second"]) / 2  # similarities are linear in the map
            views = {
                "alone": models.view(maps["head"], head=True),
                "mixed": models.view(half, head=True),
                **{name: models.view(maps[name], head=False) for name in ("dense", "lite0", "lite1")},
            }
            for name in ("alone", "mixed", "dense"):
                apart = ["lite0", "lite1", *({"alone": ["dense"], "dense": ["alone"]}.get(name, []))]
                seen = gather_evidence(views[name], [views[other] for other in apart])
                put(name, seen.scores, seen.agreed)
            shown = np.isin(np.arange(len(models.words)), seen.words[seen.agreed])  # of the dense map
            put("presence", _best_crop(models, maps), shown)
    return {
        name: fit_curve(np.concatenate(found[f"{name} scores"]), np.concatenate(found[f"{name} right"]))
        for name in curves
    }


def _best_crop(models: Encoders, maps: Maps) -> NDArray[np.float32]:
    """For each word the score of the crop that is likest to it."""
    pooled = torch.cat([maps["pooled"], torch.ones(len(maps["pooled"]), 1)], dim=1)
    best: NDArray[np.float32] = (pooled @ models.prototypes(head=False).T).amax(0).numpy()
    return best


def measure(
    models: Encoders, photographs: Sequence[MaskedPhotograph], curves: dict[str, CertaintyCurve]
) -> dict[str, Any]:
    """Everything that is measured on photographs with masks."""
    bins: dict[str, list[NDArray[np.int64]]] = {"head": [], "dense": []}
    counts: dict[str, list[NDArray[np.int64]]] = {
        f"{name} {how}": [] for name in bins for how in ("all", "default")
    }
    presence: list[tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]] = []
    with Progress() as bars:
        for photograph in bars.track(photographs, "measuring", len(photographs)):
            maps = models.encode(photograph, ("head", "dense", "pooled"))
            _, target = models.folder.load(photograph)
            with Image.open(photograph.mask) as mask:
                counted = np.asarray(mask)[1::_EVERY, 1::_EVERY] != _IGNORED
            target = target[1::_EVERY, 1::_EVERY]
            for name, sums in bins.items():
                one = torch.cat([maps[name], torch.ones_like(maps[name][:1])])
                found = decode(one, models.prototypes(head=name == "head"), target.shape)
                labels = found.labels.numpy()
                certainty = curves["alone" if name == "head" else name].of(found.scores.numpy())
                sums.append(_by_certainty(certainty[counted], labels[counted], target[counted]))
                blank = np.where(certainty < DEFAULT[name], len(models.words), labels)
                for how, predicted in (("all", labels), ("default", blank)):
                    counts[f"{name} {how}"].append(_confusion(predicted, target, len(models.words)))
            best = _best_crop(models, maps)
            there = np.isin(np.arange(len(models.words)), target)
            presence.append((best, there, _voted(models, maps)))
    return {
        name: _told(np.stack(bins[name]), DEFAULT[name])
        | {how: _miou(np.stack(counts[f"{name} {how}"])) for how in ("all", "default")}
        for name in bins
    } | {"presence": _presence(presence, curves["presence"])}


def _by_certainty(
    certainty: NDArray[np.float32], labels: NDArray[np.int32], target: NDArray[np.int32]
) -> NDArray[np.int64]:
    """(3, bins + 1): pixels, those that are right, and those of a known class in the first; sums of bins."""
    place = (certainty * _BINS).astype(int)
    return np.stack(
        [
            np.bincount(place, minlength=_BINS + 1),
            np.bincount(place, weights=labels == target, minlength=_BINS + 1).astype(np.int64),
            np.bincount(place, weights=target >= 0, minlength=_BINS + 1).astype(np.int64),
        ]
    )


def _confusion(labels: NDArray[Any], target: NDArray[np.int32], classes: int) -> NDArray[np.int64]:
    known = target >= 0
    cells = target[known].astype(np.int64) * (classes + 1) + labels[known]
    return np.bincount(cells, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def _interval(count: int, figure: Callable[[NDArray[np.intp]], float]) -> list[float]:
    """A figure, and what holds 90 % of it in draws of the photographs."""
    draw = np.random.default_rng(0)
    drawn = [figure(draw.integers(0, count, count)) for _ in range(_DRAWS)]
    return [round(float(one), 4) for one in (figure(np.arange(count)), *interval(np.array(drawn)))]


def _miou(counts: NDArray[np.int64]) -> dict[str, list[float]]:
    def figure(which: NDArray[np.intp]) -> float:
        one = counts[which].sum(0)
        hits = one.diagonal()
        union = one.sum(1) + one[:, :-1].sum(0) - hits
        return float(np.mean(hits[union > 0] / union[union > 0]))

    return {"miou": _interval(len(counts), figure)}


def _told(bins: NDArray[np.int64], default: float) -> dict[str, Any]:
    """Precision, share and recall at every certainty, and at the default beside everything painted."""

    def above(which: NDArray[np.intp]) -> NDArray[np.int64]:
        return np.asarray(bins[which].sum(0)[:, ::-1].cumsum(1)[:, ::-1])

    def of_drawn(figure: Callable[[NDArray[np.int64]], float]) -> Callable[[NDArray[np.intp]], float]:
        return lambda which: float(figure(above(which)))

    place = round(default * _BINS)
    everyone = np.arange(len(bins))
    total = above(everyone)
    figures: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "precision_of_everything": lambda one: one[1, 0] / one[0, 0],
        "recall_of_everything": lambda one: one[1, 0] / one[2, 0],
        "precision": lambda one: one[1, place] / max(1, one[0, place]),
        "recall": lambda one: one[1, place] / one[2, 0],
        "share": lambda one: one[0, place] / one[0, 0],
        "times_the_precision": lambda one: one[1, place] / max(1, one[0, place]) * one[0, 0] / one[1, 0],
        "part_of_the_recall": lambda one: one[1, place] / one[1, 0],
    }
    plain = bins.sum(0)
    tenths = [slice(start, start + _BINS // 10) for start in range(0, _BINS, _BINS // 10)]
    return {
        "certainty": default,
        **{name: _interval(len(bins), of_drawn(figure)) for name, figure in figures.items()},
        "curve": [
            [round(float(value), 4) for value in (here / _BINS, *_ratios(total[:, here], total[:, 0]))]
            for here in range(0, _BINS + 1, 5)
            if total[0, here]
        ],
        "reliability": [
            [round(one.start / _BINS, 2), int(plain[0, one].sum()), _share(plain[1, one], plain[0, one])]
            for one in tenths
        ],
    }


def _ratios(here: NDArray[np.int64], everything: NDArray[np.int64]) -> tuple[float, float, float]:
    return here[0] / everything[0], here[1] / here[0], here[1] / everything[2]


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> float | None:
    return round(float(part.sum() / whole.sum()), 4) if whole.sum() else None


def _voted(models: Encoders, maps: Maps) -> NDArray[np.bool_]:
    """The words that a crop chose: presence without a curve, as a vote."""
    pooled = maps["pooled"]
    scores = torch.cat([pooled, torch.ones(len(pooled), 1)], dim=1) @ models.prototypes(head=False).T
    choice = scores.argmax(1)
    similarity = (pooled * models.texts[choice]).sum(1)
    chosen = choice[similarity >= models.labeling.min_crop_similarity]
    return np.isin(np.arange(len(models.words)), chosen.numpy())


def _presence(
    rows: Sequence[tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]], curve: CertaintyCurve
) -> dict[str, Any]:
    """Precision of the votes, and that of the calibrated probability at the same recall."""
    score, there, voted = (np.stack(one) for one in zip(*rows, strict=True))

    def votes(which: NDArray[np.intp]) -> tuple[float, float]:
        hits = (voted[which] & there[which]).sum()
        return hits / voted[which].sum(), hits / there[which].sum()

    def at_equal_recall(which: NDArray[np.intp]) -> float:
        order = np.argsort(-score[which].ravel(), kind="stable")
        hits = there[which].ravel()[order].cumsum()
        place = int(np.searchsorted(hits, votes(which)[1] * there[which].sum()))
        return float(hits[place] / (place + 1))

    likely = curve.of(score)
    return {
        "votes_precision": _interval(len(score), lambda which: votes(which)[0]),
        "votes_recall": _interval(len(score), lambda which: votes(which)[1]),
        "precision_at_equal_recall": _interval(len(score), at_equal_recall),
        "reliability": [
            [low / 10, int(here.sum()), round(float(there[here].mean()), 4) if here.any() else None]
            for low in range(10)
            for here in [(likely >= low / 10) & (likely < (low + 1) / 10 + (low == 9))]
        ],
    }


def keep(curves: dict[str, CertaintyCurve], photographs: int, folder: Path) -> None:
    """Write the head's curves to the folder of a head, which is otherwise left as it is."""
    saved = SavedHead.read(folder)
    views = ["dense map of Stage 1", "conse of Lite0", "conse of Lite1"]
    about = {"photographs": photographs, "views": views}
    known = HeadCertainty(curves["alone"], curves["mixed"], DEFAULT["head"], about)
    changed = replace(saved, config=replace(saved.config, certainty=known))
    with tempfile.TemporaryDirectory() as temporary:
        changed.write(Path(temporary), saved.written_card)
        write_atomically(folder / CONFIG_FILE, Path(temporary, CONFIG_FILE).read_bytes())


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit, and measure; return the JSON object."""
    folder = MaskFolder(arguments.data)
    models = Encoders(folder, arguments.work)
    train, test = folder.fold("train"), folder.fold("val")[: arguments.limit]
    curves = fit(models, train)
    if arguments.fit:
        place = packaged_head(DEFAULT_HEAD)
        assert place is not None
        keep(curves, len(train), place)
    return {
        "benchmark": "certainty",
        "photographs": {"looked_at": len(train), "measured": len(test)},
        "curves": [[name, list(curve.scores), list(curve.certainties)] for name, curve in curves.items()],
        **measure(models, test, curves),
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="photographs with folds `train` and `val`")
    parser.add_argument("--work", type=Path, default=Path("runs/certainty"), help="keeps what was encoded")
    parser.add_argument("--fit", action="store_true", help="write the curves to the packaged head")
    parser.add_argument("--limit", type=int, help="measure the first N photographs of `val`")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    arguments = parse(command)
    with torch.inference_mode():
        tell(run(arguments), arguments.out)


if __name__ == "__main__":
    main()
