"""Several processes that train one head: each has its own photographs; all take the same steps."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed

from fmbseg.devices import Device, find_device
from fmbseg.missing_package import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

T = TypeVar("T")


class Processes:
    """What the processes of one training do together; with one process, nothing.

    Args:
        rank: of this process, from 0.
        count: of processes; the default process group of ``torch.distributed`` has this many.

    Example:
        >>> alone = Processes()
        >>> alone.main, alone.share([1, 2, 3])
        (True, [1, 2, 3])
        >>> Processes(rank=1, count=2).share([1, 2, 3])
        [2]
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and shows bars."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Every ``count``-th item, from ``rank`` on; together the processes have each item once."""
        return list(items[self.rank :: self.count])

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            distributed.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process run this block before the others do."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, without gradient."""
        total = values.detach().clone()
        if self.count > 1:
            distributed.all_reduce(total)
        return total

    def sum_gradients(self, weights: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes; a missing one counts as 0."""
        if self.count == 1:
            return
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            distributed.all_reduce(weight.grad)

    def gather(self, vectors: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Concatenate the patches of all processes, in the order of ranks.

        The gradient reaches this process's own patches only. Every process computes the same loss from the
        same patches, so the sum of the processes' gradients (:meth:`sum_gradients`) is that of one process
        with all of them, and nothing has to be sent back.

        Args:
            vectors: this process's, (M, D); M may differ from process to process, and be 0.
            labels: class of each, (M,), integers.

        Returns:
            All vectors (sum of M, D) and their labels.
        """
        if self.count == 1:
            return vectors, labels
        counts = [torch.zeros((), dtype=torch.long, device=vectors.device) for _ in range(self.count)]
        distributed.all_gather(counts, torch.tensor(len(vectors), device=vectors.device))
        sizes = [int(count) for count in counts]
        all_vectors = _gathered(vectors.detach(), sizes)
        all_vectors[self.rank] = vectors
        return torch.cat(all_vectors), torch.cat(_gathered(labels, sizes))


def _gathered(rows: torch.Tensor, sizes: list[int]) -> list[torch.Tensor]:
    """The rows of every process; padded on the way, since all that is sent must have one shape."""
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    received = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(received, padded)
    return [each[:size] for each, size in zip(received, sizes, strict=True)]


def join_processes(wanted: Device = None) -> tuple[Processes, torch.device]:
    """The processes that this one was started with, by ``accelerate launch`` or ``torchrun``.

    Args:
        wanted: the device to compute on; by default the best there is.

    Returns:
        The processes, and the device that this one computes on; of several GPUs of one kind, its own.

    Raises:
        DeviceError: there is no such device.
        MissingPackageError: there are several, and accelerate is not installed.
    """
    device = find_device(wanted)
    if distributed.is_available() and distributed.is_initialized():  # by the caller
        return Processes(distributed.get_rank(), distributed.get_world_size()), device
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(), device
    accelerate = require("accelerate", "train", f"one of {count} processes")
    state = accelerate.PartialState(cpu=device.type == "cpu")
    return Processes(state.process_index, state.num_processes), state.device
