"""The training loop: batches of photographs, a loss against frozen prototypes, one head that learns."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from fmbseg.alignment.checkpoint import TrainingState
from fmbseg.alignment.schedule import make_optimizer, make_schedule
from fmbseg.alignment.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.alignment.checkpoint import Checkpoint
    from fmbseg.alignment.objective import Objective
    from fmbseg.alignment.training_example import TrainingExample

_NAMED = 5

_STEPS_UNREAD = 16
"""Steps that a device may be ahead of what is reported: to read a loss is to wait. A CPU is never ahead."""


class TrainingDivergedError(RuntimeError):
    """The loss or a weight is no longer finite; the message names the epoch, the batch and its images."""


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the photographs.

    Attributes:
        epoch: from 1.
        loss: mean over the batches.
        learning_rate: that of the first batch.
        patches: labelled patches that took part.
        validation_loss: of the photographs held out (see
            :class:`~fmbseg.alignment.validation.HeldOutScore`); None if there are none.
        validation_accuracy: on the same photographs; None if there are none.
        validation_miou: on the same photographs; None if there are none.
    """

    epoch: int
    loss: float
    learning_rate: float
    patches: int
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_miou: float | None = None


class Step(NamedTuple):
    """One batch, as reported during training; with several processes, it covers all their photographs."""

    epoch: int
    batch: int
    images: int
    loss: float
    learning_rate: float


def train(
    head: AlignmentHead,
    examples: Sequence[TrainingExample],
    objective: Objective,
    *,
    held_out: Sequence[TrainingExample] = (),
    until: int | None = None,
    checkpoint: Checkpoint | None = None,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[EpochRecord], None],
) -> None:
    """Train ``head`` in place.

    Photographs keep their aspect, so a batch has several sizes: those of one size go through the head
    together, and the labelled patches of all of them meet in the loss. Two runs on one CPU are bit-identical,
    even if one of them was stopped and continued from its checkpoint. On another device losses are read every
    few steps, so that no step waits for it.

    Args:
        head: on the device of the objective's prototypes.
        examples: photographs, each with a labelled patch.
        objective: the loss, with the settings of the training and the processes that take every step
            together; a batch is ``batch_size`` photographs for each of them.
        held_out: photographs to measure the head on after each epoch.
        until: the epoch to stop after, if not the settings' last; the learning rate falls as if it went on.
        checkpoint: where to save the training, if anywhere; what it held when it was opened is continued.
        on_step: called for each batch, in order, when its loss is read.
        on_epoch: called after each pass.

    Raises:
        TrainingDivergedError: the loss, a gradient or a weight is not finite. The head then has the last
            weights whose loss and gradient were finite.
    """
    settings = objective.settings
    with seeded(settings.seed, objective.prototypes.device):
        run = Run(head, objective, len(examples))
        if checkpoint is not None and checkpoint.state is not None:
            run.restore(checkpoint.state)
        head.train()
        order = torch.Generator().manual_seed(settings.seed)
        for epoch in range(1, (until or settings.epochs) + 1):
            batches = _batches(examples, settings.batch_size * objective.processes.count, order)
            if epoch < run.state.epoch:
                continue
            objective.expect([objective.processes.share(batch) for batch in batches[run.state.batches :]])
            for number in range(run.state.batches, len(batches)):
                run.step(batches[number])
                # The end of an epoch is saved below, together with its record.
                last = number + 1 == len(batches)
                due = checkpoint is not None and not last and checkpoint.due()
                if last or due or run.full:
                    for step in run.read():
                        on_step(step)
                if checkpoint is not None and due:
                    run.save(checkpoint)
            on_epoch(run.end_epoch(batches[-1], held_out))
            if checkpoint is not None:
                run.save(checkpoint)


class _Unread(NamedTuple):
    """A step whose loss is known to the device only."""

    batch: Sequence[TrainingExample]
    learning_rate: float
    loss: torch.Tensor
    patches: torch.Tensor
    sound: torch.Tensor  # whether all losses and gradients so far were finite


class Run:
    """A training under way."""

    def __init__(self, head: AlignmentHead, objective: Objective, photographs: int) -> None:
        settings = objective.settings
        batches = -(-photographs // (settings.batch_size * objective.processes.count))
        self._head, self._objective, self._settings = head, objective, settings
        self._optimizer = make_optimizer(head.parameters(), settings)
        self._schedule = make_schedule(self._optimizer, settings, settings.epochs * batches)
        good = _copy(head)
        device = objective.prototypes.device
        self._sound = torch.ones((), dtype=torch.bool, device=device)
        self._unread: list[_Unread] = []
        self.most_unread = 1 if _is_never_ahead(device) else _STEPS_UNREAD
        self.state = TrainingState(1, 0, 0.0, 0, 0.0, [], good, good, {}, {}, {})

    @property
    def full(self) -> bool:
        """Whether as many steps are unread as may be."""
        return len(self._unread) >= self.most_unread

    def step(self, batch: Sequence[TrainingExample]) -> None:
        """Learn from one batch; :meth:`read` says how it went."""
        state, settings, processes = self.state, self._settings, self._objective.processes
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._objective.batch(self._head, processes.share(batch), state.epoch)
        # A process may have no photograph of a last, smaller batch, and then there is no gradient.
        if loss.value.requires_grad:
            torch.autograd.backward(loss.value)
        processes.sum_gradients(self._head.parameters())
        rate = float(self._schedule.get_last_lr()[0])
        gradients = [each.grad for each in self._head.parameters() if each.grad is not None]
        self._sound = self._sound & _all_finite([loss.reported, *gradients])
        if settings.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._head.parameters(), settings.max_gradient_norm)
        # What follows a step that is not sound is of no account: `read` puts the last good weights back.
        state.good = {
            name: torch.where(self._sound, tensor.detach(), state.good[name])
            for name, tensor in self._head.state_dict().items()
        }
        self._optimizer.step()
        self._schedule.step()
        if state.batches == 0:
            state.learning_rate = rate
        state.batches += 1
        self._unread.append(_Unread(batch, rate, loss.reported, loss.patches, self._sound))

    def read(self) -> Iterator[Step]:
        """Wait for the device, and yield the steps since the last reading.

        Raises:
            TrainingDivergedError: at the first whose loss or gradient is not finite.
        """
        state, unread, self._unread = self.state, self._unread, []
        told = [(each.loss, each.patches, each.sound) for each in unread]
        values = [torch.stack(each).tolist() for each in zip(*told, strict=True)]
        first = state.batches - len(unread) + 1
        for number, (step, loss, patches, sound) in enumerate(zip(unread, *values, strict=True), start=first):
            if not sound:
                raise self._diverged(f"the loss is {loss}", step.batch, number)
            state.loss += loss
            state.patches += patches
            yield Step(state.epoch, number, len(step.batch), loss, step.learning_rate)

    def end_epoch(
        self, last_batch: Sequence[TrainingExample], held_out: Sequence[TrainingExample]
    ) -> EpochRecord:
        """Check the weights, measure the head, and move on to the next epoch."""
        state = self.state
        if not bool(_all_finite(list(self._head.parameters()))):
            raise self._diverged("a weight is not finite after the step", last_batch, state.batches)
        score = validate(self._head, held_out, self._objective)
        record = EpochRecord(
            state.epoch, state.loss / state.batches, state.learning_rate, state.patches, *(score or ())
        )
        state.history.append(asdict(record))
        state.epoch += 1
        state.batches, state.loss, state.patches = 0, 0.0, 0
        return record

    def save(self, checkpoint: Checkpoint) -> None:
        """Save the training as it is; with several processes, only the main one does."""
        if not self._objective.processes.main:
            return
        self.state.head = self._head.state_dict()
        self.state.optimizer = self._optimizer.state_dict()
        self.state.schedule = self._schedule.state_dict()
        self.state.random = _random_state(self._objective.prototypes.device)
        checkpoint.save(self.state)

    def restore(self, state: TrainingState) -> None:
        """Go on from a state that was kept."""
        self._head.load_state_dict(state.head)
        self._optimizer.load_state_dict(state.optimizer)
        self._schedule.load_state_dict(state.schedule)
        _set_random_state(state.random, self._objective.prototypes.device)
        self.state = state
        state.good = {name: good.to(self._sound.device) for name, good in state.good.items()}

    def _diverged(self, what: str, batch: Sequence[TrainingExample], number: int) -> TrainingDivergedError:
        """Put the last good weights back, and say what happened and where."""
        self._head.load_state_dict(self.state.good)
        shown = ", ".join(str(example.path) for example in batch[:_NAMED])
        more = f" and {len(batch) - _NAMED} more" if len(batch) > _NAMED else ""
        return TrainingDivergedError(
            f"training stopped in epoch {self.state.epoch}, batch {number}: {what} (images: {shown}{more}). "
            f"The head keeps its last good state. Lower the learning rate ({self._settings.learning_rate:g}) "
            f"or raise the temperature ({self._settings.temperature:g})"
        )


def _batches(
    examples: Sequence[TrainingExample], size: int, order: torch.Generator
) -> list[list[TrainingExample]]:
    """All examples once, in a new order; the last batch may be smaller."""
    shuffled = torch.randperm(len(examples), generator=order).tolist()
    return [
        [examples[index] for index in shuffled[start : start + size]]
        for start in range(0, len(shuffled), size)
    ]


def _is_never_ahead(device: torch.device) -> bool:
    return device.type == "cpu"


def _copy(head: AlignmentHead) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in head.state_dict().items()}


def _all_finite(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Whether all are finite, where they are."""
    return torch.stack([each.detach().isfinite().all() for each in values]).all()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the random numbers of the CPU and ``device``; the caller's are restored afterwards.

    Example:
        >>> with seeded(3, torch.device("cpu")):
        ...     first = torch.rand(2)
        >>> with seeded(3, torch.device("cpu")):
        ...     print(torch.equal(first, torch.rand(2)))
        True
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of the random numbers of the CPU and, if it is a CUDA device, of ``device``."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore a state from :func:`_random_state`; the part of another kind of device is left out."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
