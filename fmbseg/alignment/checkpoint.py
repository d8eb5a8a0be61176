"""A training on disk, so that one that was stopped at any moment goes on as if it had not been."""

from __future__ import annotations

import io
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_FILE = "training.pt"
_SCHEMA = 1


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or of another training; the message names what differs."""


@dataclass
class TrainingState:
    """All that a training needs to go on.

    Attributes:
        epoch: that is being gone through, from 1; after the last, one more than there are.
        batches: of that epoch that are done.
        loss: sum of the losses of these batches.
        patches: labelled patches that took part in them.
        learning_rate: of the first of them.
        history: one record for each epoch that is done, as JSON values.
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
    """A folder that a training is kept in, as one file that is replaced whole.

    Args:
        folder: made if it does not exist.
        seconds: between two saves within an epoch; each end of an epoch is saved in any case.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Checkpoint(folder).open({"labels": "ab12"}) is None
        True
    """

    folder: str | Path
    seconds: float = 300.0
    _identity: dict[str, Any] = field(default_factory=dict, init=False)
    _saved: float = field(default_factory=time.monotonic, init=False)

    @property
    def path(self) -> Path:
        """Of the file."""
        return Path(self.folder) / STATE_FILE

    def open(self, identity: Mapping[str, Any]) -> TrainingState | None:
        """Read what is kept, if anything is.

        Args:
            identity: what the training is of, JSON values by name; kept with it and compared.

        Raises:
            CheckpointError: a file that cannot be read, or that is of another training.
        """
        self._identity = dict(identity)
        self._saved = time.monotonic()
        if not self.path.exists():
            return None
        schema, kept, state = self._read()
        if schema != _SCHEMA:
            raise CheckpointError(
                f"{self.path} has schema_version {schema!r}, but this fmbseg reads {_SCHEMA}: delete it to "
                "train from the start"
            )
        self._check(kept)
        return TrainingState(**state)

    def _read(self) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """The schema, the identity and the state that the file holds."""
        content = io.BytesIO(self.path.read_bytes())
        try:
            saved = torch.load(content, map_location="cpu", weights_only=True)
            return saved["schema_version"], dict(saved["identity"]), dict(saved["state"])
        # What torch raises depends on where the damage is.
        except (RuntimeError, EOFError, LookupError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"{self.path} is damaged ({_first_line(error)}): delete it to train from the start"
            ) from error

    def _check(self, kept: Mapping[str, Any]) -> None:
        differing = list(_differences(kept, self._identity))
        if differing:
            raise CheckpointError(
                f"{self.path} is of another training: {'; '.join(differing)}. Train as before to go on from "
                "it, or take another folder"
            )

    def due(self) -> bool:
        """Whether it is time to save within an epoch."""
        return time.monotonic() - self._saved >= self.seconds

    def save(self, state: TrainingState) -> None:
        """Replace what is kept.

        Raises:
            OSError: it cannot be written; what was kept before stays.
        """
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save(
            {"schema_version": _SCHEMA, "identity": self._identity, "state": shallow_dict(state)}, content
        )
        write_atomically(self.path, content.getvalue())
        self._saved = time.monotonic()


def shallow_dict(state: TrainingState) -> dict[str, Any]:
    """The fields by name, not copied, as ``asdict`` would copy every weight."""
    return dict(vars(state))


def _differences(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs, in words; of mappings, each entry by itself."""
    found = []
    for name in sorted(kept.keys() | wanted.keys()):
        before, now = kept.get(name), wanted.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            found += _differences(before, now)
        elif before != now:
            found.append(f"{name} was {before!r} and is {now!r}")
    return found


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
