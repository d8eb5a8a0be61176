"""Certainty without labels: the curves of a head and of Stage 1, from views that were made apart.

Pseudo labels are what three views agree on (see :mod:`fmbseg.segmentation.agreement`); two of them are
classifiers that Stage 1 did not see. No mask is looked at.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fmbseg import OpenVocabSegmenter, Vocabulary
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.files import CONFIG_FILE
from fmbseg.aligned.saved import SavedHead
from fmbseg.certainty import HeadCertainty, fit_curve
from fmbseg.files import write_atomically
from fmbseg.labeling.classes import REFERENCE_VOCABULARY
from fmbseg.labeling.description import describe
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models import efficientnet_lite as lite
from fmbseg.models.hubness import hubness_of
from fmbseg.models.image_text.conse import Conse
from fmbseg.models.text import embed_vocabulary
from fmbseg.progress import Progress
from fmbseg.segment_settings import WindowSettings
from fmbseg.segmentation.agreement import View, gather_evidence
from fmbseg.segmentation.encoding import SecondView, encode_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.certainty import CertaintyCurve
    from fmbseg.evaluation.mask_folder import MaskedPhotograph, MaskFolder
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.recipes.recipe import Recipe

    Maps = dict[str, torch.Tensor]


OTHERS: Mapping[str, Callable[[], ImageTextEncoder]] = {
    "lite0": lambda: Conse(network=lite.LITE0),
    "lite1": lambda: Conse(network=lite.LITE1),
}
"""Classifiers that neither the head nor Stage 1 saw."""


class Encoders:
    """The models that the views are made by.

    Args:
        folder: of photographs.
        work: where what was encoded is kept.
        head: of the segmenter.
        recipe: whose settings it has, and by which Stage 1 labels.
    """

    def __init__(self, folder: MaskFolder, work: Path, head: str | Path, recipe: Recipe) -> None:
        self.folder, self.work = folder, work
        self.segmenter = OpenVocabSegmenter(AlignedEncoder.from_pretrained(head))
        self.recipe = recipe
        self.labeling = LabelingSettings.from_dict(self.recipe.labeling)
        self.words = Vocabulary.of(folder.names)
        encoder = self.segmenter.encoder
        assert isinstance(encoder, AlignedEncoder)
        assert encoder.prototypes is not None
        self.encoder, self.text = encoder, encoder.text_encoder
        self._others: dict[str, ImageTextEncoder] = {}
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
            mixed = self.recipe.segmenting.preserve
            assert mixed is not None
            return {name: SecondView(self.text, short_side=mixed.short_side, batch_size=16).of(encoded)}
        if name in ("dense", "pooled"):
            found = describe(image, self.text, self.labeling)
            return {"dense": found.dense, "pooled": found.pooled}
        if name not in self._others:
            self._others[name] = OTHERS[name]()
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


def best_crop(models: Encoders, maps: Maps) -> NDArray[np.float32]:
    """For each word the score of the crop that is likest to it."""
    pooled = torch.cat([maps["pooled"], torch.ones(len(maps["pooled"]), 1)], dim=1)
    best: NDArray[np.float32] = (pooled @ models.prototypes(head=False).T).amax(0).numpy()
    return best


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
            put("presence", best_crop(models, maps), shown)
    return {
        name: fit_curve(np.concatenate(found[f"{name} scores"]), np.concatenate(found[f"{name} right"]))
        for name in curves
    }


def keep(curves: dict[str, CertaintyCurve], photographs: int, folder: Path, known: HeadCertainty) -> None:
    """Write the head's curves to the folder of a head, which is otherwise left as it is, defaults too."""
    saved = SavedHead.read(folder)
    views = ["dense map of Stage 1", "conse of Lite0", "conse of Lite1"]
    about = {"photographs": photographs, "views": views}
    known = replace(known, alone=curves["alone"], mixed=curves["mixed"], made_from=about)
    changed = replace(saved, config=replace(saved.config, certainty=known))
    with tempfile.TemporaryDirectory() as temporary:
        changed.write(Path(temporary), saved.written_card)
        write_atomically(folder / CONFIG_FILE, Path(temporary, CONFIG_FILE).read_bytes())
