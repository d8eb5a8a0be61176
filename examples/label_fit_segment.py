"""The whole chain: label a folder of photographs, fit a head, segment an image with new words.

Run it with a folder of photographs and, after it, the words that they may show::

    python examples/label_fit_segment.py photos/ dog sofa grass

Labels, head and pictures go to ``runs/example/``.
"""

import sys
from pathlib import Path

from fmbseg import Aligner, OpenVocabSegmenter, PseudoLabeler
from fmbseg.images import find_images

OUT = Path("runs/example")


def main() -> None:
    """Label, fit, segment."""
    if len(sys.argv) < 3:
        sys.exit("usage: python examples/label_fit_segment.py FOLDER WORD [WORD ...]")
    folder, words = sys.argv[1], sys.argv[2:]

    # Stage 1: which of the words each photograph shows, and where. No annotation is read.
    labels = PseudoLabeler(recipe="offline").label(folder, words, out=OUT / "labels")

    # Stage 2: one block learns to put the frozen encoder's patches where the words are.
    aligner = Aligner(recipe="offline").fit(labels)
    aligner.save_pretrained(OUT / "head")

    # From here on any words will do; the head alone is needed, not the labels.
    segmenter = OpenVocabSegmenter.from_pretrained(OUT / "head")
    for image in find_images(folder)[:5]:
        result = segmenter.segment(image, [*words, "sky", "ground", "plant"])
        result.plot(max_side=1024).save(OUT / f"{image.stem}.png")
        print(image, {name: area for name, area in result.areas.items() if area})


if __name__ == "__main__":
    main()
