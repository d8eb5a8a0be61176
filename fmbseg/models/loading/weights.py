"""Weights from a file: read without running code, fitted strictly, and refused with a reason."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from fmbseg.models.loading.errors import WeightsError, first_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_SEED = 0
_SHOWN = 3
_LONGEST = 160
_NAME_IT = "name the architecture that it belongs to"


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read tensors by name from safetensors, or from a pickle of plain tensors; no code from the file runs.

    Tensors that a dictionary holds under ``state_dict`` or ``model`` are taken out of it.

    Args:
        path: the file's; ``.safetensors`` is read as such, all others by ``torch.load(weights_only=True)``.

    Raises:
        WeightsError: there is no such file, or it is damaged, cut short or holds more than tensors.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "weights.pth")
        ...     torch.save({"state_dict": {"bias": torch.ones(2)}}, path)
        ...     read_state_dict(path)
        {'bias': tensor([1., 1.])}
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}: give the path of a checkpoint")
    with reading(path):
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(one, torch.Tensor) for one in content.values()):
        raise WeightsError(
            f"{path} holds {type(content).__name__}, not tensors by name: save the model's state_dict()"
        )
    return dict(content)


@contextmanager
def reading(path: Path, model: str = "") -> Iterator[None]:
    """Turn what libraries raise for a damaged or foreign file into one error that names the file.

    Args:
        path: the file's path.
        model: the model that takes the weights, if a library fits them as it reads.

    Raises:
        WeightsError: something went wrong within; the message says what.
    """
    try:
        yield
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is not a file of plain tensors ({first_line(error)}): it is damaged, or would run code "
            "when loaded, which fmbseg does not allow; get it again, or convert it to safetensors if you "
            "trust it"
        ) from error
    except Exception as error:  # a damaged file can cause any error in the libraries that read it
        if "Error(s) in loading state_dict" in str(error):
            raise WeightsError(
                f"{path} is not a checkpoint of {model}: {_misfit(str(error))}; {_NAME_IT}"
            ) from error
        raise WeightsError(
            f"{path} cannot be read ({type(error).__name__}: {first_line(error)}): it is damaged, cut short "
            "or of another format; compare its size with the original and get it again"
        ) from error


def part_of(state: Mapping[str, torch.Tensor], part: str, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of one part of a model, named without that part's prefix.

    Args:
        state: tensors of the whole model by name.
        part: prefix of the names that are wanted, with its dot.
        path: where they came from, for the message.

    Raises:
        WeightsError: there is no such part.

    Example:
        >>> from pathlib import Path
        >>> list(part_of({"visual.conv": 1, "visual.norm": 2, "text": 3}, "visual.", Path("a.pth")))
        ['conv', 'norm']
    """
    found = {name.removeprefix(part): tensor for name, tensor in state.items() if name.startswith(part)}
    if not found:
        raise WeightsError(f"{path} holds no tensor whose name starts with {part!r}: {_NAME_IT}")
    return found


def fit(
    module: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    path: Path,
    model: str,
    left_out: tuple[str, ...] = (),
) -> None:
    """Load every tensor of ``state`` into ``module``; none may be missing, left over or of another shape.

    Args:
        module: takes the weights, in its own type; it may be on the meta device.
        state: tensors by name.
        path: where they came from, for the message.
        model: what ``module`` is, for the message.
        left_out: prefixes of parts that were cut off ``module``; their tensors are skipped.

    Raises:
        WeightsError: some do not fit (the message has names and shapes) or are not finite.

    Example:
        >>> from pathlib import Path
        >>> fit(torch.nn.Linear(2, 1), {"weight": torch.ones(1, 3)}, Path("a.pth"), "a line")
        Traceback (most recent call last):
        ...
        fmbseg.models.loading.errors.WeightsError: a.pth is not a checkpoint of a line: 1 missing (bias); \
1 of another shape (weight: (1, 3), not (1, 2)); name the architecture that it belongs to
    """
    expected = module.state_dict()
    wanted = {
        name: tensor for name, tensor in state.items() if name in expected or not name.startswith(left_out)
    }
    refuse_misfits(
        path,
        model,
        missing=[name for name in expected if name not in wanted],
        unknown=[name for name in wanted if name not in expected],
        reshaped=[
            f"{name}: {tuple(wanted[name].shape)}, not {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in wanted and wanted[name].shape != tensor.shape
        ],
    )
    # Assigned, not copied: nothing is held twice, and a module on the meta device also takes them.
    typed = {name: wanted[name].to(tensor.dtype) for name, tensor in expected.items()}
    module.load_state_dict(typed, assign=True)
    check_finite(module, path)


def refuse_misfits(
    path: Path, model: str, *, missing: Collection[str], unknown: Collection[str], reshaped: Collection[str]
) -> None:
    """Refuse weights whose tensors are not those of the model.

    Raises:
        WeightsError: there is such a tensor; the message names the first of each kind.
    """
    found = [
        f"{len(names)} {what}{_some(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", reshaped))
        if names
    ]
    if found:
        raise WeightsError(f"{path} is not a checkpoint of {model}: {'; '.join(found)}; {_NAME_IT}")


def check_finite(module: torch.nn.Module, where: object) -> None:
    """Refuse NaN and infinity in any parameter or buffer.

    Raises:
        WeightsError: there are such values; the message names the tensors.
    """
    wrong = [
        name
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point() and not tensor.is_meta and not bool(torch.isfinite(tensor).all())
    ]
    if wrong:
        raise WeightsError(
            f"{where}: {len(wrong)} tensors hold NaN or infinity{_some(wrong)}: fetch the file again"
        )


@contextmanager
def seeded() -> Iterator[None]:
    """Make random weights the same each time; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        yield


def _some(names: Collection[str]) -> str:
    return f" ({', '.join(list(names)[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"


def _misfit(message: str) -> str:
    """Shorten torch's list of everything that does not fit to its first lines."""
    lines = [line.strip() for line in message.splitlines()[1:] if line.strip()]
    shown = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..." for line in lines[:_SHOWN]]
    return " ".join(shown) + (f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")
