"""Segment images with any words, also words that the head was never trained on.

python examples/segment.py runs/example/head photos/ runs/example/results kitten mug grass
"""

import sys
from pathlib import Path

from fmbseg import OpenVocabSegmenter
from fmbseg.images import find_images


def main(head: str, photographs: str, out: str, *words: str) -> None:
    """Segment each photograph and draw it."""
    segmenter = OpenVocabSegmenter.from_pretrained(head)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    paths = find_images(photographs)
    for path, result in zip(paths, segmenter.segment(iter(paths), words), strict=True):
        result.to_png(folder / f"{path.stem}_classes.png")  # value = position in result.names
        result.plot(max_side=1024).save(folder / f"{path.stem}.jpg")
        shares = {name: f"{area / result.labels.size:.0%}" for name, area in result.areas.items() if area}
        print(path.name, shares)


if __name__ == "__main__":
    main(*sys.argv[1:])
