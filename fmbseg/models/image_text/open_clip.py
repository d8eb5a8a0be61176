"""Image-text encoders of open_clip: CLIP and its kin, ViT and ResNet, SigLIP, from tags, the Hub or folders.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision" (arXiv
2103.00020); Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343).
"""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.models.image_text.dense_variants import dense_variant
from fmbseg.models.image_text.open_clip_towers import open_clip_tower
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.image_text.towers import CELLS
from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.model_folder import LOCAL
from fmbseg.models.loading.open_clip_files import CONFIG, OpenClipFiles, find_open_clip
from fmbseg.models.loading.precision import check_precision
from fmbseg.models.loading.spec_options import join_options, split_options
from fmbseg.models.loading.weights import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from fmbseg.models.loading.precision import Precision

_OPTIONS = ("dense", "crop_size", "precision", "revision")


def open_clip(
    name: str,
    *,
    dense: str | None = None,
    crop_size: int | str | None = None,
    precision: Precision | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> TowerEncoder:
    """Load an open_clip model.

    Args:
        name: ``ARCH/TAG`` (``ViT-L-14-quickgelu/openai``), ``hf-hub:owner/name``, ``local-dir:/path`` or
            ``ARCH@/path/of/weights``; ``dense``, ``crop_size``, ``precision`` and ``revision`` may stand
            behind it, as in ``ViT-L-14/openai?dense=sclip&crop_size=336``.
        dense: ``maskclip`` (default), ``value``, ``sclip``, ``clearclip``, ``naclip``; ``cells`` for towers
            that do not end in a plain transformer block.
        crop_size: side in pixels of crops, to which position embeddings are resized; the model's own if
            ``None``.
        precision: on accelerators: ``auto`` (fp16; default), ``fp32``, ``fp16``, ``bf16``. A CPU is exact.
        mean: of each RGB channel, for ``ARCH@FILE`` only; the others bring their preprocessing.
        std: likewise.
        interpolation: likewise; ``bicubic`` where ``None``.
        revision: of the Hub repository.
        cache_dir: of the Hub's files.
        local_files_only: never use the network.
        token: for gated repositories.

    Raises:
        UnknownNameError: no such architecture, tag or variant.
        SpecError: no such option of a spec.
        AssetUnavailableError: files are neither here nor to be had.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        ValueError: an option's value does not fit the model.
    """
    bare, written = split_options(name, _OPTIONS, family="open_clip")
    dense = dense or written.get("dense", "maskclip")
    computed = check_precision(precision or written.get("precision", "auto"))
    if dense != CELLS:
        dense_variant(dense)
    asked = crop_size if crop_size is not None else written.get("crop_size")
    hub = HubOptions(revision or written.get("revision"), cache_dir, local_files_only, token)
    files = find_open_clip(bare, hub, {"mean": mean, "std": std, "interpolation": interpolation})
    model = _build(files, bare)
    tower, side = open_clip_tower(model.visual, asked, dense)
    shown = {
        "dense": dense if dense != "maskclip" else None,
        "crop_size": asked,
        "precision": computed if computed != "auto" else None,
        "revision": hub.revision,
    }
    return TowerEncoder(
        spec=join_options(f"open_clip:{bare}", shown),
        dim=files.config["embed_dim"],
        crop_size=side,
        license=files.license,
        transform=files.transform,
        model=model,
        tower=tower,
        embed=_text_function(model, files),
        precision=computed,
    )


def _build(files: OpenClipFiles, name: str) -> Any:
    """Make the model without weights, then load them strictly, with no code of theirs run."""
    import open_clip as library

    with tempfile.TemporaryDirectory() as folder, _quiet():
        # The one public way to a model of any configuration; nothing is looked for but this file.
        content = {"model_cfg": dict(files.config), "preprocess_cfg": {}}
        Path(folder, CONFIG).write_text(json.dumps(content), "utf-8")
        try:
            model = library.create_model(f"{LOCAL}{folder}", load_weights=False, pretrained_text=False)
        except OSError as error:
            text = files.config.get("text_cfg", {}).get("hf_model_name")
            raise AssetUnavailableError(
                f"open_clip's {name} takes its text tower from the Hub ({text}), which cannot be had: run "
                f"where the "
                f"Hub is reached, or copy its cache ({str(error).splitlines()[0]})"
            ) from error
    if not files.weights.is_file():
        raise WeightsError(f"there is no file {files.weights}: give the path of a checkpoint")
    with reading(files.weights, f"open_clip's {name}"):
        library.load_checkpoint(model, str(files.weights), strict=True, weights_only=True)
    return model


def _text_function(model: Any, files: OpenClipFiles) -> Callable[[Sequence[str], torch.device], torch.Tensor]:
    """Make what tokenises texts, each cut to the model's length, and encodes them."""
    import open_clip as library

    text = files.config.get("text_cfg", {})
    length = text.get("context_length", library.tokenizer.DEFAULT_CONTEXT_LENGTH)
    settings = dict(text.get("tokenizer_kwargs", {}))
    if files.tokenizer is None:
        tokenizer = library.SimpleTokenizer(context_length=length, **settings)
    else:
        tokenizer = library.tokenizer.HFTokenizer(
            str(files.tokenizer), context_length=length, tokenizer_mode=text.get("tokenizer_mode"), **settings
        )

    def embed(texts: Sequence[str], device: torch.device) -> torch.Tensor:
        vectors: torch.Tensor = model.encode_text(tokenizer(list(texts)).to(device))
        return vectors

    return embed


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from warning, on the root logger, that the weights are not loaded yet."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
