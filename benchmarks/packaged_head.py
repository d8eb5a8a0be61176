"""Put a trained head into the package, if it is better than the one that is there.

``python -m benchmarks.packaged_head --head DIR --data DIR`` rounds the weights of a head to float16, which
halves its files, measures it and the head that the package has on fold ``val`` of ``--data`` (all names as
candidates, no background), and replaces the packaged one if the new one has the higher mIoU. The head's card
tells the figures and how it was trained. ``--check`` measures and replaces nothing.

The head that the package has was made, from 102 photographs of COCO with masks to measure on and 1,000 of
ImageNet to learn from, by::

    python benchmarks/quality_offline.py --data COCO --pool POOL --work runs/offline
    python -m benchmarks.packaged_head --head runs/offline/head --data COCO

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.output import tell
from fmbseg import OpenVocabSegmenter
from fmbseg.aligned.card import HeadCard
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.files import FILES
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.evaluate import evaluate
from fmbseg.evaluation.protocols import get_protocol
from fmbseg.files import write_atomically
from fmbseg.heads import DEFAULT_HEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.evaluation.report import EvaluationReport

MOST_BYTES = 6_000_000
PHOTOGRAPHS = (
    "1,000 photographs of ImageNet-1k, one a class, short side 256 px, without their labels; ImageNet's "
    "terms: non-commercial research"
)
LIMITS = (
    "What it knows are the 1,000 names that its teacher was trained on and what their texts are near to: "
    "people, who are not among them, are its weak spot. The figures are of the head alone with every pixel "
    "painted; fmbseg segment names masks and leaves blank what is not certain."
)


def rounded(head: str | Path) -> AlignedEncoder:
    """A head with its weights and prototypes rounded to float16, which it is then saved in."""
    encoder = AlignedEncoder.from_pretrained(head)
    for weight in encoder.head.parameters():
        weight.data = weight.data.half().float()
    if encoder.prototypes is not None:
        vectors = encoder.prototypes.vectors.half().float()
        encoder.prototypes = Prototypes(encoder.prototypes.vocabulary, vectors)
    return encoder


def measure(encoder: AlignedEncoder, data: Path, work: Path) -> EvaluationReport:
    """Figures on fold ``val``, with the settings that suit the head."""
    return evaluate(
        OpenVocabSegmenter(encoder),
        open_data("folder", data, split="val"),
        get_protocol("own"),
        out=work,
        progress=True,
    )


def replace_packaged(candidate: AlignedEncoder, report: EvaluationReport, folder: Path) -> dict[str, int]:
    """Write the candidate's files where the packaged head is; return their sizes in bytes.

    Raises:
        ValueError: they are larger than the package can hold.
    """
    card = HeadCard("apache-2.0", photographs=PHOTOGRAPHS, limits=LIMITS, reports=(report.to_dict(),))
    with tempfile.TemporaryDirectory() as temporary:
        candidate.save_pretrained(temporary, card=card)
        sizes = {name: Path(temporary, name).stat().st_size for name in sorted(FILES)}
        if sum(sizes.values()) > MOST_BYTES:
            raise ValueError(f"its files have {sum(sizes.values())} bytes; at most {MOST_BYTES} are kept")
        folder.mkdir(parents=True, exist_ok=True)
        for file in sizes:
            write_atomically(folder / file, Path(temporary, file).read_bytes())
    return sizes


@torch.no_grad()
def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure both heads and keep the better one; return the JSON object."""
    candidate = rounded(arguments.head)
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(candidate, arguments.data, Path(temporary) / "candidate")
        found = report.figures["miou"]
        folder, before = arguments.into / arguments.name, None
        if folder.is_dir():
            known = AlignedEncoder.from_pretrained(folder)
            before = measure(known, arguments.data, Path(temporary) / "packaged").figures["miou"]
    better = found is not None and (before is None or found > before)
    sizes: dict[str, int] = {}
    if better and not arguments.check:
        sizes = replace_packaged(candidate, report, folder)
    return {
        "benchmark": "packaged_head",
        "name": arguments.name,
        "miou": found,
        "miou_of_the_packaged": before,
        "replaced": bool(sizes),
        "bytes": sizes,
        "hubness": candidate.hubness,
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--head", type=Path, required=True, help="folder of the trained head")
    parser.add_argument("--data", type=Path, required=True, help="photographs with masks and a fold `val`")
    parser.add_argument("--name", default=DEFAULT_HEAD, help="of the packaged head")
    parser.add_argument("--check", action="store_true", help="measure only")
    parser.add_argument("--into", type=Path, default=Path("fmbseg/heads"), help="folder of packaged heads")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Run and print the JSON object last."""
    tell(run(parse(command)))


if __name__ == "__main__":
    main()
