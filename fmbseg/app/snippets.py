"""The command line and the Python that do what the page just did."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.app.place import head_of

if TYPE_CHECKING:
    from fmbseg.app.segmenting import Question

_OWN_NAME = "PHOTOGRAPH"


def command_line(asked: Question, photograph: str) -> str:
    """The command that makes the same class map.

    Args:
        asked: of the photograph.
        photograph: its path, as far as the page knows it.

    Example:
        >>> from fmbseg.app.segmenting import Question
        >>> print(command_line(Question(("cat", "salt, pepper"), "offline@offline"), "cat.png"))
        fmbseg segment cat.png --head offline --classes 'cat,"salt, pepper"' --out segmented
    """
    if not is_head(asked.method):
        return f"# `fmbseg segment` takes heads; {asked.method} runs in Python"
    options = ["--head", head_of(asked.method), "--classes", ",".join(_quoted(word) for word in asked.words)]
    if asked.rule != "common":
        options += ["--background", asked.rule]
    if asked.threshold is not None:
        options += ["--threshold", f"{asked.threshold:g}"]
    if asked.certainty is not None:
        options += ["--certainty", f"{asked.certainty:g}"]
    if (Path(head_of(asked.method)) / "calibration.json").is_file():
        options += ["--calibration", "none"]
    path = f"./{photograph}" if photograph.startswith("-") else photograph
    return shlex.join(["fmbseg", "segment", path, *options, "--out", "segmented"])


def python_code(asked: Question, photograph: str) -> str:
    """The code that makes the same result, as ``result``.

    Args:
        asked: of the photograph.
        photograph: its path, as far as the page knows it.
    """
    background = (
        f"Background({', '.join(repr(one) for one in (asked.rule, asked.threshold) if one is not None)})"
    )
    if not is_head(asked.method):
        return (
            "from fmbseg import Background, SegmentSettings, Vocabulary\n"
            "from fmbseg.images import load_image\n"
            "from fmbseg.methods import ModelPool, load_method\n\n"
            f"method = load_method({asked.method!r}, ModelPool())\n"
            f"settings = SegmentSettings(background={background}, certainty={asked.certainty!r})\n"
            f"words = Vocabulary.of({list(asked.words)!r})\n"
            f"result = method.segment(load_image({photograph!r}), words, settings=settings)\n"
            'result.plot().save("overlay.png")\n'
        )
    return (
        "from dataclasses import replace\n\n"
        "from fmbseg import Background, OpenVocabSegmenter\n\n"
        f"segmenter = OpenVocabSegmenter.from_pretrained({head_of(asked.method)!r})\n"
        "settings = replace(\n"
        f"    segmenter.settings, background={background}, certainty={asked.certainty!r}\n"
        ")\n"
        f"result = segmenter.segment({photograph!r}, {list(asked.words)!r}, settings=settings)\n"
        'result.plot().save("overlay.png")\n'
    )


def is_head(method: str) -> bool:
    """Whether a spec names a head, which `fmbseg segment` takes."""
    return not method.startswith(("dense:", "stage1:", "concept:"))


def _quoted(word: str) -> str:
    return '"{}"'.format(word.replace('"', '""')) if "," in word or '"' in word else word
