"""Many photographs through Stage 1 at once: reading, describing and cutting out overlap, results in order.

A thread reads and cuts the next photographs while the image-text model describes some and the mask model
works on others. Each step has a bounded number of photographs in hand, so that memory does not grow with
their number, and what comes out does not depend on how the steps interleave.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fmbseg.files import inside, sha256_of
from fmbseg.images import ImageError, load_image
from fmbseg.labeling.description import Crops, cut_crops, describe_all
from fmbseg.labeling.ordered import ordered_map
from fmbseg.labeling.stage1 import label_described

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.labeling.classes import Classes
    from fmbseg.labeling.description import Description
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.labels.record import LabeledImage
    from fmbseg.models.contracts import ImageTextEncoder, MaskGenerator


class _Photograph(NamedTuple):
    """A file that was read: its path, the hash of its bytes, its pixels."""

    path: str
    sha256: str
    image: NDArray[np.uint8]


class _Unreadable(NamedTuple):
    """A file that could not be read, and why."""

    path: str
    error: str


_Read = tuple["_Photograph | _Unreadable", "Crops | None"]
_Described = tuple["_Photograph | _Unreadable", "Description | None"]


def label_files(
    root: Path,
    paths: Sequence[str],
    classes: Classes,
    encoder: ImageTextEncoder,
    generator: MaskGenerator,
    settings: LabelingSettings,
    *,
    present: Callable[[str], tuple[int, ...] | None],
    workers: int,
) -> Generator[tuple[str, LabeledImage | str], None, None]:
    """Label photographs; yield (path, labels or why there are none) in the order of ``paths``.

    Args:
        root: folder that the paths start from.
        paths: of the photographs.
        classes: to look for.
        encoder: of images and texts; used by one thread.
        generator: of masks; used by ``workers`` threads.
        settings: of Stage 1.
        present: the classes that a photograph is known to show; ``None`` where nothing is known.
        workers: photographs that masks are made for at once.
    """

    def label(described: _Described) -> LabeledImage | str:
        photograph, description = described
        if isinstance(photograph, _Unreadable):
            return photograph.error
        assert description is not None
        labels = label_described(
            photograph.image,
            description,
            photograph.path,
            classes,
            generator,
            settings,
            present=present(photograph.path),
            sha256=photograph.sha256,
        )
        return labels if settings.keep_features else replace(labels, features=None)

    with closing(ordered_map(lambda path: _read(root, path, encoder, settings), paths, workers=1)) as read:
        described = _described((result for _, result in read), encoder, settings.batch_size)
        with closing(ordered_map(label, described, workers=workers)) as labelled:
            for (photograph, _), result in labelled:
                yield photograph.path, result


def _read(root: Path, path: str, encoder: ImageTextEncoder, settings: LabelingSettings) -> _Read:
    try:
        path.encode()  # the table's text is UTF-8
        inside(root, path)  # as whoever reads the labels will ask
        image = load_image(root / path)  # first: its errors say what to do
        digest = sha256_of(root / path)
    except UnicodeEncodeError:
        return _Unreadable(path, f"the name {path!r} is not UTF-8; rename the file"), None
    except ImageError as error:
        return _Unreadable(path, str(error).replace(str(root / path), path)), None
    except OSError as error:
        return _Unreadable(path, f"{path} cannot be read ({error.strerror}); leave it out"), None
    except ValueError as error:
        return _Unreadable(path, f"{error}; rename the file"), None
    crops = cut_crops(image, encoder, settings)
    return _Photograph(path, digest, image), crops


def _described(read: Iterable[_Read], encoder: ImageTextEncoder, batch_size: int) -> Iterator[_Described]:
    waiting: deque[_Photograph | _Unreadable] = deque()

    def crops() -> Iterator[Crops | None]:
        for photograph, cut in read:
            waiting.append(photograph)
            yield cut

    for description in describe_all(crops(), encoder, batch_size):
        yield waiting.popleft(), description
