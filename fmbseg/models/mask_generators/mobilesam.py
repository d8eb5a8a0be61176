"""MobileSAM (TinyViT encoder, SAM's mask decoder) in ONNX Runtime; its files come from npm (no hub needed).

Zhang et al. 2023, "Faster Segment Anything" (arXiv 2306.14289). On two CPU cores an image takes about a
second to encode and a prompt a twentieth of a second to decode, so the number of prompts is the cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.models.loading.assets import fetch_mobilesam
from fmbseg.models.mask_generators.onnx_sam import OnnxSam, require_onnx
from fmbseg.models.mask_generators.settings import EverythingSettings

if TYPE_CHECKING:
    from fmbseg.models.loading.hub_files import HubOptions


def mobilesam(
    *,
    threads: int | None = None,
    hub: HubOptions | None = None,
    points_per_batch: int = 1,
    **settings: Any,
) -> OnnxSam:
    """Load MobileSAM, fetching its files by npm (37 MB, once) if they are not in the cache.

    Args:
        threads: number of CPU threads; every core if ``None``.
        hub: with ``local_files_only`` the files are never fetched.
        points_per_batch: points decoded at once. With 1, samplers that choose points can look at every mask
            before they spend the next point; with a few at once, each takes less time.
        settings: any other field of :class:`EverythingSettings`.

    Raises:
        AssetUnavailableError: the files are not here and cannot be fetched.
        ImportError: ONNX or ONNX Runtime is not installed.
        ValueError: a setting is outside its range.
    """
    options = EverythingSettings.of({"points_per_batch": points_per_batch, **settings})
    require_onnx("mobilesam")
    # Looked for right away, so that a run over many images fails before its first image, not at each.
    encoder, decoder = fetch_mobilesam(local_files_only=hub is not None and hub.local_files_only)
    return OnnxSam(encoder, decoder, options, spec="mobilesam", license="Apache-2.0", threads=threads)
