"""Masks of "segment everything" kept on disk: new words for the same photographs need no mask model."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.masks import MaskSet
from fmbseg.models.mask_generators.row_store import RowStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.models.contracts import MaskGenerator, Prompter


class KeptMasks:
    """A mask generator that remembers what it found in each image.

    An image is identified by its pixels, the generator by its spec and options. One file holds all masks
    (``masks.sqlite``), so that a hundred thousand photographs do not need as many files; several
    processes may share it, and one that is killed leaves it intact. Damaged masks are made
    again, with a warning; if no more can be kept, the run goes on without
    (:class:`~fmbseg.models.mask_generators.row_store.RowStore`). Prompts are not kept: an image that is
    prompted is encoded as usual.

    Args:
        inner: generator that makes the masks.
        options: options that ``inner`` was made with.
        folder: folder of the file; made if it does not exist.

    Raises:
        ValueError: the folder has a ``masks.sqlite`` that is not a database.

    Example:
        >>> import tempfile, numpy as np
        >>> from fmbseg.models.mask_generators.superpixels import superpixels
        >>> image = np.zeros((32, 32, 3), np.uint8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with KeptMasks(superpixels(), {}, folder) as masks:
        ...         first = masks.begin(image).everything()
        ...         again = masks.begin(image).everything()
        >>> first.rles == again.rles
        True
    """

    def __init__(self, inner: MaskGenerator, options: Mapping[str, Any], folder: str | Path) -> None:
        self.spec, self.promptable, self.license = inner.spec, inner.promptable, inner.license
        self.inner = inner
        self._made_by = json.dumps([inner.spec, dict(options)], sort_keys=True, default=str)
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._rows = RowStore(Path(folder) / "masks.sqlite", "masks")

    def __enter__(self) -> KeptMasks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()

    def begin(self, image: NDArray[np.uint8]) -> _Prompter:
        """Take an RGB image (H, W, 3); it is encoded only when something is needed that is not kept."""
        key = sha256(f"{self._made_by} {image.shape}".encode() + image.tobytes()).hexdigest()
        return _Prompter(self, image, key)

    def read(self, key: str) -> MaskSet | None:
        """The masks of an image, or None if they are not here."""
        found = self._rows.read(key)
        return None if found is None else _from_json(found)

    def write(self, key: str, masks: MaskSet) -> None:
        """Keep the masks of an image."""
        self._rows.write(key, _to_json(masks))


class _Prompter:
    def __init__(self, store: KeptMasks, image: NDArray[np.uint8], key: str) -> None:
        self._store, self._image, self._key = store, image, key
        self._begun: Prompter | None = None

    @property
    def _inner(self) -> Prompter:
        if self._begun is None:
            self._begun = self._store.inner.begin(self._image)
        return self._begun

    def prompt(
        self, points: Sequence[NDArray[np.float32]] = (), *, boxes: NDArray[np.float32] | None = None
    ) -> MaskSet:
        """Ask for masks at points or in boxes."""
        return self._inner.prompt(points, boxes=boxes)

    def everything(self) -> MaskSet:
        """All masks: the kept ones if there are any."""
        masks = self._store.read(self._key)
        if masks is None:
            masks = self._inner.everything()
            self._store.write(self._key, masks)
        return masks


def _to_json(masks: MaskSet) -> str:
    return json.dumps(
        {
            "size": masks.size,
            "counts": [rle.decode("ascii") for rle in masks.rles],
            "predicted_iou": masks.predicted_iou.tolist(),
            "stability": masks.stability.tolist(),
        }
    )


def _from_json(text: str) -> MaskSet:
    saved = json.loads(text)
    return MaskSet(
        size=(saved["size"][0], saved["size"][1]),
        rles=tuple(counts.encode("ascii") for counts in saved["counts"]),
        predicted_iou=saved["predicted_iou"],
        stability=saved["stability"],
    )
