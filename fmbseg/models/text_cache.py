"""Text vectors kept on disk, so that a model reads a vocabulary's sentences once on a machine."""

from __future__ import annotations

import os
import threading
import warnings
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fmbseg.files import cache_home
from fmbseg.models.weight_probe import probe_text_encoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from fmbseg.models.contracts import ImageTextEncoder

_KEY = "vectors"


def cached_text(encoder: ImageTextEncoder, what: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Return what ``compute`` gives, from the cache if this very model has computed it before.

    A model is known by its spec, its device and the bits of its vector of one sentence: other weights under
    the same spec do not meet, and neither do a CPU's exact vectors and an accelerator's.

    Args:
        encoder: whose vectors they are.
        what: tells vocabularies apart, for example :attr:`fmbseg.vocabulary.Vocabulary.fingerprint`.
        compute: makes the vectors.
    """
    probe = probe_text_encoder(encoder)
    known = (encoder.spec, probe.device.type, probe.cpu().numpy().tobytes().hex(), what)
    path = cache_home() / "text" / f"{sha256(repr(known).encode()).hexdigest()}.safetensors"
    kept = _read(path)
    if kept is not None:
        return kept.to(probe.device)
    vectors = compute()
    _write(path, vectors)
    return vectors


def _read(path: Path) -> torch.Tensor | None:
    """Read vectors; ``None`` where there are none, or the file is damaged and has to be made again."""
    if not path.is_file():
        return None
    try:
        return load_file(path).get(_KEY)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"{path} is damaged ({error}) and is made again", stacklevel=4)
        return None


def _write(path: Path, vectors: torch.Tensor) -> None:
    """Write vectors under a name of its own first: a reader sees them whole or not at all."""
    part = path.with_name(f".{path.stem}-{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(save({_KEY: vectors.detach().cpu().contiguous()}))
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # it may not be there, nor its folder
            part.unlink()
        warnings.warn(f"text vectors are not kept in {path.parent} ({error}): set FMBSEG_HOME", stacklevel=4)
