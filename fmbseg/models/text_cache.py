"""Text vectors kept on disk, so that a model reads a vocabulary's sentences once on a machine."""

from __future__ import annotations

import warnings
from hashlib import sha256
from typing import TYPE_CHECKING

from safetensors.torch import load, save

from fmbseg.checksums import seal, unseal
from fmbseg.files import DamagedFileError, cache_home, write_atomically
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
    name = sha256(repr(known).encode()).hexdigest()
    path = cache_home() / "text" / f"{name}.vectors"
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
        content = unseal(path.read_bytes(), path)
        name = path.stem.encode()
        if not content.startswith(name):
            raise DamagedFileError(f"{path} holds other vectors")
        return load(content[len(name) :])[_KEY]
    except (OSError, DamagedFileError) as error:
        warnings.warn(f"{error}; the text vectors are made again", stacklevel=4)
        return None


def _write(path: Path, vectors: torch.Tensor) -> None:
    """Write vectors with their name and a checksum."""
    content = path.stem.encode() + save({_KEY: vectors.detach().cpu().contiguous()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, seal(content))
    except OSError as error:
        warnings.warn(
            f"text vectors are not kept in {path.parent} ({error.strerror or error}): set FMBSEG_HOME to a "
            "folder with room that you may write to",
            stacklevel=4,
        )
