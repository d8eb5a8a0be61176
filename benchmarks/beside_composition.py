"""A whole segmentation beside the plainest composition of its parts, which is what other methods' code is.

    python -m benchmarks.beside_composition --out benchmarks/results/beside_composition.json

The composition normalises the pixels as torchvision does, encodes them, compares every patch with the
texts in the encoder's own space (no head: Talk2DINO maps the texts instead), up-samples the similarities
of all classes and takes the largest. It is measured beside fmbseg with a linear head, whose time should
be at most 1.00 of it, and with the paper's block, whose time should be at most the share of its
floating-point operations and one per cent more. Random weights, noise, and so the hardest maps to decode:
in a photograph neighbours agree.

``ratio`` is of whole runs, ``parts_ratio`` of the bare encoder's time and that of all that is done beside
it, measured apart (features are given back at once): the difference of two large numbers is not known as
well. Both are medians over turns that all take, of processor seconds, with the least and the largest of
the turns. ``flops_share`` is the head's operations over the encoder's, as torch counts them.
``same_classes`` is the share of pixels that have the class of the composition with the same head.
``--former DIR`` measures the fmbseg of another checkout as well, in a process of its own. The last line
on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.output import measured_with, tell
from benchmarks.random_models import (
    IMAGENET,
    RandomBackbone,
    RandomTexts,
    Remembering,
    photograph,
    seeded,
    timed,
    words,
)
from fmbseg import OpenVocabSegmenter
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.segment_settings import WindowSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.aligned.head_settings import HeadKind

KINDS: tuple[HeadKind, ...] = ("linear", "block")
# Sides are multiples of a patch of 14 pixels, so that both see the same pixels, in one window.
CASES = {
    "448x448_21": ((448, 448), 21),
    "770x1022_171": ((770, 1022), 171),
    "32x48_3": ((32, 48), 3),  # for the benchmark's own test
}


def composition(
    image: NDArray[np.uint8],
    encode: Callable[[torch.Tensor], torch.Tensor],
    texts: torch.Tensor,
    head: AlignmentHead | None = None,
) -> NDArray[np.int64]:
    """The class of each pixel, (H, W)."""
    with torch.inference_mode():
        pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous().float().div(255)
        mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET.mean, IMAGENET.std))
        features = encode(pixels.sub(mean).div(std)[None])
        vectors = F.normalize(features, dim=1) if head is None else head(features)
        similarity = torch.einsum("bdhw,kd->bkhw", vectors, texts)
        whole = F.interpolate(similarity, image.shape[:2], mode="bilinear", align_corners=False)
        return whole.argmax(dim=1)[0].numpy()


class Measured:
    """The calls of one case.

    Args:
        backbone: that encodes.
        size: height and width of the photograph, multiples of the backbone's patch.
        classes: how many words.
        text_dim: dimensions of the text space.
    """

    def __init__(self, backbone: RandomBackbone, size: tuple[int, int], classes: int, text_dim: int) -> None:
        image, vocabulary = photograph(size), words(classes)
        pixels = IMAGENET(image, size)[None]
        features = backbone.encode(pixels)
        remembering = Remembering(backbone, features)
        own = F.normalize(torch.randn(classes, backbone.dim, generator=seeded()), dim=1)
        texts = RandomTexts(text_dim).encode_text(list(vocabulary.names))
        self.calls: dict[str, Callable[[], object]] = {
            "bare": lambda: backbone.encode(pixels),
            "theirs": lambda: composition(image, backbone.encode, own),
            "theirs_beside": lambda: composition(image, remembering.encode, own),
        }
        self.same, self.share = {}, {}
        for kind in KINDS:
            torch.manual_seed(0)
            head = AlignmentHead(backbone.dim, text_dim, kind=kind).eval()
            for name, encoder in ((kind, backbone), (f"{kind}_beside", remembering)):
                aligned = AlignedEncoder(encoder, head, RandomTexts(text_dim))
                whole = OpenVocabSegmenter(aligned, windows=WindowSettings(min(size), None))
                self.calls[name] = lambda whole=whole: whole.segment(image, vocabulary)  # type: ignore[misc]
                found = whole.segment(image, vocabulary).labels  # words are encoded once
            expected = composition(image, remembering.encode, texts, head)
            self.same[kind] = round(float((found == expected).mean()), 6)
            self.share[kind] = _flops(lambda: head(features)) / _flops(lambda: backbone.encode(pixels))  # noqa: B023

    def run(self, turns: int) -> dict[str, Any]:
        """Let all calls take turns, after one that warms up."""
        rows: list[dict[str, float]] = []
        for turn in range(turns + 1):
            order = list(self.calls) if turn % 2 else list(reversed(self.calls))
            rows.append({name: timed(self.calls[name])[0] for name in order})
            print({name: round(seconds, 4) for name, seconds in rows[-1].items()}, file=sys.stderr)
        del rows[0]
        found: dict[str, Any] = {"bare_seconds": round(median(row["bare"] for row in rows), 4)}
        found["theirs_beside_seconds"] = round(median(row["theirs_beside"] for row in rows), 4)
        for kind in KINDS:
            ratios = [row[kind] / row["theirs"] for row in rows]
            parts = [
                (row["bare"] + row[f"{kind}_beside"]) / (row["bare"] + row["theirs_beside"]) for row in rows
            ]
            found[kind] = {
                "ratio": round(median(ratios), 4),
                "ratio_spread": [round(min(ratios), 4), round(max(ratios), 4)],
                "parts_ratio": round(median(parts), 4),
                "parts_spread": [round(min(parts), 4), round(max(parts), 4)],
                "beside_seconds": round(median(row[f"{kind}_beside"] for row in rows), 4),
                "flops_share": round(self.share[kind], 4),
                "same_classes": self.same[kind],
            }
        return found


def _flops(call: Callable[[], object]) -> int:
    """Floating-point operations; of attention, torch counts the plain form only."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def beside(backbone: str, cases: Sequence[str], text_dim: int, turns: int) -> dict[str, Any]:
    """Measure cases by name."""
    model = RandomBackbone(backbone)
    return {name: Measured(model, *CASES[name], text_dim).run(turns) for name in cases}


def main(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and print its JSON object last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default="vit_base_patch14_dinov2", help="timm architecture")
    parser.add_argument("--text-dim", type=int, default=512, help="dimensions of the text space")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES)[:2])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--former", type=Path, help="another checkout of fmbseg, to measure first")
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args(command)
    torch.set_num_threads(1)
    found: dict[str, Any] = {"benchmark": "beside_composition"}
    if options.former is not None:
        found["former"] = _former(options.former, command or sys.argv[1:])
    found |= beside(options.backbone, options.cases, options.text_dim, options.turns)
    found |= {"backbone": options.backbone, "text_dim": options.text_dim, "turns": options.turns}
    found |= {"threads": 1, **measured_with("torch", "timm", "numpy")}
    tell(found, options.out)
    return found


def _former(checkout: Path, command: Sequence[str]) -> dict[str, Any]:
    """What this program finds with the fmbseg of another checkout."""
    rest = list(command)
    for option in ("--former", "--out"):
        if option in rest:
            del rest[rest.index(option) : rest.index(option) + 2]
    here = Path(__file__).resolve().parents[1]
    former = f"import sys; sys.path.insert(0, {str(checkout)!r}); import fmbseg; sys.path[0] = {str(here)!r}"
    code = f"{former}; from benchmarks.beside_composition import main; main({rest!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": ""},
        cwd=here / "benchmarks",  # not a place that fmbseg could be imported from
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found = {name: case for name, case in result.items() if name in CASES}
    for case, kind in product(found.values(), KINDS):
        del case[kind]["flops_share"]  # torch does not count a block that PyTorch computes in one call
    return found


if __name__ == "__main__":
    main()
