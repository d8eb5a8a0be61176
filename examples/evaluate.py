"""Measure a head on a benchmark, or on a folder of your own with images/, masks/ and classes.txt.

    python examples/evaluate.py runs/example/head voc21 data/ runs/voc21
    python examples/evaluate.py runs/example/head folder my_photographs/ runs/mine

A run that was stopped goes on when it is started again.
"""

import sys

from fmbseg import OpenVocabSegmenter, evaluate, open_data


def main(head: str, data: str, root: str, out: str) -> None:
    """Measure and write report.json, report.md and report.html."""
    segmenter = OpenVocabSegmenter.from_pretrained(head)
    report = evaluate(segmenter, open_data(data, root), protocol="paper", out=out, progress=True)
    for name, value in report.figures.items():
        print(f"{name}: {'nothing to measure' if value is None else f'{value:.4f}'}")
    print(f"{report.measured} images; report in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
