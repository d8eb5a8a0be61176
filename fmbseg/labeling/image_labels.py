"""Image-level labels: which classes are in a photograph, where a person has said so."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fmbseg.sources.contract import joined
from fmbseg.storage import is_uri
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.vocabulary import Vocabulary

ImageLabelSource: TypeAlias = "Mapping[str, Sequence[str]] | str | Path"

_HEADER = "path"
_NAMED = 5


class ImageLabels:
    """The classes of photographs, as indices; they replace the presence step of Stage 1.

    Args:
        source: a mapping from a photograph's path to the names of its classes; or a CSV file whose rows are a
            path and the names, each in a cell of its own (a path may stand in several rows; a first row that
            starts with ``path`` is a heading). A photograph with no name shows none of the classes; one that
            is left out is looked at by the image-text model as usual.
        vocabulary: of the classes.
        root: folder or URI that the photographs' paths start from; paths may also be whole.
        paths: of the photographs that are labelled, from the root.

    Raises:
        ValueError: a file that cannot be read, or a path that is not one of the photographs.
        UnknownNameError: a name that is not a class of the vocabulary; near misses are offered.

    Example:
        >>> from fmbseg.vocabulary import Vocabulary
        >>> words = Vocabulary.of(["dog", "sofa"])
        >>> known = {"a.jpg": ["sofa"], "b.jpg": []}
        >>> labels = ImageLabels(known, words, ".", ["a.jpg", "b.jpg", "c.jpg"])
        >>> labels.of("a.jpg"), labels.of("b.jpg"), labels.of("c.jpg")
        ((1,), (), None)
    """

    def __init__(
        self, source: ImageLabelSource, vocabulary: Vocabulary, root: str, paths: Sequence[str]
    ) -> None:
        where = "image_labels" if isinstance(source, Mapping) else str(source)
        indices = {name: index for index, name in enumerate(vocabulary.names)}
        entries = list(_entries(source))
        known, unknown = set(paths if entries else ()), []
        present: dict[str, set[int]] = {}
        for given, names in entries:
            path = _from_root(given, root)
            if path not in known:
                unknown.append(given)
                continue
            present.setdefault(path, set()).update(
                _index(name, indices, f"{where}, {given}") for name in names
            )
        if unknown:
            shown = ", ".join(map(repr, unknown[:_NAMED])) + (", ..." if len(unknown) > _NAMED else "")
            raise ValueError(
                f"{where} names {len(unknown)} photographs that are not labelled here: {shown}. Paths start "
                f"from {root}, for example {paths[0]!r}"
            )
        self._present = {path: tuple(sorted(found)) for path, found in present.items()}

    def of(self, path: str) -> tuple[int, ...] | None:
        """Indices of a photograph's classes, ascending; ``None`` if nothing is known."""
        return self._present.get(path)

    def to_manifest(self) -> dict[str, Any]:
        """How many photographs have such labels, and a hash over them all."""
        content = json.dumps(sorted(self._present.items())).encode()
        return {"count": len(self._present), "sha256": sha256(content).hexdigest()}


def _entries(source: ImageLabelSource) -> Iterator[tuple[str, Sequence[str]]]:
    if isinstance(source, Mapping):
        for path, names in source.items():
            if isinstance(names, str):
                raise ValueError(f"image_labels[{path!r}] is a list of class names: write [{names!r}]")
            yield str(path), names
        return
    try:
        # newline="" leaves line ends within quoted cells to the reader
        with Path(source).open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file, strict=True)):
                cells = [cell.strip() for cell in row]
                if any(cells) and not (number == 0 and cells[0] == _HEADER):
                    yield cells[0], [name for name in cells[1:] if name]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"the image-level labels {source} cannot be read: {error}") from error


def _from_root(given: str, root: str) -> str:
    if is_uri(given):
        return given.removeprefix(joined(root, ""))
    path = Path(given.replace("\\", "/"))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _index(name: str, indices: Mapping[str, int], where: str) -> int:
    if name not in indices:
        raise UnknownNameError(f"class (in {where})", name, indices)
    return indices[name]
