"""Real photographs that come with packages of the ``dev`` extra."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def photograph(name: str) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of one of scikit-image's own files, such as ``chelsea.png``; nothing is downloaded."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / name) as image:
        return np.asarray(image.convert("RGB"))
