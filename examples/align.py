"""Stage 2: train a head on a label set, for the recipe's frozen encoder or one of your own choice.

python examples/align.py runs/example/labels runs/example/head
python examples/align.py runs/example/labels runs/example/dinov2 dinov2_vits14   # fetched from the Hub
"""

import sys

from fmbseg import Aligner, LabelSet


def main(labels: str, out: str, backbone: str | None = None) -> None:
    """Train and save."""
    aligner = Aligner(backbone, recipe="offline").fit(LabelSet(labels))
    for epoch in aligner.history:
        print(f"pass {epoch.epoch}: loss {epoch.loss:.3f} over {epoch.patches} patches")
    aligner.save_pretrained(out)
    print(f"head in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
