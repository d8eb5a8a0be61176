"""How far a review is, and where people and models agreed so far."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmbseg.review.layer import Corrections


@dataclass(frozen=True)
class ClassAgreement:
    """What people said of one class of the models.

    Attributes:
        accepted: masks that are right.
        renamed: masks that are of another class.
        rejected: masks that are wrong.
        drawn: masks of this class that people drew, because the models had missed them.
    """

    accepted: int = 0
    renamed: int = 0
    rejected: int = 0
    drawn: int = 0

    @property
    def judged(self) -> int:
        """Masks that people judged."""
        return self.accepted + self.renamed + self.rejected

    @property
    def agreement(self) -> float | None:
        """Share of the judged masks that are right; None where none was judged."""
        return self.accepted / self.judged if self.judged else None


@dataclass(frozen=True)
class ReviewStatus:
    """How far a review is.

    Attributes:
        photographs: of the label set.
        done: those that are finished.
        begun: those with a decision that are not finished.
        reviewers: decisions that count, by who made them.
        classes: what people said of each class, the most judged first.
    """

    photographs: int
    done: int
    begun: int
    reviewers: dict[str, int]
    classes: dict[str, ClassAgreement]

    @classmethod
    def of(cls, layer: Corrections, photographs: int) -> ReviewStatus:
        """Count; nothing but the decisions is read.

        Args:
            layer: of the label set.
            photographs: how many it has.

        Example:
            >>> from fmbseg.review.layer import Corrections
            >>> print(ReviewStatus.of(Corrections(["cat"]), 3))
            0 of 3 photographs done, 0 begun, 3 left
        """
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        reviewers: Counter[str] = Counter()
        for made in layer.decisions.values():
            last = {one.mask: one for one in made if one.about_models_mask}  # the last one counts
            gone = {one.mask for one in made if one.does in ("reject", "delete")}
            drawn = {one.id: one.name for one in made if one.does == "draw" and one.id not in gone}
            drawn |= {one.mask or "": one.name for one in made if one.does == "rename" and one.mask in drawn}
            for one in last.values():
                renamed = one.does == "accept" and one.name != one.was  # by somebody before
                counts[one.was or ""]["rename" if renamed else one.does] += 1
            for name in drawn.values():
                counts[name or ""]["draw"] += 1
            reviewers.update(one.reviewer for one in made)
        classes = {
            name: ClassAgreement(of["accept"], of["rename"], of["reject"], of["draw"])
            for name, of in counts.items()
            if of.total() > of["delete"]
        }
        ordered = sorted(classes.items(), key=lambda item: (-item[1].judged, -item[1].drawn, item[0]))
        done = len(layer.done)
        return cls(photographs, done, len(layer.decisions) - done, dict(reviewers), dict(ordered))

    @property
    def left(self) -> int:
        """Photographs that are not finished."""
        return self.photographs - self.done

    def __str__(self) -> str:
        return f"{self.done} of {self.photographs} photographs done, {self.begun} begun, {self.left} left"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        classes = {name: {**asdict(one), "agreement": one.agreement} for name, one in self.classes.items()}
        return {**asdict(self), "left": self.left, "classes": classes}
