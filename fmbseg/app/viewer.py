"""The class map over its photograph: a picture that tells what is pointed at, and a legend with switches."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fmbseg.app.widgets import gr, static
from fmbseg.drawing.classes import classes_in, shrunk_size
from fmbseg.drawing.colours import ClassColours
from fmbseg.escaping import terminal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.results import Segmentation

_SCORES_SIDE = 400
"""Longest side of the scores under the pointer, in pixels."""
_LEAST_SHOWN = 0.0005
_TEMPLATE = """<div class="viewer">
<canvas class="viewer-picture" tabindex="0" role="img" aria-label="No photograph yet"></canvas>
<p class="viewer-pointed" role="status"></p>
<fieldset class="viewer-legend"><legend>Classes, by area</legend><div class="viewer-classes"></div></fieldset>
<label class="viewer-strength">Strength of colours
<input type="range" min="0" max="100" value="55" aria-label="Strength of colours, in percent"></label>
</div>"""


def viewer(elem_id: str) -> Any:
    """The component; its value comes from :func:`view_of`."""
    return gr.HTML(
        "", elem_id=elem_id, html_template=_TEMPLATE, js_on_load=static("pictures.js", "viewer.js")
    )


def view_of(result: Segmentation) -> str:
    """What the viewer shows of a result that has its image, as JSON.

    Every text in it is shown as text, never read as HTML.
    """
    assert result.image is not None
    foreground = result.foreground
    colours = ClassColours().of_map(foreground)
    classes = [
        {
            "index": result.names.index(one.name),
            "name": terminal(one.name),
            "colour": one.colour,
            "share": one.share,
        }
        for one in classes_in(foreground, result.names, colours)
        if one.share >= _LEAST_SHOWN
    ]
    rest = {0: ("background", float((result.labels == 0).mean()))} if result.background != "none" else {}
    rest[-1] = ("unknown", result.unknown / result.labels.size)
    classes += [
        {"index": index, "name": name, "colour": None, "share": share}
        for index, (name, share) in rest.items()
        if share >= _LEAST_SHOWN
    ]
    measured = result.scores if result.certainty is None else result.certainty
    low, high = float(measured.min()), float(measured.max())
    values = (measured - low) / max(high - low, 1e-9) * 255
    told = ", ".join(f"{one['name']} {one['share']:.0%}" for one in classes)
    content = {
        "photograph": _data(Image.fromarray(result.image), "JPEG", quality=90),
        "labels": _data(Image.fromarray((result.labels + 1).astype(np.uint8)), "PNG", compress_level=3),
        "scores": _data(_small(values), "PNG", compress_level=3),
        "low": low,
        "high": high,
        "measure": "similarity" if result.certainty is None else "certainty",
        "classes": classes,
        "told": f"Class map: {told or 'nothing'}",
    }
    return json.dumps(content).replace("<", "\\u003c")


def _small(values: NDArray[np.floating]) -> Image.Image:
    height, width = shrunk_size(values.shape, _SCORES_SIDE)
    return Image.fromarray(values.astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)


def _data(picture: Image.Image, kind: str, **options: Any) -> str:
    file = BytesIO()
    picture.save(file, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
