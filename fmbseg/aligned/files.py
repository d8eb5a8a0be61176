"""The files of a saved head: ``config.json``, ``model.safetensors`` and its card, ``README.md``."""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from fmbseg.aligned.config import AlignedConfig, AlignedEncoderError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
LARGEST_CONFIG = 64 * 2**20  # bytes: a hundred times that of a vocabulary of 20,000 classes
_STORED = (torch.float32, torch.float16)
_LARGEST_HEADER = 2**20  # bytes: that of a head of some twenty tensors takes 2,000


def write_files(
    folder: Path, config: AlignedConfig, tensors: Mapping[str, torch.Tensor], card: str = ""
) -> None:
    """Write all files; equal content gives equal bytes.

    Each is written under another name and renamed when complete, and the config holds the SHA-256 of the
    weights, so that a save that was cut short is noticed when it is read.

    Args:
        folder: made if it does not exist.
        config: goes to ``config.json``.
        tensors: go to ``model.safetensors``: in float16 those that lose nothing by it, else in float32.
        card: goes to ``README.md``; none is written where it is empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: _smallest(tensor) for name, tensor in tensors.items()})
    content = {**config.to_dict(), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    _replace(folder / WEIGHTS_FILE, weights)
    _replace(folder / CONFIG_FILE, (text + "\n").encode())
    if card:
        _replace(folder / CARD_FILE, card.encode())


def read_config(folder: Path) -> tuple[AlignedConfig, str]:
    """Read and check ``config.json``, before anything that it says is acted upon.

    Returns:
        The config and the SHA-256 that it gives for the weights.

    Raises:
        AlignedEncoderError: a file is missing, or the config is not one.
    """
    if not folder.exists():
        raise AlignedEncoderError(
            f"there is no folder {folder}: a head is a folder that save_pretrained (`fmbseg fit`) wrote, "
            "owner/name on the Hub, or one that comes with the package, by its name"
        )
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise AlignedEncoderError(
                f"{folder} holds no aligned encoder: {name} is missing; "
                f"it takes {CONFIG_FILE} and {WEIGHTS_FILE}, as save_pretrained writes them"
            )
    return parse_config(folder / CONFIG_FILE)


def parse_config(path: Path) -> tuple[AlignedConfig, str]:
    """Read and check one ``config.json`` (see :func:`read_config`)."""
    if path.stat().st_size > LARGEST_CONFIG:
        raise AlignedEncoderError(
            f"{path} has {path.stat().st_size} bytes, more than any head's config: it is refused unread"
        )
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return AlignedConfig.from_dict(content), str(content.get("weights_sha256"))
    except (
        ValueError,
        RecursionError,
    ) as error:  # JSON, Unicode, brackets in brackets, the config's own checks
        raise AlignedEncoderError(f"{path}: {error}") from error


def check_size(size: int, expected: Mapping[str, tuple[int, ...]], where: object) -> None:
    """Refuse weights that are larger than the config's tensors can be, before they are fetched or read.

    Args:
        size: of the file, in bytes.
        expected: shapes by name.
        where: the file is, for the message.

    Raises:
        AlignedEncoderError: it is too large.
    """
    largest = 4 * sum(math.prod(shape) for shape in expected.values()) + _LARGEST_HEADER
    if size > largest:
        raise AlignedEncoderError(
            f"{where} has {size} bytes, but the tensors that {CONFIG_FILE} describes take {largest} at most: "
            f"it is not this head's file, and is refused unread"
        )


def read_tensors(
    folder: Path, digest: str, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, torch.Tensor]:
    """Read and check ``model.safetensors``.

    Args:
        folder: that :func:`write_files` wrote.
        digest: SHA-256 that the config gives for the file.
        expected: shapes by name, as the config makes them.

    Raises:
        AlignedEncoderError: it is damaged, larger than it can be or from another save, or a tensor is
            missing, unknown, of another shape or type, or not finite.
    """
    path = folder / WEIGHTS_FILE
    check_size(path.stat().st_size, expected, path)
    weights = path.read_bytes()
    found = hashlib.sha256(weights).hexdigest()
    if found != digest:
        raise AlignedEncoderError(
            f"{path} is not the file that {CONFIG_FILE} was saved with: its SHA-256 is {found}, not "
            f"{digest}; it was cut short or replaced: copy or save both files again"
        )
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise AlignedEncoderError(f"{path} is not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _STORED or not bool(torch.isfinite(tensor).all()):
            raise AlignedEncoderError(
                f"{path}: tensor {name!r} ({tensor.dtype}) must be float32 or float16 without NaN or infinity"
            )
    _check_shapes(tensors, expected, path)
    return {name: tensor.float() for name, tensor in tensors.items()}


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names and values of tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _smallest(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float16 if that has the same values, else in float32."""
    whole = tensor.detach().float().cpu().contiguous()
    half = whole.half()
    return half if torch.equal(half.float(), whole) else whole


def _check_shapes(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, tuple[int, ...]], where: Path
) -> None:
    """Refuse missing and surplus tensors and other shapes than ``expected``."""
    missing, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or surplus:
        raise AlignedEncoderError(
            f"{where}: tensors missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(surplus) or 'none'}"
        )
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise AlignedEncoderError(
                f"{where}: tensor {name!r} has shape {tuple(tensors[name].shape)}, "
                f"but {CONFIG_FILE} makes it {shape}"
            )


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
