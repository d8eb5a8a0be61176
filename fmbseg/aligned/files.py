"""The files of a saved head: ``config.json``, ``model.safetensors`` and its card, ``README.md``."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from fmbseg.aligned.config import AlignedConfig, AlignedEncoderError
from fmbseg.checksums import read_sealed_json, sealed
from fmbseg.files import DamagedFileError, encode, telling_of_a_full_disk
from fmbseg.written import WrittenFiles, check_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE)
_KIND = "head"
LARGEST_CONFIG = 64 * 2**20  # bytes: a hundred times what a vocabulary of 20,000 classes takes
_STORED = (torch.float32, torch.float16)
_LARGEST_HEADER = 2**20  # bytes: a head of some twenty tensors takes 2,000


def write_files(
    folder: Path, config: AlignedConfig, tensors: Mapping[str, torch.Tensor], card: str = ""
) -> None:
    """Write all files; equal content gives equal bytes.

    Once all are complete, they take their names one right after the other. The config carries a checksum of
    its own and the SHA-256 of the weights, so that reading notices damage, and a save that was cut short.

    Args:
        folder: made if it does not exist; only an earlier save in it is replaced.
        config: goes to ``config.json``.
        tensors: go to ``model.safetensors``, in float16 if they lose nothing by it, else in float32.
        card: goes to ``README.md``; if empty, none is written.

    Raises:
        WouldReplaceError: somebody else's file is in the way; nothing was written.
        OSError: a file cannot be written.
    """
    weights = save({name: _smallest(tensor) for name, tensor in tensors.items()})
    about = {**config.to_dict(), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    ordered = json.loads(json.dumps(about, sort_keys=True, allow_nan=False))
    text = json.dumps(sealed(ordered), indent=2, ensure_ascii=False) + "\n"
    contents = {WEIGHTS_FILE: weights, CONFIG_FILE: encode(text)}
    if card:
        contents[CARD_FILE] = encode(card)
    with WrittenFiles(folder, _KIND) as written:
        written.check(contents)
        with ExitStack() as stack:
            for name, content in contents.items():
                temporary = stack.enter_context(written.path(name))
                with telling_of_a_full_disk(folder / name):
                    temporary.write_bytes(content)


def check_place(folder: Path) -> None:
    """Check before any work whether a head could be written to a folder.

    Raises:
        WouldReplaceError: somebody else's file is in the way, or one that was changed since it was written.
    """
    check_folder(folder, _KIND, FILES)


def read_config(folder: Path) -> tuple[AlignedConfig, str]:
    """Read and check ``config.json`` before acting on anything it says.

    Returns:
        The config and the SHA-256 that it gives for the weights.

    Raises:
        AlignedEncoderError: a file is missing, or the config is not valid.
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
        content = read_sealed_json(path)
    except DamagedFileError as error:
        raise AlignedEncoderError(f"{error}; copy or save the head's files again") from error
    try:
        return AlignedConfig.from_dict(content), str(content.get("weights_sha256"))
    except AlignedEncoderError as error:
        raise AlignedEncoderError(f"{path}: {error}") from error


def check_bytes(size: int, expected: Mapping[str, tuple[int, ...]], where: object) -> None:
    """Refuse weights larger than the config's tensors can be, before they are fetched or read.

    Args:
        size: of the file, in bytes.
        expected: shapes by name.
        where: the file's place, for the message.

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
    check_bytes(path.stat().st_size, expected, path)
    weights = path.read_bytes()
    found = hashlib.sha256(weights).hexdigest()
    if found != digest:
        raise AlignedEncoderError(
            f"{path} is not the file that {CONFIG_FILE} was saved with: its SHA-256 is {found}, not "
            f"{digest}; it was cut short or replaced: copy or save both files again"
        )
    try:
        tensors = load(weights)
    except (SafetensorError, KeyError) as error:  # the latter for a type that PyTorch does not have
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
