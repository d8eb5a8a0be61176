"""From a vocabulary to unit vectors, one for each class; those of long vocabularies are cached on disk."""

from __future__ import annotations

import warnings
from hashlib import sha256
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
from safetensors.torch import load, save

from fmbseg.checksums import seal, unseal
from fmbseg.files import DamagedFileError, cache_home, write_atomically
from fmbseg.models.weight_probe import probe_text_encoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.vocabulary import Vocabulary

_KEY = "vectors"
_WORTH_KEEPING = 64
"""From this many sentences on, a cache on disk is quicker than the model."""


def embed_vocabulary(encoder: ImageTextEncoder, vocabulary: Vocabulary) -> torch.Tensor:
    """Embed every class as the mean of the unit vectors of its texts, brought back to unit length.

    The texts of a class are all its words in all templates; aliases and templates have equal weight.
    Vectors of long vocabularies are cached on disk, for each vocabulary and model.

    Args:
        encoder: model whose text space is used.
        vocabulary: K classes.

    Returns:
        Prototypes (K, D) in float32, in the order of ``vocabulary.names``.
    """
    sentences = vocabulary.texts()

    def compute() -> torch.Tensor:
        vectors = encoder.encode_text([text for _, text in sentences]).float()
        classes = torch.tensor([index for index, _ in sentences], device=vectors.device)
        sums = vectors.new_zeros(len(vocabulary), vectors.shape[1]).index_add(0, classes, vectors)
        return F.normalize(sums, dim=-1)  # the mean differs from the sum only by a factor

    if len(sentences) < _WORTH_KEEPING:
        return compute()
    return _cached(encoder, f"classes {vocabulary.fingerprint}", compute)


def _cached(encoder: ImageTextEncoder, what: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    return cached_vectors((encoder.spec, what), probe_text_encoder(encoder), compute)


def cached_vectors(
    what: tuple[str, str], probe: torch.Tensor, compute: Callable[[], torch.Tensor]
) -> torch.Tensor:
    """Return what ``compute`` gives, from the cache if this same model has computed it before.

    A model is known by its spec, its device and the bits of its vector for one sentence: other weights under
    the same spec are kept apart, as are a CPU's exact vectors and an accelerator's.

    Args:
        what: the model's spec, and what is computed with it.
        probe: the model's vector for one sentence, on its device.
        compute: makes the vectors, on that device.
    """
    spec, vectors_of = what
    known = (spec, probe.device.type, probe.cpu().numpy().tobytes().hex(), vectors_of)
    name = sha256(repr(known).encode()).hexdigest()
    path = cache_home() / "text" / f"{name}.vectors"
    kept = _read(path)
    if kept is not None:
        return kept.to(probe.device)
    vectors = compute()
    _write(path, vectors)
    return vectors


def _read(path: Path) -> torch.Tensor | None:
    """Read vectors; ``None`` if there are none, or if the file is damaged and must be made again."""
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
