"""Copy a head to where others find it, load it there, and see that it is the same.

python examples/share.py runs/example/head /shared/heads/mine photos/cat.jpg cat sofa
"""

import sys
from pathlib import Path

import numpy as np

from fmbseg import OpenVocabSegmenter


def main(head: str, out: str, image: str, *words: str) -> None:
    """Save, load, compare bit for bit."""
    segmenter = OpenVocabSegmenter.from_pretrained(head)
    segmenter.save_pretrained(out)
    for file in sorted(Path(out).iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")

    again = OpenVocabSegmenter.from_pretrained(out)
    ours, theirs = segmenter.segment(image, words), again.segment(image, words)
    same = np.array_equal(ours.labels, theirs.labels) and np.array_equal(ours.scores, theirs.scores)
    print("the same class map and scores" if same else "NOT the same")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
