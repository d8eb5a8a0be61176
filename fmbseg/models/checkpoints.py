"""Weights from a file: read without running code, fitted strictly, and refused with a reason."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHOWN = 3
_LONGEST = 160
_NAME_IT = "name the architecture that it belongs to"


class CheckpointError(ValueError):
    """A file of weights that cannot be read or is of another model; the message says what to do."""


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read tensors by name from safetensors, or from a pickle of plain tensors; no code of the file runs.

    A dictionary that holds the tensors under ``state_dict`` or ``model`` is opened.

    Args:
        path: of the file; ``.safetensors`` is read as such, all others by ``torch.load(weights_only=True)``.

    Raises:
        CheckpointError: there is no such file; it is damaged, cut short or holds more than tensors.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "weights.pth")
        ...     torch.save({"state_dict": {"bias": torch.ones(2)}}, path)
        ...     read_state_dict(path)
        {'bias': tensor([1., 1.])}
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: give the path of a checkpoint")
    with reading(path):
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(one, torch.Tensor) for one in content.values()):
        raise CheckpointError(
            f"{path} holds {type(content).__name__}, not tensors by name: save the model's state_dict()"
        )
    return dict(content)


@contextmanager
def reading(path: Path, model: str = "") -> Iterator[None]:
    """Turn what libraries raise over a damaged or foreign file into one error that names the file.

    Args:
        path: of the file.
        model: that takes the weights, where a library fits them as it reads.

    Raises:
        CheckpointError: whatever went wrong within.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no file of plain tensors ({_first_line(error)}): it is damaged, or would run code "
            f"when "
            f"loaded, which fmbseg does not allow; get it again, or convert it to safetensors where it is "
            f"trusted"
        ) from error
    except (SafetensorError, RuntimeError, KeyError, OSError, EOFError, ValueError) as error:
        if "Error(s) in loading state_dict" in str(error):
            raise CheckpointError(
                f"{path} is not a checkpoint of {model}: {_misfit(str(error))}; {_NAME_IT}"
            ) from error
        raise CheckpointError(
            f"{path} cannot be read ({_first_line(error)}): it is damaged, cut short or of another format; "
            f"compare its size with the original and get it again"
        ) from error


def fit(module: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path, model: str) -> None:
    """Load every tensor of ``state`` into ``module``; nothing may be missing, left over or of another shape.

    Args:
        module: takes the weights.
        state: tensors by name.
        path: where they came from, for the message.
        model: what ``module`` is, for the message.

    Raises:
        CheckpointError: what does not fit, with names and shapes.

    Example:
        >>> from pathlib import Path
        >>> fit(torch.nn.Linear(2, 1), {"weight": torch.ones(1, 3)}, Path("a.pth"), "a line")
        Traceback (most recent call last):
        ...
        fmbseg.models.checkpoints.CheckpointError: a.pth is not a checkpoint of a line: 1 missing (bias); \
1 of another shape (weight: (1, 3), not (1, 2)); name the architecture that it belongs to
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in state]
    surplus = [name for name in state if name not in expected]
    shapes = [
        f"{name}: {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    found = [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for what, names in (("missing", missing), ("unknown", surplus), ("of another shape", shapes))
        if names
    ]
    if found:
        raise CheckpointError(f"{path} is not a checkpoint of {model}: {'; '.join(found)}; {_NAME_IT}")
    module.load_state_dict(dict(state))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _misfit(message: str) -> str:
    """Shorten torch's list of all that does not fit to its first lines."""
    lines = [line.strip() for line in message.splitlines()[1:] if line.strip()]
    shown = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..." for line in lines[:_SHOWN]]
    return " ".join(shown) + (f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")
