"""Models of transformers from a folder: configuration, weights fitted strictly, none of their code run."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fmbseg.missing_package import MissingPackageError
from fmbseg.models.loading.errors import WeightsError, first_line
from fmbseg.models.loading.model_folder import check_parts, find_weights, model_folder, read_object
from fmbseg.models.loading.preprocessing import stated_transform
from fmbseg.models.loading.weights import check_finite, reading, refuse_misfits
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fmbseg.models.loading.hub_files import HubOptions

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers

UNNORMALISED = PixelTransform(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), interpolation="bilinear")
"""For models that take pixels from 0 to 1 as they are; their repositories need not state that."""

# What a checkpoint may hold besides the part that is built: other towers, decoders, heads, poolers, tables.
_NOT_BUILT = re.compile(
    r"(^|\.)(text_model|text_encoder|temperature|text_projection|visual_projection|logit_scale|logit_bias|decoder|classifier|lm_head|"
    r"cls_classifier|distillation_classifier|mask_decoder|prompt_encoder|shared_image_embedding|pooler|"
    r"position_ids|relative_position_index)(\.|$)"
)


def transformers_folder(name: str, options: HubOptions, *, alternative: str = "", licence: str = "") -> Path:
    """Return the folder of a model named ``owner/name`` or ``local-dir:/path``.

    Args:
        name: the model's name.
        options: how to look for it on the Hub.
        alternative: for a gated repository, the spec of a model that anyone may use instead.
        licence: for a repository known to be gated, the name of its licence.

    Raises:
        AssetUnavailableError: the files are not here and cannot be fetched.
    """
    return model_folder(name, WEIGHTS, options, needed=(CONFIG,), alternative=alternative, licence=licence)


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model's ``config.json``; the authors' own for TIPSv2 is translated into transformers' terms.

    Raises:
        AssetUnavailableError: there is no such file.
        WeightsError: it is damaged.
    """
    return transformers_values(read_object(folder / CONFIG), folder / CONFIG)


def class_of(name: str) -> Any:
    """Return a class of transformers by its name.

    Raises:
        MissingPackageError: the installed version does not have it yet.
    """
    import transformers

    try:
        return getattr(transformers, name)
    except AttributeError as error:
        raise MissingPackageError(
            f"transformers {transformers.__version__} has no {name}: pip install --upgrade transformers"
        ) from error


def load_transformer(model_class: Any, folder: Path, **arguments: Any) -> Any:
    """Make a model of transformers with the weights from a folder; every tensor must be there and fit.

    Args:
        model_class: class with ``from_pretrained``.
        folder: folder with ``config.json`` and weights.
        arguments: the model's arguments, for example its configuration if that is a part of the folder's.

    Raises:
        WeightsError: weights are damaged, not finite, partly missing or of another architecture.
    """
    weights = find_weights(folder, WEIGHTS)
    check_parts(weights)
    with reading(weights, model_class.__name__), _quiet():
        model, report = model_class.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are reported here with all other misfits
            dtype="float32",
            **arguments,
        )
    refuse_misfits(
        weights,
        f"{model_class.__name__} as {folder / CONFIG} describes it",
        missing=sorted(report["missing_keys"]),
        unknown=sorted(key for key in report["unexpected_keys"] if not _NOT_BUILT.search(key)),
        reshaped=sorted(map(str, report["mismatched_keys"])),
    )
    check_finite(model, weights)
    return model.eval()


def configuration(model_type: str, values: Mapping[str, Any], where: object) -> Any:
    """Make a configuration of transformers from a ``config.json``; no code that it names is run.

    Args:
        model_type: one that transformers knows.
        values: the file's values.
        where: where it comes from, for the message.

    Raises:
        WeightsError: a value has a type or range that the model's configuration does not take.
    """
    from transformers import AutoConfig

    known = {key: value for key, value in values.items() if key not in ("model_type", "auto_map")}
    try:
        return AutoConfig.for_model(model_type, **known)
    except Exception as error:  # each model's configuration refuses values with errors of its own
        raise WeightsError(
            f"{where} is not a configuration of a {model_type} ({first_line(error)}): get it again"
        ) from error


def pixel_transform(folder: Path, unstated: PixelTransform | None = None) -> PixelTransform:
    """Read the preprocessing that travels with a model of transformers.

    Args:
        folder: the model's folder.
        unstated: the preprocessing if the folder states none, for a model that has only one.

    Raises:
        AssetUnavailableError: the folder has no preprocessor_config.json.
        WeightsError: it states no mean or std, or an unknown interpolation.
    """
    path = folder / PREPROCESSOR
    if not path.is_file() and (folder / PROCESSOR).is_file():  # newer ones have a single file
        path = folder / PROCESSOR
    if unstated is not None and not path.is_file():
        return unstated
    stated = read_object(path)
    if isinstance(part := stated.get("image_processor"), dict):
        stated = part
    if stated.get("do_normalize") is False:  # mean and std are then the class's, and not used
        stated |= {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    mean, std, resample = (stated.get(key) for key in ("image_mean", "image_std", "resample"))
    return stated_transform(
        mean,
        std,
        _INTERPOLATIONS.get(resample) if isinstance(resample, int) else None,
        f"{path} states image_mean {mean!r}, image_std {std!r}, resample {resample!r}",
        "three numbers, three numbers and 2 (bilinear) or 3 (bicubic) are needed; get the model's own",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bars and warnings: what it would warn of is refused here."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    restore = disable_progress_bars if are_progress_bars_disabled() else enable_progress_bars
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        restore()  # transformers switches the bars of the Hub's client as well


# Blocks and heads of TIPSv2's vision transformer. The rest is in its file.
_BLOCKS_AND_HEADS = {
    "vit_base": (12, 12),
    "vit_large": (24, 16),
    "vit_so400m": (27, 16),
    "vit_giant2": (40, 24),
}


def transformers_values(values: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Translate the ``config.json`` of TIPSv2's authors into transformers' terms; others come back unchanged.

    Cao et al. 2026, "TIPSv2: Advancing Vision-Language Pretraining with Enhanced Patch-Text Alignment" (arXiv
    2604.12012). The file of google/tipsv2-* is for the authors' own code; transformers knows none of its
    keys, and takes each of these models for the smallest one. Both towers have the same width and MLP ratio,
    which only the text tower's values state.

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
