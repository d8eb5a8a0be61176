"""Weights of transformers' models: read from a folder, refused where they do not fit."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fmbseg.models.backbones.weights import WeightsError, check_finite, refuse_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from torch import nn

    from fmbseg.models.backbones.hf_kinds import Kind

# What a checkpoint may hold beside its vision encoder: other towers, decoders, heads, poolers.
_NOT_THE_ENCODER = re.compile(
    r"(^|\.)(text_model|text_projection|visual_projection|logit_scale|logit_bias|decoder|classifier|lm_head|"
    r"cls_classifier|distillation_classifier|mask_decoder|prompt_encoder|shared_image_embedding|pooler|"
    r"position_ids|relative_position_index)(\.|$)"
)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no warnings of transformers: what it would warn of is refused here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_model(kind: Kind, config: Any, folder: Path) -> nn.Module:
    """Load a model of transformers without network and without remote code.

    Args:
        kind: of model.
        config: of the vision model.
        folder: with safetensors, or with ``pytorch_model.bin`` (read by ``torch.load(weights_only=True)``).

    Raises:
        WeightsError: files that are damaged, tensors missing or unknown or of another shape, NaN.
    """
    import transformers
    from safetensors import SafetensorError

    try:
        with _quiet():
            model, info = getattr(transformers, kind.model).from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype="float32",
                **kind.arguments,
            )
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{folder}: {str(error).splitlines()[0]}") from error
    unknown = [key for key in info["unexpected_keys"] if not _NOT_THE_ENCODER.search(key)]
    refuse_keys(list(info["missing_keys"]), unknown, folder)
    if info["mismatched_keys"]:
        shown = "; ".join(map(str, list(info["mismatched_keys"])[:3]))
        raise WeightsError(f"{folder}: tensors of another shape than its config says: {shown}")
    check_finite(model, folder)
    loaded: nn.Module = model.eval()
    return loaded
