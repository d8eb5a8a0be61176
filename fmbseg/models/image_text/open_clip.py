"""Image-text encoders of open_clip (CLIP and its kin, ViT and ResNet, SigLIP) from tags, the Hub or folders.

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
from fmbseg.models.image_text.request import ImageTextRequest
from fmbseg.models.image_text.tower_encoder import TowerEncoder
from fmbseg.models.image_text.towers import CELLS
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.loading.model_folder import LOCAL
from fmbseg.models.loading.open_clip_files import CONFIG, OpenClipFiles, find_open_clip, tokenizer_folder
from fmbseg.models.loading.weights import check_finite, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from fmbseg.models.loading.hub_files import HubOptions


def open_clip(name: str, *, hub: HubOptions | None = None, **options: Any) -> TowerEncoder:
    """Load an open_clip model.

    Args:
        name: ``ARCH/TAG`` (``ViT-L-14-quickgelu/openai``), ``hf-hub:owner/name``, ``local-dir:/path`` or
            ``ARCH@/path/of/weights``; the options may follow, as in
            ``ViT-L-14/openai?dense=sclip&crop_size=336``.
        hub: how files are looked for.
        options: ``dense``: ``maskclip`` (default), ``value``, ``sclip``, ``clearclip``, ``naclip``, or
            ``cells`` for towers that do not end in a plain transformer block. ``crop_size``: side of crops in
            pixels, to which position embeddings are resized; by default the model's own.
            ``precision`` on accelerators: ``auto`` (bf16, or fp16 on a device without; default), ``fp32``,
            ``fp16``, ``bf16``; a CPU is exact. ``revision`` of the Hub repository. For ``ARCH@FILE`` ``mean``
            and ``std`` of each RGB channel and ``interpolation`` (``bicubic``), too; the others bring their
            preprocessing.

    Raises:
        UnknownNameError: there is no such architecture, tag or variant.
        SpecError: there is no such option, or the name has no weights.
        AssetUnavailableError: files are not here and cannot be fetched.
        WeightsError: weights are damaged, of another architecture, or come without preprocessing.
        ValueError: an option's value does not fit the model.
    """
    request = ImageTextRequest.read("open_clip", name, hub, options, takes_pixels=True)
    if request.dense != CELLS:
        dense_variant(request.dense)
    files = find_open_clip(request.name, request.hub, request.pixels)
    model = _build(files, request.name)
    tower, side = open_clip_tower(model.visual, request.crop_size, request.dense)
    return TowerEncoder(
        spec=request.spec,
        dim=files.config["embed_dim"],
        crop_size=side,
        license=files.license,
        transform=files.transform,
        model=model,
        tower=tower,
        embed=_text_function(model, files, tokenizer_folder(files, request.hub)),
        precision=request.precision,
        source=request.source,
    )


def _build(files: OpenClipFiles, name: str) -> Any:
    """Make the model without weights, then load them strictly, without running any code from them."""
    import open_clip as library

    with tempfile.TemporaryDirectory() as folder, _quiet():
        # The only public way to build a model of any configuration; it looks for this file alone.
        content = {"model_cfg": dict(files.config), "preprocess_cfg": {}}
        Path(folder, CONFIG).write_text(json.dumps(content), "utf-8")
        try:
            model = library.create_model(f"{LOCAL}{folder}", load_weights=False, pretrained_text=False)
        except OSError as error:
            text = files.config.get("text_cfg", {}).get("hf_model_name")
            raise AssetUnavailableError(
                f"open_clip's {name} takes its text tower from the Hub ({text}), which cannot be had: run "
                f"where the Hub "
                f"is reached, or copy its cache ({str(error).splitlines()[0]})"
            ) from error
    assert files.weights is not None
    with reading(files.weights, f"open_clip's {name}"):
        library.load_checkpoint(model, str(files.weights), strict=True, weights_only=True)
    check_finite(model, files.weights)
    return model


def _text_function(
    model: Any, files: OpenClipFiles, folder: Path | None
) -> Callable[[Sequence[str], torch.device], torch.Tensor]:
    """Make the function that tokenises texts, cuts each to the model's length, and encodes them."""
    import open_clip as library

    text = files.config.get("text_cfg", {})
    length = text.get("context_length", library.tokenizer.DEFAULT_CONTEXT_LENGTH)
    settings = dict(text.get("tokenizer_kwargs", {}))
    if folder is None:
        tokenizer = library.SimpleTokenizer(context_length=length, **settings)
    else:
        tokenizer = library.tokenizer.HFTokenizer(
            str(folder), context_length=length, tokenizer_mode=text.get("tokenizer_mode"), **settings
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
