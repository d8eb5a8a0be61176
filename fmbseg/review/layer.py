"""The corrected layer: what all decisions together make of each photograph's labels."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fmbseg.files import DamagedFileError
from fmbseg.labels.record import HAND_STAGE
from fmbseg.labels.run_lengths import check_counts
from fmbseg.labels.shards import encode_row
from fmbseg.review.journal import FOLDER, read_decisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fmbseg.review.decisions import Decision

_BY_HAND = {"stage": HAND_STAGE, "kept": True}
_SURE = {"predicted_iou": 1.0, "stability": 1.0, "similarity": 1.0, "certainty": 1.0}


@dataclass
class MaskState:
    """One mask of a photograph, as the decisions so far leave it.

    Attributes:
        key: that decisions call it by.
        row: as a shard has it.
        judged: the decision about it that counts; None while nobody has decided.
        gone: whether it was rejected or deleted.
    """

    key: str
    row: dict[str, Any]
    judged: Decision | None = None
    gone: bool = False


@dataclass(frozen=True)
class Corrections:
    """The decisions that count, by photograph, oldest first.

    Later decisions about a mask replace earlier ones, whoever made them; decisions about different masks
    never touch each other. What was undone does not count.

    Args:
        names: of the label set's classes.
        decisions: of each photograph.
    """

    names: Sequence[str]
    decisions: dict[str, list[Decision]] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Sequence[str], decisions: Iterable[Decision]) -> Corrections:
        """Leave out what was undone.

        Args:
            names: of the label set's classes.
            decisions: all, in the order in which they were made.
        """
        given = list(decisions)
        undone = {one.undoes for one in given if one.does == "undo"}
        found: dict[str, list[Decision]] = defaultdict(list)
        for one in given:
            if one.does != "undo" and one.id not in undone:
                found[one.photograph].append(one)
        return cls(names, dict(found))

    @classmethod
    def read(cls, folder: Path, manifest: str, names: Sequence[str]) -> Corrections:
        """The layer of a label set, which has no decision where nobody corrected it.

        Raises:
            DamagedFileError: see :func:`~fmbseg.review.journal.read_decisions`.
        """
        return cls.of(names, read_decisions(folder, manifest) if (folder / FOLDER).is_dir() else ())

    def __bool__(self) -> bool:
        return bool(self.decisions)

    @property
    def fingerprint(self) -> str:
        """Hash of the decisions that count."""
        content = [[one.to_row() for one in self.decisions[path]] for path in sorted(self.decisions)]
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def done(self) -> set[str]:
        """Paths of the photographs that are finished."""
        return {path for path, made in self.decisions.items() if any(one.does == "done" for one in made)}

    def masks(self, row: dict[str, Any]) -> list[MaskState]:
        """Every mask of a photograph, those that are gone too, those that people drew last.

        Args:
            row: the photograph's labels, as a shard has them.

        Raises:
            DamagedFileError: the photograph was labelled anew since it was corrected, or a decision does not
                fit it.
        """
        states = {f"m{index}": MaskState(f"m{index}", mask) for index, mask in enumerate(row["masks"])}
        made = self.decisions.get(row["path"], ())
        content = digest(row) if made else ""
        for one in made:
            if one.content != content:
                raise DamagedFileError(
                    f"{row['path']} was labelled anew since {one.reviewer} corrected it: move "
                    f"{FOLDER}/{one.reviewer}.jsonl away, or put the shards back that it corrects"
                )
            if one.does != "done":
                self._apply(one, states, row)
        return list(states.values())

    def corrected(self, row: dict[str, Any]) -> dict[str, Any]:
        """A photograph's labels with its decisions; the same object where there are none.

        Raises:
            DamagedFileError: see :meth:`masks`.
        """
        if row["path"] not in self.decisions:
            return row
        masks = [state.row for state in self.masks(row) if not state.gone]
        if any(mask["feature"] is None for mask in masks):  # all masks of a photograph have one, or none
            masks = [{**mask, "feature": None} for mask in masks]
        presence = dict(zip(row["detected"], row["presences"], strict=True))
        # A class whose last mask a person took away is no longer known to be there.
        left = {mask["class_id"] for mask in masks}
        before = {mask["class_id"] for mask in row["masks"]}
        presence = {key: value for key, value in presence.items() if key in left or key not in before}
        presence |= {mask["class_id"]: 1.0 for mask in masks if mask["stage"] == HAND_STAGE}
        detected = sorted(presence)
        presences = [presence[key] for key in detected]
        return {**row, "masks": masks, "detected": detected, "presences": presences}

    def _apply(self, one: Decision, states: dict[str, MaskState], row: dict[str, Any]) -> None:
        if one.does == "draw":
            states[one.id] = MaskState(one.id, self._drawn(one, row), one)
            return
        state = states.get(one.mask or "")
        if state is None:  # the decision that drew it was undone
            if one.about_models_mask:
                raise DamagedFileError(f"{row['path']} has no mask {one.mask}, which {one.id} is about")
            return
        state.judged, state.gone = one, one.does in ("reject", "delete")
        if one.does in ("accept", "rename"):
            state.row = {**state.row, **_BY_HAND, **_SURE, "class_id": self._class(one)}

    def _drawn(self, one: Decision, row: dict[str, Any]) -> dict[str, Any]:
        counts = one.counts or ""
        try:
            check_counts(counts.encode(), (row["height"], row["width"]))
        except ValueError as error:
            raise DamagedFileError(f"{row['path']}: the mask that {one.id} drew: {error}") from error
        drawn = {"counts": counts, "class_id": self._class(one), **_BY_HAND, **_SURE}
        return {**drawn, "points": [], "feature": None}

    def _class(self, one: Decision) -> int:
        if one.name not in self.names:
            raise DamagedFileError(f"{one.photograph}: {one.id} names the class {one.name!r}, which is none")
        return list(self.names).index(str(one.name))


def digest(row: dict[str, Any]) -> str:
    """What a decision says that it is about: a hash of a photograph's labels as the models made them."""
    return sha256(encode_row(row)).hexdigest()[:32]
