"""Many photographs through Stage 1 at once: reading, describing and labelling overlap, results in order.

Threads read and prepare the next photographs while one model describes some and another works on others.
Each step has a bounded number of photographs in hand, so that memory does not grow with their number, and
what comes out does not depend on how the steps interleave.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from fmbseg.ahead import ordered_map, readers
from fmbseg.files import inside, sha256_of
from fmbseg.images import ImageError, load_image

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.labeling.competition import CompetitionSettings
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.labels.record import LabeledImage
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
    root: Path,
    paths: Sequence[str],
    steps: Steps[PreparedT, DescribedT],
    *,
    present: Callable[[str], tuple[int, ...] | None],
    workers: int,
) -> Generator[tuple[str, LabeledImage | str], None, None]:
    """Label photographs; yield (path, labels or why there are none) in the order of ``paths``.

    Args:
        root: folder that the paths start from.
        paths: of the photographs.
        steps: of labelling.
        present: the classes that a photograph is known to show; ``None`` where nothing is known.
        workers: photographs that are labelled at once, each on a thread.
    """

    def read(path: str) -> tuple[Photograph | _Unreadable, PreparedT | None]:
        photograph = _read(root, path)
        return photograph, None if isinstance(photograph, _Unreadable) else steps.prepare(photograph.image)

    def label(described: tuple[Photograph | _Unreadable, DescribedT | None]) -> LabeledImage | str:
        photograph, description = described
        if isinstance(photograph, _Unreadable):
            return photograph.error
        assert description is not None
        return steps.label(photograph, description, present(photograph.path))

    with closing(ordered_map(read, paths, workers=readers())) as found:
        described = _described((result for _, result in found), steps)
        with closing(ordered_map(label, described, workers=workers)) as labelled:
            for (photograph, _), result in labelled:
                yield photograph.path, result


def _read(root: Path, path: str) -> Photograph | _Unreadable:
    try:
        path.encode()  # the table's text is UTF-8
        inside(root, path)  # as whoever reads the labels will ask
        image = load_image(root / path)  # first: its errors say what to do
        digest = sha256_of(root / path)
    except UnicodeEncodeError:
        return _Unreadable(path, f"the name {path!r} is not UTF-8; rename the file")
    except ImageError as error:
        return _Unreadable(path, str(error).replace(str(root / path), path))
    except OSError as error:
        return _Unreadable(path, f"{path} cannot be read ({error.strerror}); leave it out")
    except ValueError as error:
        # Not where the folder lies: the labels of equal photographs are equal wherever they are made.
        where = str(error).replace(f"the folder {root}", "the folder of the photographs")
        return _Unreadable(path, f"{where}; rename the file")
    return Photograph(path, digest, image)


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
