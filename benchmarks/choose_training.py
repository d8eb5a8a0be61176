"""The part of ``choose_settings`` that trains: heads by other settings, from the same labels.

Heads learn from the labels that Stage 1 gives the photographs of fold ``val``, whose masks are not looked at,
and are measured, as they are and without the rules for blank pixels, by the masks of fold ``train``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.labels_to_learn import counts, label
from benchmarks.setting_counts import Counts, pixels_of
from fmbseg import Aligner, Vocabulary
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.evaluation.mask_folder import MaskFolder
from fmbseg.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.recipes import Recipe

TRAINING: dict[str, tuple[Any, ...]] = {
    "epochs": (20, 10, 40),
    "learning_rate": (1e-3, 3e-4, 3e-3),
    "patches_per_image": (100, 50, 200),
    "mask_weight": (30.0, 0.0, 100.0),
    "mask_class_weight": (10.0, 0.0, 30.0),
    "text_weight": (1.0, None),
}
"""Each value by itself, with the recipe's others; the recipe's comes first: of equals the first is chosen.

Kinds of heads are not among them: attention over patches takes half an hour to train, and was worse
(``ablations``).
"""


def choose_training(recipe: Recipe, data: Path, work: Path, limit: int | None) -> dict[str, Any]:
    """The choice of each setting by itself.

    Args:
        recipe: whose models and other settings are used.
        data: photographs with masks.
        work: keeps labels, features and counts, so that what was stopped goes on.
        limit: photographs of a fold, from the first.
    """
    folder = MaskFolder(data)
    words, own = Vocabulary.of(folder.names), TrainingSettings.from_dict(recipe.training)
    labels = label(folder, words, "val", work, limit)
    found = Counts(len(words))
    tried = [(name, value) for name, values in TRAINING.items() for value in values]
    with Progress() as bars:
        for name, value in bars.track(tried, "heads", len(tried)):
            settings = replace(own, **{name: value})
            told = json.dumps([settings.to_dict(), labels.fingerprint, limit], sort_keys=True)
            place = work / f"head-{sha256(told.encode()).hexdigest()[:16]}.npy"
            if not place.is_file():
                aligner = Aligner(recipe=recipe.name, settings=settings, features_dir=work / "features")
                aligner.fit(labels.whole)
                with torch.inference_mode():
                    matrices = counts(aligner, folder, words, "train", limit)
                np.save(place, np.stack([pixels_of(one) for one in matrices]))
            for pixels in np.load(place):
                found.put((name, value), pixels)
    return found.told_of_each(TRAINING, own.to_dict())
