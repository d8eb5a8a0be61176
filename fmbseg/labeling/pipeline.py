"""Many photographs through Stage 1 at once: reading, describing and labelling overlap, results in order.

Threads read and prepare the next photographs while one model describes some and another works on others.
Each step has a bounded number of photographs in hand, so that memory does not grow with their number, and
what comes out does not depend on how the steps interleave.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from fmbseg.ahead import ordered_map, readers
from fmbseg.files import check_inside, sha256_of
from fmbseg.images import ImageError, decode_image, load_image
from fmbseg.sources.contract import joined
from fmbseg.sources.local import LocalFiles
from fmbseg.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.labeling.competition import CompetitionSettings
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.labels.record import LabeledImage
    from fmbseg.sources.contract import Source
    from fmbseg.vocabulary import Vocabulary


class Photograph(NamedTuple):
    """A file that was read: its path, the hash of its bytes, its pixels."""

    path: str
    sha256: str
    image: NDArray[np.uint8]


class _Unreadable(NamedTuple):
    """A file that could not be read, and why."""

    path: str
    error: str


_FETCHERS = 8

PreparedT = TypeVar("PreparedT")
DescribedT = TypeVar("DescribedT")


class Steps(Protocol[PreparedT, DescribedT]):
    """What a way of labelling does with photographs and one vocabulary, in three steps that overlap."""

    def prepare(self, image: NDArray[np.uint8]) -> PreparedT:
        """Work on an image (H, W, 3) where it is read, on a thread of its own, without a model."""
        ...

    def describe(self, prepared: Iterable[PreparedT | None]) -> Iterator[DescribedT | None]:
        """Work on a stream of photographs, on one thread; ``None`` where there is none to work on."""
        ...

    def label(
        self, photograph: Photograph, described: DescribedT, present: tuple[int, ...] | None
    ) -> LabeledImage:
        """Label a photograph, on one of several threads.

        Args:
            photograph: the one that was read.
            described: what the step before made of it.
            present: indices of the classes that it is known to show, ascending; ``None`` if nothing is known.
        """
        ...


class Way(Protocol):
    """A way of Stage 1: the models that label photographs, and how."""

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings that labels are made with, as JSON values."""
        ...

    @property
    def settings(self) -> LabelingSettings | CompetitionSettings:
        """The settings themselves."""
        ...

    @property
    def left_out(self) -> str | None:
        """What these models cannot do of Stage 1, to be reported once a run."""
        ...

    def steps(self, vocabulary: Vocabulary, photographs: int) -> Steps[Any, Any]:
        """Get ready to look for the classes of a vocabulary in so many photographs."""
        ...

    def label_image(self, image: NDArray[np.uint8], vocabulary: Vocabulary, key: str) -> LabeledImage:
        """Label one image (H, W, 3), whose record is called ``key``."""
        ...


def label_files(
    photographs: Source,
    keys: Iterable[str],
    steps: Steps[PreparedT, DescribedT],
    *,
    present: Callable[[str], tuple[int, ...] | None],
    workers: int,
) -> Generator[tuple[str, LabeledImage | str], None, None]:
    """Label photographs; yield (key, labels or why there are none) in the order of ``keys``.

    Args:
        photographs: that have them.
        keys: of those that are to be labelled.
        steps: of labelling.
        present: the classes that a photograph is known to show; ``None`` where nothing is known.
        workers: photographs that are labelled at once, each on a thread.
    """

    def fetch(key: str) -> bytes | Path | _Unreadable:
        return _fetched(photographs, key)

    def read(
        fetched: tuple[str, bytes | Path | _Unreadable],
    ) -> tuple[Photograph | _Unreadable, PreparedT | None]:
        photograph = _read(*fetched)
        return photograph, None if isinstance(photograph, _Unreadable) else steps.prepare(photograph.image)

    def label(described: tuple[Photograph | _Unreadable, DescribedT | None]) -> LabeledImage | str:
        photograph, description = described
        if isinstance(photograph, _Unreadable):
            return photograph.error
        assert description is not None
        return steps.label(photograph, description, present(photograph.path))

    # Waiting for storage takes more threads than decoding does, and what waits is small.
    fetched = ordered_map(fetch, keys, workers=_FETCHERS)
    with closing(fetched), closing(ordered_map(read, fetched, workers=readers())) as found:
        described = _described((result for _, result in found), steps)
        with closing(ordered_map(label, described, workers=workers)) as labelled:
            for (photograph, _), result in labelled:
                yield photograph.path, result


def _fetched(photographs: Source, key: str) -> bytes | Path | _Unreadable:
    """The bytes of a photograph; the path of one on this machine, whose file may be far larger than it."""
    try:
        key.encode()  # the table's text is UTF-8
        path = check_inside(photographs.root, key)  # as whoever reads the labels will ask
        if path.as_posix() != key:
            raise ValueError(f"{key!r} is not the plainest form of a path, {path.as_posix()!r}")
        return photographs.path(key) if isinstance(photographs, LocalFiles) else photographs.read(key)
    except StorageError:  # not of this photograph: all that follow would fail alike
        raise
    except UnicodeEncodeError:
        return _Unreadable(key, f"the name {key!r} is not UTF-8; rename the file")
    except ImageError as error:
        return _Unreadable(key, str(error).replace(joined(photographs.root, key), key))
    except ValueError as error:
        # Where the photographs lie is no part of the labels: those in another folder have the same bytes.
        where = str(error).replace(f"the folder {photographs.root}", "the folder of the photographs")
        return _Unreadable(key, f"{where}; rename the file")


def _read(key: str, fetched: bytes | Path | _Unreadable) -> Photograph | _Unreadable:
    if isinstance(fetched, _Unreadable):
        return fetched
    try:
        if isinstance(fetched, bytes):
            return Photograph(key, sha256(fetched).hexdigest(), decode_image(fetched, key))
        image = load_image(fetched)  # first: its errors say what to do
        return Photograph(key, sha256_of(fetched), image)
    except ImageError as error:
        return _Unreadable(key, str(error).replace(str(fetched), key))
    except OSError as error:
        return _Unreadable(key, f"{key} cannot be read ({error.strerror}); leave it out")


def _described(
    read: Iterable[tuple[Photograph | _Unreadable, PreparedT | None]], steps: Steps[PreparedT, DescribedT]
) -> Iterator[tuple[Photograph | _Unreadable, DescribedT | None]]:
    waiting: deque[Photograph | _Unreadable] = deque()

    def prepared() -> Iterator[PreparedT | None]:
        for photograph, one in read:
            waiting.append(photograph)
            yield one

    for description in steps.describe(prepared()):
        yield waiting.popleft(), description
