"""A training on disk: it may be stopped at any moment, and continues as if it had not been."""

from __future__ import annotations

import io
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock

from fmbseg.checksums import seal, unseal
from fmbseg.files import DamagedFileError, check_regular, remove_leftovers, write_atomically
from fmbseg.models.weight_probe import same_weights
from fmbseg.written import hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

STATE_FILE = "training.pt"
_LOCK = ".lock"
_SCHEMA = 2


class TrainingCheckpointError(ValueError):
    """A checkpoint that is damaged or belongs to another training; the message names what differs."""


@dataclass
class TrainingState:
    """All that a training needs to continue.

    Attributes:
        epoch: the current one, from 1; after the last, their number plus one.
        batches: how many of that epoch are done.
        loss: sum of the losses of these batches.
        patches: labelled patches that took part in them.
        learning_rate: of the first of these batches.
        history: one record for each finished epoch, as JSON values.
        head: weights.
        good: the last weights whose loss and gradient were finite.
        optimizer: its state.
        schedule: its state.
        random: states of the random numbers by device.
    """

    epoch: int
    batches: int
    loss: float
    patches: int
    learning_rate: float
    history: list[dict[str, Any]]
    head: dict[str, torch.Tensor]
    good: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    random: dict[str, torch.Tensor]


@dataclass
class Checkpoint:
    """The folder of a training: one file, which is replaced whole and carries its checksum.

    As a context manager, which may be nested, it holds the folder's lock.

    Args:
        folder: made if it does not exist.
        seconds: between two saves within an epoch; each end of an epoch is saved in any case.

    Attributes:
        state: what the file held when it was opened; None if nothing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Checkpoint(folder) as checkpoint:
        ...     checkpoint.open({"labels": "ab12"})
        ...     checkpoint.state is None
        True
    """

    folder: str | Path
    seconds: float = 300.0
    state: TrainingState | None = field(default=None, init=False)
    _identity: dict[str, Any] = field(default_factory=dict, init=False)
    _probes: dict[str, torch.Tensor] = field(default_factory=dict, init=False)
    _saved: float = field(default_factory=time.monotonic, init=False)
    _lock: FileLock = field(init=False)

    def __post_init__(self) -> None:
        self._lock = FileLock(Path(self.folder) / _LOCK)

    def __enter__(self) -> Checkpoint:
        hold(self._lock)
        remove_leftovers(Path(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    @property
    def path(self) -> Path:
        """Of the file."""
        return Path(self.folder) / STATE_FILE

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse early what :meth:`open` would refuse; ``identity`` may be partial.

        Raises:
            TrainingCheckpointError: see :meth:`open`.
        """
        saved = self._read()
        if saved is not None:
            self._compare({name: saved["identity"].get(name) for name in identity}, identity)

    def open(self, identity: Mapping[str, Any], probes: Mapping[str, torch.Tensor] | None = None) -> None:
        """Read the saved training, if there is one, to continue it.

        Args:
            identity: what defines the training, JSON values by name; saved with it and compared.
            probes: what frozen models make of a fixed input (:mod:`fmbseg.models.weight_probe`), by role;
                saved and compared as well.

        Raises:
            TrainingCheckpointError: a file that cannot be read, or that is of another training.
        """
        self._identity, self._probes = dict(identity), dict(probes or {})
        self._saved = time.monotonic()
        self.state = None
        saved = self._read()
        if saved is None:
            return
        self._compare(saved["identity"], self._identity)
        for role, found in self._probes.items():
            if role not in saved["probes"] or not same_weights(saved["probes"][role], found):
                raise TrainingCheckpointError(
                    f"{self.path} is of another training: the {role} has other weights, though it has the "
                    "same name. Take the weights of before to go on from it, or take another folder"
                )
        self.state = TrainingState(**saved["state"])

    def _read(self) -> dict[str, Any] | None:
        """What the file holds; None if there is no file."""
        try:
            check_regular(self.path)
            content = io.BytesIO(unseal(self.path.read_bytes(), self.path))
            saved: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
            schema = saved["schema_version"]
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            raise TrainingCheckpointError(f"{error}, or fmbseg did not write it: {_REMEDY}") from error
        except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError) as error:
            raise TrainingCheckpointError(f"{self.path} holds no training: {_REMEDY}") from error
        if schema != _SCHEMA:
            raise TrainingCheckpointError(
                f"{self.path} has schema_version {schema!r}, but this fmbseg reads {_SCHEMA}: {_REMEDY}"
            )
        return saved

    def _compare(self, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        differing = list(_differences(kept, wanted))
        if differing:
            raise TrainingCheckpointError(
                f"{self.path} is of another training: {'; '.join(differing)}. Train as before to go on from "
                "it, or take another folder"
            )

    def due(self) -> bool:
        """Whether it is time to save within an epoch."""
        return time.monotonic() - self._saved >= self.seconds

    def save(self, state: TrainingState) -> None:
        """Replace the saved training.

        Raises:
            OSError: it cannot be written; the earlier save stays.
        """
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        saved = {
            "schema_version": _SCHEMA,
            "identity": self._identity,
            "probes": self._probes,
            "state": dict(vars(state)),  # not copied, as `asdict` would copy every weight
        }
        torch.save(saved, content)
        write_atomically(self.path, seal(content.getvalue()))
        self._saved = time.monotonic()


_REMEDY = "delete it to train from the start (nothing else is lost), or take another folder"


def _differences(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """What differs, in words; mappings are compared entry by entry."""
    for name in sorted(kept.keys() | wanted.keys()):
        before, now = kept.get(name), wanted.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _differences(before, now)
        elif before != now:
            yield f"{name} was {before!r} and is {now!r}"
