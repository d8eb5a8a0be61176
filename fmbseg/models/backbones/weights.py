"""Weights of backbones from files: read without unpickling code, fitted strictly, checked for NaN."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from fmbseg.models.checkpoints import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from torch import nn

_SEED = 0
_SHOWN = 5


class WeightsError(CheckpointError):
    """Weights that are damaged, not finite, or those of another model; the message names file and tensors."""


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict: safetensors by the name's ending, else ``torch.load(weights_only=True)``.

    Raises:
        WeightsError: no such file, or not a file of weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"there is no file of weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(
            f"{path} is not a file of weights that is safe to read: {_first_line(error)}"
        ) from error
    for wrapping in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapping), dict):
            state = state[wrapping]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state dict: save `model.state_dict()`")
    return state


def part_of(state: dict[str, torch.Tensor], part: str, where: object) -> dict[str, torch.Tensor]:
    """The tensors of one part of a model, named without it.

    Args:
        state: of the whole model.
        part: beginning of the names that are wanted, with its dot.
        where: it came from, for messages.

    Raises:
        WeightsError: there is no such part.

    Example:
        >>> list(part_of({"visual.conv": 1, "visual.norm": 2, "text": 3}, "visual.", "a file"))
        ['conv', 'norm']
    """
    found = {name.removeprefix(part): tensor for name, tensor in state.items() if name.startswith(part)}
    if not found:
        raise WeightsError(f"{where} holds no tensor whose name starts with {part!r}: it is of another model")
    return found


def load_strictly(
    network: nn.Module, state: dict[str, torch.Tensor], where: object, left_out: tuple[str, ...] = ()
) -> None:
    """Load a state dict that must fit in every name and shape, and have no NaN.

    Args:
        network: to be filled; it may be on the meta device, its tensors become those of ``state``.
        state: name to tensor.
        where: it came from, for messages.
        left_out: beginnings of names of parts that were cut off ``network``.

    Raises:
        WeightsError: names what is missing, what is unknown, or what has another shape.
    """
    expected = network.state_dict()
    state = {
        name: tensor for name, tensor in state.items() if name in expected or not name.startswith(left_out)
    }
    refuse_keys(expected.keys() - state.keys(), state.keys() - expected.keys(), where)
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise WeightsError(
                f"{where}: {name} has shape {tuple(state[name].shape)}, the model's {tuple(tensor.shape)}: "
                "these are the weights of another model"
            )
    network.load_state_dict(state, strict=True, assign=True)
    check_finite(network, where)


def refuse_keys(missing: Collection[str], unknown: Collection[str], where: object) -> None:
    """Refuse weights whose names are not those of the model.

    Raises:
        WeightsError: if there is any.
    """
    if missing or unknown:
        raise WeightsError(
            f"{where} does not fit the model: {len(missing)} tensors missing{_some(missing)}; "
            f"{len(unknown)} unknown{_some(unknown)}: these are the weights of another model"
        )


def check_finite(network: nn.Module, where: object) -> None:
    """Refuse NaN and infinity in any parameter or buffer.

    Raises:
        WeightsError: names the tensors.
    """
    wrong = [
        name
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point() and not tensor.is_meta and not bool(torch.isfinite(tensor).all())
    ]
    if wrong:
        raise WeightsError(
            f"{where}: {len(wrong)} tensors hold NaN or infinity{_some(wrong)}: fetch the file again"
        )


@contextmanager
def seeded() -> Iterator[None]:
    """Make random weights the same each time; the caller's random numbers are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        yield


def _some(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return f" ({shown}{', ...' if len(names) > _SHOWN else ''})" if names else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
