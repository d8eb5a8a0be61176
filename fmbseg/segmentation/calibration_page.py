"""The page that shows a calibration: the histogram of scores, and pictures with what stays blank."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fmbseg.drawing.pages import render_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmbseg.results import Segmentation
    from fmbseg.segmentation.calibration import Calibration

_WIDTH, _HEIGHT = 800, 190
_SIDE = 560


def calibration_page(calibration: Calibration, results: Iterable[tuple[str, Segmentation]]) -> str:
    """Write the page.

    Args:
        calibration: to show.
        results: of some photographs, by the calibrated segmenter, with their names; they hold their image.
    """
    edges, cells = np.array(calibration.edges), np.array(calibration.cells)
    agreed = np.array(calibration.agreed)
    along = (edges - edges[0]) / (edges[-1] - edges[0]) * _WIDTH
    tall, blue = (_HEIGHT * counts / cells.max() for counts in (cells, agreed))
    bars = [
        {
            "x": round(float(along[index]), 1),
            "width": round(float(along[index + 1] - along[index]) - 1, 1),
            "top": round(float(_HEIGHT - tall[index]), 1),
            "height": round(float(tall[index]), 1),
            "agreed_top": round(float(_HEIGHT - blue[index]), 1),
            "agreed_height": round(float(blue[index]), 1),
        }
        for index in range(len(cells))
    ]
    rows = [
        {
            "name": name,
            "photograph": _jpeg(_photograph(result)),
            "classes": _jpeg(result.plot(max_side=_SIDE)),
        }
        for name, result in results
    ]
    above = cells[edges[:-1] >= calibration.threshold].sum()
    return render_page(
        "fmbseg.segmentation",
        "calibration.html",
        calibration=calibration,
        bars=bars,
        line=round(float(np.interp(calibration.threshold, edges, along)), 1),
        kept=float(above / cells.sum()),
        rows=rows,
    )


def _photograph(result: Segmentation) -> Image.Image:
    assert result.image is not None
    picture = Image.fromarray(result.image)
    picture.thumbnail((_SIDE, _SIDE))
    return picture


def _jpeg(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, format="JPEG", quality=85)
    return file.getvalue()
