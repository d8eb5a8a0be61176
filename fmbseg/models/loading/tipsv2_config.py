"""The configuration of TIPSv2 as its authors publish it, translated into the terms of transformers.

Cao et al. 2026, "TIPSv2: Advancing Vision-Language Pretraining with Enhanced Patch-Text Alignment"
(arXiv 2604.12012). The ``config.json`` of google/tipsv2-* is for the authors' own code; transformers knows
none of its keys, and takes each of these models for the smallest one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Blocks and heads of the vision transformer. The rest is in the file.
_BLOCKS_AND_HEADS = {
    "vit_base": (12, 12),
    "vit_large": (24, 16),
    "vit_so400m": (27, 16),
    "vit_giant2": (40, 24),
}


def transformers_values(values: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Translate a ``config.json`` of the authors into transformers' terms; others come back unchanged.

    Both towers have the same width and MLP ratio, which only the text tower's values state.

    Args:
        values: the file's values.
        where: where it is, for the message.

    Raises:
        WeightsError: the size is unknown, or a value is missing.

    Example:
        >>> values = {"model_type": "clip"}
        >>> transformers_values(values, "config.json")
        {'model_type': 'clip'}
    """
    if values.get("model_type") != "tipsv2" or "vision_fn" not in values:
        return dict(values)
    try:
        blocks, heads = _BLOCKS_AND_HEADS[values["vision_fn"]]
        text = {
            "vocab_size": values["vocab_size"],
            "hidden_size": values["text_hidden_size"],
            "intermediate_size": values["text_mlp_dim"],
            "num_hidden_layers": values["text_num_layers"],
            "num_attention_heads": values["text_num_heads"],
            "max_position_embeddings": values["max_len"],
        }
        vision = {
            "hidden_size": values["embed_dim"],
            "num_hidden_layers": blocks,
            "num_attention_heads": heads,
            "mlp_ratio": values["text_mlp_dim"] / values["text_hidden_size"],
            "use_swiglu_ffn": values["ffn_layer"] == "swiglu",
            "image_size": values["img_size"],
            "patch_size": values["patch_size"],
            "num_register_tokens": values["num_register_tokens"],
        }
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise WeightsError(f"{where} describes no TIPSv2 of a size that is known ({error!r})") from error
    return {"model_type": "tipsv2", "text_config": text, "vision_config": vision}
