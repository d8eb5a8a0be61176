"""The heads that come with the package, a row each, made from their files and from what was measured.

``python -m benchmarks.zoo --head NAME --report RUN`` keeps what ``fmbseg eval NAME`` measured (a folder of a
run) in ``benchmarks/results/zoo.json``; ``--chosen-on FOLD`` says on which fold the settings of the head were
chosen. ``python benchmarks/tables.py`` then makes the table of README.md and docs/benchmarks.md from that
file, from the heads' own, and from ``quality_offline.json``, which has their seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.output import tell
from fmbseg.aligned.saved import SavedHead
from fmbseg.checksums import read_sealed_json
from fmbseg.files import write_json
from fmbseg.heads import packaged_head, packaged_heads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULT = Path(__file__).resolve().parent / "results" / "zoo.json"
HEADS = ("name", "teacher", "backbone", "words", "photographs", "licence", "mIoU, %", "s/image", "MB")


def row(name: str, measured: Mapping[str, Any], seconds: Mapping[str, Any]) -> list[str]:
    """A packaged head's row.

    Args:
        name: of the head.
        measured: its part of ``zoo.json``.
        seconds: ``quality_offline.json``.
    """
    folder = packaged_head(name)
    assert folder is not None
    config = SavedHead.read(folder).config
    models = config.training["labels"]["models"]
    vocabulary = config.vocabulary
    size = sum(path.stat().st_size for path in folder.glob("*.*"))
    low, high = (100 * end for end in measured["interval"])
    return [
        f"`{name}`",
        " + ".join(str(model) for model in dict.fromkeys((models["image_text"], models["mask_generator"]))),
        config.backbone,
        "0" if vocabulary is None else f"{len(vocabulary):,}",
        f"{config.training['labels']['photographs']:,}",
        f"{_licence(folder)}; models {config.backbone_license}",
        f"{100 * measured['miou']:.1f} ({low:.1f} to {high:.1f})",
        f"{seconds['aligned_alone']['seconds_per_image']:.1f}",
        f"{size / 1e6:.1f}",
    ]


def note(measured: Mapping[str, Any], seconds: Mapping[str, Any]) -> str:
    """What the figures of a row are of."""
    same = ""
    if measured["chosen_on"] == measured["split"]:
        same = ", the same photographs, and held against others on fold train, where they stay"
    return (
        f"mIoU with 90 % of draws of the photographs: {measured['photographs']} of COCO, fold "
        f"{measured['split']}, {measured['classes']} classes, protocol `{measured['protocol']}`, "
        f"`fmbseg eval NAME`; settings chosen on fold {measured['chosen_on']}{same}. "
        f"Seconds on a CPU, threads: {seconds['machine']['threads']}. The licence is that of the head's "
        "files; the photographs that it was trained on have terms of their own, which its card tells."
    )


def _licence(folder: Path) -> str:
    lines = (folder / "README.md").read_text("utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("license:"))


def kept(report: Path, chosen_on: str) -> dict[str, Any]:
    """What the table needs of a run's report."""
    told = read_sealed_json(report / "report.json")
    if told["measured"] != told["data"]["of"] or told["part"] != [1, 1]:
        raise ValueError(
            f"{report} is of {told['measured']} of {told['data']['of']} photographs: measure all"
        )
    return {
        "miou": told["figures"]["miou"],
        "interval": told["intervals"]["miou"],
        "pixel_accuracy": told["figures"]["pixel_accuracy"],
        "head_sha256": told["model"]["head_sha256"],
        "photographs": told["measured"],
        "split": told["data"]["split"],
        "classes": len(told["data"]["classes"]),
        "protocol": told["protocol"]["name"],
        "chosen_on": chosen_on,
    }


def parse(command: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--head", required=True, choices=packaged_heads(), help="name of the head")
    parser.add_argument("--report", type=Path, required=True, help="folder of a run of fmbseg eval")
    parser.add_argument("--chosen-on", default="train", help="fold that the settings were chosen on")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> None:
    """Keep a report; print the JSON object last."""
    arguments = parse(command)
    found: dict[str, Any] = {"benchmark": "zoo", "heads": {}}
    if RESULT.is_file():
        found = json.loads(RESULT.read_text("utf-8"))
    found["heads"][arguments.head] = kept(arguments.report, arguments.chosen_on)
    write_json(RESULT, found)
    tell(found)


if __name__ == "__main__":
    main()
