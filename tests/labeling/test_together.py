"""Masks that are begun for several photographs at once: the same labels, in fewer calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from fmbseg import PseudoLabeler
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.models.mask_generators.superpixels import superpixels
from tests.labeling.colours import ColourEncoder, painted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.models.contracts import Prompter


class Several:
    """Superpixels that begin several images at once, and remember how many and of what sizes."""

    def __init__(self, images_at_once: int) -> None:
        self._inner = superpixels(scales=(200.0,))
        self.spec, self.promptable, self.license = "superpixels", False, "CC0-1.0"
        self.images_at_once = images_at_once
        self.calls: list[int] = []

    def begin(self, image: NDArray[np.uint8]) -> Prompter:
        return self.begin_all([image])[0]

    def begin_all(self, images: Sequence[NDArray[np.uint8]]) -> list[Prompter]:
        self.calls.append(len(images))
        return [self._inner.begin(image) for image in images]


@pytest.mark.filterwarnings("ignore:1 of 7 photographs", "ignore:superpixels takes no point prompts")
def test_labels_are_the_same_to_the_byte_and_only_what_is_needed_is_begun(tmp_path: Path) -> None:
    """Of seven, one cannot be read and one shows no class; with two workers as well."""
    (tmp_path / "photographs").mkdir()
    for index, colour in enumerate(["red", "green", "", "blue", "white", "blue", "red"]):
        picture = painted((32, 40), **{colour or "red": (slice(0, 32), slice(0, 25 + index))})
        Image.fromarray(picture).save(tmp_path / "photographs" / f"{index:04}.png")
    (tmp_path / "photographs" / "0002.png").write_text("no picture")
    settings = LabelingSettings(short_side=32, min_crops=1, min_crop_similarity=0.1, batch_size=4)
    found: dict[tuple[int, int], Any] = {}
    calls = {}
    for at_once, workers in ((1, 1), (3, 1), (3, 2), (16, 2)):
        generator = Several(at_once)
        labeler = PseudoLabeler(image_text=ColourEncoder(), mask_generator=generator, settings=settings)
        labels = labeler.label(
            tmp_path / "photographs",
            ["red", "blue", "green"],
            tmp_path / f"{at_once}-{workers}",
            workers=workers,
            progress=False,
        )
        assert [error["path"] for error in labels.errors] == ["0002.png"]
        shards = sorted((tmp_path / f"{at_once}-{workers}").glob("shard-*"))
        found[at_once, workers] = [(one.name, one.read_bytes()) for one in shards]
        calls[at_once, workers] = generator.calls
        assert [one.path for one in labels if not one.detected] == ["0004.png"]
    assert len(found[1, 1]) == 1
    assert all(one == found[1, 1] for one in found.values())
    assert calls == {(1, 1): [1] * 5, (3, 1): [2, 2, 1], (3, 2): [2, 2, 1], (16, 2): [5]}
