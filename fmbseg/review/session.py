"""One reviewer at a label set: what to look at next, and decisions that are on the disk at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco

from fmbseg.images import load_image
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.place import Remote, place_of
from fmbseg.labels.record import STAGES
from fmbseg.labels.shards import from_row
from fmbseg.review.decisions import Decision
from fmbseg.review.journal import DecisionJournal, read_decisions
from fmbseg.review.layer import Corrections, digest
from fmbseg.review.order import sureness
from fmbseg.review.status import ReviewStatus
from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.labels.record import LabeledImage
    from fmbseg.review.decisions import Does, How
    from fmbseg.review.layer import MaskState


@dataclass(frozen=True)
class ShownMask:
    """A mask as a reviewer sees it.

    Attributes:
        key: that decisions call it by.
        name: of its class now.
        stage: what made it, see :data:`~fmbseg.labels.record.STAGES`; by hand where a person decided.
        judged: what was decided about it, if anything: ``accept``, ``rename`` or ``draw``.
        reviewer: who decided.
        sure: how sure the models were: certainty, or similarity where they do not tell.
        pixels: of the mask.
    """

    key: str
    name: str
    stage: str
    judged: str | None
    reviewer: str | None
    sure: float
    pixels: int


class Review:
    """A label set and one person who corrects it.

    Every decision is appended to the person's journal in the label set, and is on the disk when the method
    returns; nothing else is written, and the labels stay as the models made them. Others may correct the same
    label set, and the same photograph, at the same time.

    Args:
        folder: of the label set.
        reviewer: the person's name.

    Raises:
        FileNotFoundError: there is no label set, or it is not finished.
        ValueError: a name that cannot be a reviewer's; a label set in object storage; or the label set or its
            corrections are damaged.
    """

    def __init__(self, folder: str | Path, reviewer: str) -> None:
        if isinstance(place := place_of(folder), Remote):
            raise ValueError(
                f"{place} lies in object storage, where nothing can be appended to a journal of decisions: "
                f"`fmbseg review bake {place} --out FOLDER` copies it to a folder, and a corrected one back"
            )
        self.labels = LabelSet(folder, corrected=False)
        self.names = self.labels.vocabulary.names
        self._journal = DecisionJournal(self.labels.folder, reviewer, self.labels.manifest["hash"])
        self._row = lru_cache(maxsize=2)(self._read_shard)
        sure: list[tuple[float, str]] = []
        self._places: dict[str, int] = {}
        for shard in self.labels.shards:
            for row in self.labels.rows(shard):
                self._places[row["path"]] = shard
                sure.append((sureness(self.labels.shown(from_row(row))), row["path"]))
        self._order = [path for _, path in sorted(sure)]
        self.layer()  # complains now of what is damaged

    @property
    def reviewer(self) -> str:
        """The person's name."""
        return self._journal.reviewer

    def layer(self) -> Corrections:
        """All decisions so far, others' too."""
        decisions = read_decisions(self.labels.folder, self.labels.manifest["hash"])
        return Corrections.of(self.names, decisions)

    def status(self) -> ReviewStatus:
        """How far the review is, and where people and models agreed."""
        return ReviewStatus.of(self.layer(), len(self._places))

    def order(self) -> list[str]:
        """Paths of all photographs, the finished ones last, the least sure first.

        How sure the models are: :func:`~fmbseg.review.order.sureness`.
        """
        done = self.layer().done
        return sorted(self._order, key=lambda path: path in done)

    def record(self, path: str) -> LabeledImage:
        """A photograph's labels as they are with all decisions."""
        return self.labels.shown(from_row(self.layer().corrected(self._raw(path))))

    def masks(self, path: str) -> list[tuple[ShownMask, NDArray[np.bool_]]]:
        """The masks of a photograph that are not gone, the largest first, each with its pixels (H, W)."""
        row = self._raw(path)
        size = [row["height"], row["width"]]
        found = []
        for state in self.layer().masks(row):
            if not state.gone and (state.judged or self._is_shown(state.row)):
                mask = coco.decode({"size": size, "counts": state.row["counts"]}).astype(np.bool_)
                found.append((self._shown(state, int(mask.sum())), mask))
        return sorted(found, key=lambda one: -one[0].pixels)

    def photograph(self, path: str) -> NDArray[np.uint8]:
        """Its pixels, RGB (H, W, 3).

        Raises:
            PhotographError: it is not the one that was labelled, or is gone.
        """
        return load_image(self.labels.photograph_of(from_row(self._raw(path))))

    def sha256(self, path: str) -> str:
        """Hash of the photograph's file."""
        return str(self._raw(path)["sha256"])

    def accept(self, path: str, *masks: str) -> list[Decision]:
        """Masks are right, and so are the names that they have now."""
        return self._judge("accept", path, masks)

    def reject(self, path: str, *masks: str) -> list[Decision]:
        """Remove masks, because they are wrong."""
        return self._judge("reject", path, masks)

    def delete(self, path: str, *masks: str) -> list[Decision]:
        """Remove masks, without a word on whether they are right."""
        return self._judge("delete", path, masks)

    def rename(self, path: str, name: str, *masks: str) -> list[Decision]:
        """Masks are right, but of another class.

        Raises:
            UnknownNameError: the vocabulary has no such class.
        """
        return self._judge("rename", path, masks, name=self._known(name))

    def draw(self, path: str, mask: NDArray[np.bool_], name: str, how: How = "mask") -> Decision:
        """A new mask.

        Args:
            path: of the photograph.
            mask: (H, W), with at least one pixel.
            name: of its class.
            how: it was drawn.

        Raises:
            ValueError: a mask of another size, or without a pixel.
            UnknownNameError: the vocabulary has no such class.
        """
        row = self._raw(path)
        size = (row["height"], row["width"])
        if mask.shape != size or mask.dtype != np.bool_:
            raise ValueError(f"the mask is {mask.dtype} {mask.shape}: it must be bool of the size {size}")
        if not mask.any():
            raise ValueError("the mask has no pixel: point at something else, or brush over it")
        counts = coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode("ascii")
        return self._write(
            Decision("", 0, path, digest(row), "draw", name=self._known(name), counts=counts, how=how)
        )[0]

    def done(self, path: str) -> Decision:
        """The photograph is finished; masks without a decision stay as the models made them."""
        return self._write(Decision("", 0, path, digest(self._raw(path)), "done"))[0]

    def undo(self, path: str | None = None) -> Decision | None:
        """Take back this person's last decision, on one photograph or on any.

        Returns:
            The decision that never was; None where there is none left.
        """
        made = [
            one
            for photograph, decisions in self.layer().decisions.items()
            if path in (None, photograph)
            for one in decisions
            if one.reviewer == self.reviewer
        ]
        if not made:
            return None
        last = max(made, key=lambda one: one.number)
        self._write(Decision("", 0, last.photograph, last.content, "undo", undoes=last.id))
        return last

    def _judge(
        self, does: Does, path: str, masks: tuple[str, ...], name: str | None = None
    ) -> list[Decision]:
        row = self._raw(path)
        content = digest(row)
        states = {state.key: state for state in self.layer().masks(row)}
        made = []
        for key in masks:
            state = states.get(key)
            if state is None or state.gone:
                raise ValueError(f"{path} has no mask {key!r} any more: look at it again")
            before = state.row if ":" in key else row["masks"][int(key[1:])]
            was = self.names[before["class_id"]]
            named = self.names[state.row["class_id"]] if does == "accept" else name
            made.append(Decision("", 0, path, content, does, mask=key, name=named, was=was))
        return self._write(*made)

    def _write(self, *decisions: Decision) -> list[Decision]:
        return self._journal.append(*decisions)

    def _raw(self, path: str) -> dict[str, Any]:
        if path not in self._places:
            raise UnknownNameError("photograph", path, list(self._places))
        return self._row(self._places[path])[path]

    def _read_shard(self, shard: int) -> dict[str, dict[str, Any]]:
        return {row["path"]: row for row in self.labels.rows(shard)}

    def _known(self, name: str) -> str:
        return self.names[self.labels.vocabulary.index(name)]

    def _is_shown(self, mask: dict[str, Any]) -> bool:
        """Whether a mask that nobody judged is certain enough for the label set."""
        certainty = mask.get("certainty")
        return certainty is None or certainty >= self.labels.least

    def _shown(self, state: MaskState, pixels: int) -> ShownMask:
        row, judged = state.row, state.judged
        certainty = row.get("certainty")
        return ShownMask(
            key=state.key,
            name=self.names[row["class_id"]],
            stage=STAGES[row["stage"]],
            judged=judged.does if judged else None,
            reviewer=judged.reviewer if judged else None,
            sure=float(row["similarity"] if certainty is None else certainty),
            pixels=pixels,
        )
