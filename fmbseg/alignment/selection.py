"""How long to train from a head that already knows much, or whether to keep it: cross-validation."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.alignment.trainer import train

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.alignment.objective import Objective
    from fmbseg.alignment.training_example import TrainingExample
    from fmbseg.progress import Bar, Progress

_FEWEST = 5
"""Photographs below which the standard error of a gain is not worth its name: the start is kept."""
_ONE_PART_IS_ENOUGH = 50
_ERRORS = 2.0
"""Standard errors that a gain must exceed. One let heads through that were worse on true masks."""


@dataclass(frozen=True)
class Selection:
    """What cross-validation chose.

    Attributes:
        epochs: to train for on all photographs; 0 keeps the head that training would start from.
        best: the number of epochs with the largest gain, whether or not that is taken.
        start: share of the labelled patches of photographs held out on which the start is right.
        after: the same for the head after ``best`` epochs.
        error: standard error of ``after - start``, by photograph.
        photographs: that were held out, each once.
    """

    epochs: int
    best: int
    start: float
    after: float
    error: float
    photographs: int

    def __str__(self) -> str:
        if self.photographs < _FEWEST:
            return f"{self.photographs} photographs are too few to tell whether training improves a head"
        gain = 100 * (self.after - self.start)
        return (
            f"right on {self.after:.1%} of the labelled patches of {self.photographs} photographs held out "
            f"after {self.best} epochs, on {self.start:.1%} at the start: {gain:+.1f} points, "
            f"standard error {100 * self.error:.1f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, with the text for the head's card."""
        return {**asdict(self), "told": str(self)}


def select_epochs(
    start: AlignmentHead,
    examples: Sequence[TrainingExample],
    objective: Objective,
    parts: int,
    bars: Progress,
) -> Selection:
    """Find after how many epochs a head is best on photographs that it has not seen, or keep the start.

    The photographs are dealt into parts; each part is held out once while a copy of the start is trained on
    the others, and after each epoch counted against its pseudo labels. Of 50 photographs or more, one part
    is measured. The start is kept unless the best gain over it exceeds twice its standard error by
    photograph: of few photographs, some epoch is always a little better by chance.

    Args:
        start: where each training starts; not changed.
        examples: all photographs.
        objective: of the training; its settings say for how many epochs at most.
        parts: to deal the photographs into, 2 or more.
        bars: where to show it.

    Raises:
        TrainingDivergedError: see :func:`~fmbseg.alignment.trainer.train`.
    """
    settings = objective.settings
    dealt = np.random.default_rng(settings.seed).permutation(len(examples))
    held_out = [dealt[part::parts] for part in range(min(parts, len(examples)))]
    if len(examples) < _FEWEST:
        return Selection(0, 0, 0.0, 0.0, 0.0, len(examples))
    if len(examples) >= _ONE_PART_IS_ENOUGH:
        held_out = held_out[:1]
    seen = sum(len(examples) - len(part) for part in held_out)
    bar = bars.bar("cross-validation", settings.epochs * seen)
    counts = np.zeros((settings.epochs + 1, len(examples), 2))
    for part in held_out:
        counts[:, part] = _curve(start, examples, part, objective, bar)
    return choose(counts[:, np.concatenate(held_out)])


def _curve(
    start: AlignmentHead,
    examples: Sequence[TrainingExample],
    part: NDArray[np.intp],
    objective: Objective,
    bar: Bar,
) -> NDArray[np.float64]:
    """What each number of epochs, from 0 on, makes of a part that is held out, (E + 1, N, 2)."""
    held = [examples[index] for index in part]
    kept = [examples[index] for index in np.setdiff1d(np.arange(len(examples)), part)]
    head = copy.deepcopy(start)
    rows = [_counted(head, held, objective)]
    train(
        *(head, kept, objective),
        on_step=lambda step: bar.advance(step.images),
        on_epoch=lambda _: rows.append(_counted(head, held, objective)),
    )
    return np.stack(rows)


def choose(counts: NDArray[np.float64]) -> Selection:
    """Choose the number of epochs.

    Args:
        counts: patches that are right and that are labelled, after each number of epochs from 0 on and for
            each photograph, (E + 1, N, 2).

    Example:
        Six photographs of ten patches: five epochs that only one photograph gains from are not believed.

        >>> before, after = np.full((6, 2), (4.0, 10.0)), np.full((6, 2), (4.0, 10.0))
        >>> after[0, 0] = 9
        >>> choose(np.stack((before, after))).epochs
        0
        >>> after[:, 0] = 5, 6, 5, 6, 5, 6
        >>> choose(np.stack((before, after))).epochs
        1
    """
    right, labelled = counts[..., 0], counts[0, :, 1]
    photographs, total = len(labelled), labelled.sum()
    gains = (right - right[0]).sum(axis=1) / total
    best = int(gains[1:].argmax()) + 1
    # Of a ratio of sums over photographs (Cochran, Sampling Techniques, 1977, equation 6.13).
    residuals = right[best] - right[0] - gains[best] * labelled
    error = float(np.sqrt((residuals**2).sum() * photographs / max(1, photographs - 1)) / total)
    better = gains[best] > _ERRORS * error
    return Selection(
        epochs=best if better else 0,
        best=best,
        start=float(right[0].sum() / total),
        after=float(right[best].sum() / total),
        error=error,
        photographs=photographs,
    )


def _counted(
    head: AlignmentHead, examples: Sequence[TrainingExample], objective: Objective
) -> NDArray[np.float64]:
    """Patches that are right and that are labelled, for each photograph."""
    training = head.training
    head.eval()
    rows = []
    for example in examples:
        _, found, labels = objective.held_out(head, [example])
        rows.append((int((found == labels).sum()), len(labels)))
    head.train(training)
    return np.array(rows, dtype=np.float64)
