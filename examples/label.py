"""Stage 1: label a folder of photographs with words, without any annotation.

    python examples/label.py photos/ runs/example/labels dog sofa grass

Without words, the words of the demo; the contact sheet lies beside the labels.
"""

import sys
from pathlib import Path

from fmbseg import PseudoLabeler
from fmbseg.demo.words import CLASSES
from fmbseg.labels.sheets import contact_sheet


def main(photographs: str, out: str, *words: str) -> None:
    """Label, count, draw."""
    labels = PseudoLabeler(recipe="offline").label(photographs, words or CLASSES, out)
    for name, count in labels.statistics().detected.items():
        print(f"{name}: found in {count} photographs")
    sheet = Path(out).with_suffix(".jpg")
    contact_sheet(labels).save(sheet)
    print(f"{len(labels)} photographs in {out}, drawn in {sheet}")


if __name__ == "__main__":
    main(*sys.argv[1:])
