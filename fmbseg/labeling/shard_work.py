"""Stage 1 for an engine: a worker labels all photographs of a shard and writes it; counts come back."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fmbseg.aligned.image_text import AlignedImageText
from fmbseg.labeling.pipeline import label_files
from fmbseg.labeling.two_models import TwoModels
from fmbseg.labels.claimed import check_same_run, write_whole_shard
from fmbseg.labels.manifest import read_manifest
from fmbseg.models.familiarity import told_of
from fmbseg.reasons import Reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fmbseg.labeling.pipeline import Steps, Way
    from fmbseg.labels.place import Place
    from fmbseg.labels.record import LabeledImage
    from fmbseg.sources.contract import Source
    from fmbseg.vocabulary import Vocabulary


class Labeler(Protocol):
    """Labels photographs with the models that it has loaded."""

    @property
    def way(self) -> Way:
        """The models."""
        ...

    @property
    def origin(self) -> dict[str, Any]:
        """The models and settings, as JSON values."""
        ...


class Shard(NamedTuple):
    """A unit of work.

    Attributes:
        place: in the label set.
        manifest: hash of the label set's manifest.
        paths: keys of its photographs.
        present: the classes that each is known to show.
    """

    place: int
    manifest: str
    paths: tuple[str, ...]
    present: tuple[tuple[int, ...] | None, ...]


class Described(NamedTuple):
    """What a worker says of its models.

    Attributes:
        origin: models and settings.
        left_out: what the models cannot do.
        warned: what was warned of while they were loaded.
    """

    origin: dict[str, Any]
    left_out: str | None
    warned: tuple[str, ...]


class Labelled(NamedTuple):
    """What became of a shard.

    Attributes:
        photographs: in it.
        failures: those of them that could not be labelled.
    """

    photographs: int
    failures: Reasons


@dataclass(frozen=True)
class LabelWork:
    """Makes a worker; picklable.

    Args:
        make_labeler: makes what labels.
        photographs: that have them; a worker reads by key.
        vocabulary: the classes to look for.
        count: how many there are in all.
        out: folder or URI of the label set, the same for all workers.
        workers: photographs that one worker labels at once.
    """

    make_labeler: Callable[[], Labeler]
    photographs: Source
    vocabulary: Vocabulary
    count: int
    out: Place
    workers: int

    def __call__(self) -> ShardWorker:
        """Load the models."""
        return ShardWorker(self)


class ShardWorker:
    """Labels shards; asked for ``None``, it describes its models.

    Args:
        work: what it is made for.
    """

    def __init__(self, work: LabelWork) -> None:
        self._work = work
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            self._labeler = work.make_labeler()
            self._steps: Steps[Any, Any] = self._labeler.way.steps(work.vocabulary, work.count)
        self._warned = tuple(str(one.message) for one in caught if one.category is UserWarning)
        self._manifest: dict[str, Any] = {}

    def __call__(self, unit: Shard | None, tell: Callable[[int], None]) -> Described | Labelled:
        """Describe the models, or label and write a shard.

        Raises:
            ValueError: the label set is of other models than this worker has.
            OSError: photographs or labels are out of reach.
        """
        work = self._work
        if unit is None:
            return Described(
                self._labeler.origin, self._labeler.way.left_out, (*self._warned, *self._of_words())
            )
        failures = Reasons()
        known = dict(zip(unit.paths, unit.present, strict=True))
        results = label_files(
            work.photographs, unit.paths, self._steps, present=known.__getitem__, workers=work.workers
        )
        manifest = self._checked(unit.manifest)
        write_whole_shard(work.out, manifest, unit.place, _counted(results, failures, tell))
        return Labelled(len(unit.paths), failures)

    def _of_words(self) -> Iterable[str]:
        """What is told of words that the image-text model hardly knows."""
        way = self._labeler.way
        if not isinstance(way, TwoModels):
            return ()
        encoder = way.encoder
        return told_of(
            encoder.encoder if isinstance(encoder, AlignedImageText) else encoder, self._work.vocabulary
        )

    def _checked(self, wanted: str) -> dict[str, Any]:
        """The manifest, once it is sure that this worker's models are those it names."""
        if self._manifest.get("hash") != wanted:
            found = read_manifest(self._work.out)
            if found["hash"] != wanted:
                raise ValueError(f"{self._work.out} is another label set on this machine than on the first")
            own = json.loads(json.dumps(self._labeler.origin))
            # A recipe's name decides nothing; labels that are continued keep theirs.
            parts = [{**one, "models": {**one["models"], "recipe": None}} for one in (found, found | own)]
            check_same_run(self._work.out, *parts)
            self._manifest = found
        return self._manifest


def _counted(
    results: Iterable[tuple[str, LabeledImage | str]], failures: Reasons, tell: Callable[[int], None]
) -> Iterator[tuple[str, LabeledImage | str]]:
    for path, result in results:
        if isinstance(result, str):
            failures.note(path, result)
        yield path, result
        tell(1)
