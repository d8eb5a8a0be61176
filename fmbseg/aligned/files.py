"""The two files of a saved aligned encoder: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from fmbseg.aligned.config import AlignedConfig, AlignedEncoderError
from fmbseg.models.hub_files import HubOptions, hub_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def find_saved(source: str | Path) -> Path:
    """The folder of a saved aligned encoder: ``source`` itself, or a Hub repository's files.

    A text ``owner/name`` means the Hub only where no such folder is on this machine.

    Raises:
        AssetUnavailableError: the repository's files are neither in the cache nor to be had.
    """
    folder = Path(source)
    if isinstance(source, str) and not folder.exists() and _REPOSITORY.fullmatch(source):
        return hub_folder(source, [CONFIG_FILE, WEIGHTS_FILE], HubOptions())
    return folder


def write_files(folder: Path, config: AlignedConfig, tensors: dict[str, torch.Tensor]) -> None:
    """Write both files; equal content gives equal bytes.

    Each is written under another name and renamed when complete, and the config holds the SHA-256 of the
    weights, so that a save that was cut short is noticed when it is read.

    Args:
        folder: made if it does not exist.
        config: goes to ``config.json``.
        tensors: go to ``model.safetensors``, in float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()})
    content = {**config.to_dict(), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    _replace(folder / WEIGHTS_FILE, weights)
    _replace(folder / CONFIG_FILE, (text + "\n").encode())


def read_files(folder: Path) -> tuple[AlignedConfig, dict[str, torch.Tensor]]:
    """Read and check both files.

    Args:
        folder: that :func:`write_files` wrote.

    Raises:
        AlignedEncoderError: a file is missing, damaged or from another save, or a tensor is not finite.
    """
    config_path, weights_path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    for path in (config_path, weights_path):
        if not path.is_file():
            raise AlignedEncoderError(
                f"{folder} holds no aligned encoder: {path.name} is missing; "
                f"it takes {CONFIG_FILE} and {WEIGHTS_FILE}, as save_pretrained writes them"
            )
    try:
        content = json.loads(config_path.read_text(encoding="utf-8"))
        config = AlignedConfig.from_dict(content)
    except ValueError as error:  # JSON, Unicode and the config's own checks
        raise AlignedEncoderError(f"{config_path}: {error}") from error

    weights = weights_path.read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    if digest != content.get("weights_sha256"):
        raise AlignedEncoderError(
            f"{weights_path} is not the file that {CONFIG_FILE} was saved with: its SHA-256 is {digest}, not "
            f"{content.get('weights_sha256')}; it was cut short or replaced: copy or save both files again"
        )
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise AlignedEncoderError(f"{weights_path} is not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            raise AlignedEncoderError(
                f"{weights_path}: tensor {name!r} ({tensor.dtype}) must be float32 without NaN or infinity"
            )
    return config, tensors


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names and values of tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_shapes(tensors: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], where: Path) -> None:
    """Refuse missing and surplus tensors and other shapes than ``expected``.

    Raises:
        AlignedEncoderError: names the first tensor that does not fit, with both shapes.
    """
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
