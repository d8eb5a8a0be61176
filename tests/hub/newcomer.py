"""What somebody else does with a head from the Hub, in an environment of their own; a script.

It takes the repository, a photograph (.npy), where to write the class map (.npy) and the words, and uses
fmbseg alone. It segments twice: with the files from the Hub, and with the network off and an eye on every
file that is opened. What it finds it prints as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_OPENED: list[tuple[str, str]] = []


def main(repo: str, photograph: str, out: str, *words: str) -> None:
    import numpy as np

    from fmbseg import OpenVocabSegmenter

    image = np.load(photograph)
    first = OpenVocabSegmenter.from_pretrained(repo)
    labels = first.segment(image, words).labels
    np.save(out, labels)

    sys.addaudithook(_watch)
    _OPENED.clear()
    again = OpenVocabSegmenter.from_pretrained(repo, local_files_only=True)
    opened = list(_OPENED)
    print(
        json.dumps(
            {
                "same": bool(np.array_equal(labels, again.segment(image, words).labels)),
                "opened": sorted({path for path, mode in opened if mode == "read"}),
                "written": sorted({path for path, mode in opened if mode == "write"}),
                "connected": [path for path, mode in opened if mode == "connect"],
                "text_encoder": type(again.encoder._text_encoder).__name__,  # type: ignore[attr-defined]
            }
        )
    )


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        _OPENED.append((str(arguments[1]), "connect"))
    if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = Path(os.fsdecode(arguments[0]))
    if _is_code(path):
        return
    writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    _OPENED.append((str(path), "write" if writes else "read"))


def _is_code(path: Path) -> bool:
    """Modules and what the system keeps: of Python, of packages, of fmbseg itself."""
    import fmbseg

    homes = (sys.prefix, sys.base_prefix, str(Path(fmbseg.__file__).parent), "/proc", "/dev", "/sys", "/etc")
    return any(path.is_relative_to(home) for home in homes)


if __name__ == "__main__":
    main(*sys.argv[1:])
