"""MobileSAM (TinyViT encoder, SAM's mask decoder) in ONNX Runtime; its files come from npm (no hub needed).

Zhang et al. 2023, "Faster Segment Anything" (arXiv 2306.14289). On two CPU cores an image takes about a
second to encode and a prompt a twentieth of a second to decode, so the count of prompts is the cost.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fmbseg.models.assets import fetch_mobilesam
from fmbseg.models.checks import check_image
from fmbseg.models.mask_generators.sam_frame import SamFrame
from fmbseg.models.mask_generators.sam_prompter import Decoded, SamPrompter
from fmbseg.models.mask_generators.settings import EverythingSettings

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime
    from numpy.typing import NDArray

_COARSE_SIDE = 256


class MobileSam:
    """Promptable mask generator; its sessions are opened when the first image comes.

    Args:
        settings: of ``everything``.
        threads: CPU threads of each session; ONNX Runtime's own choice (every core) where ``None``.
        local_files_only: never go to the network for the files.

    Raises:
        AssetUnavailableError: the files are not here and cannot be fetched.
        ImportError: ONNX Runtime is not installed.
    """

    spec: str = "mobilesam"
    promptable: bool = True
    license: str = "Apache-2.0"

    def __init__(
        self, settings: EverythingSettings, *, threads: int | None = None, local_files_only: bool = False
    ) -> None:
        _require_onnxruntime()
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}: it must be 1 or more, or None for every core")
        self.settings = settings
        self._threads = threads
        # Looked for at once, so that a run over many images fails before its first image, not at each.
        self._encoder_path, self._decoder_path = fetch_mobilesam(local_files_only=local_files_only)

    def begin(self, image: NDArray[np.uint8]) -> SamPrompter:
        """Encode an RGB image (H, W, 3) once.

        Raises:
            ValueError: not an RGB image of uint8.
        """
        check_image(image, self.spec)
        frame = SamFrame((image.shape[0], image.shape[1]))
        (embedding,) = self._encoder.run(["output"], {"input": frame.pixels(image).numpy()})
        return SamPrompter(OnnxSamDecoder(self._decoder, frame, embedding), self.settings)

    @cached_property
    def _encoder(self) -> onnxruntime.InferenceSession:
        return self._session(self._encoder_path)

    @cached_property
    def _decoder(self) -> onnxruntime.InferenceSession:
        return self._session(self._decoder_path)

    def _session(self, path: Path) -> onnxruntime.InferenceSession:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or 0
        # Idle threads that spin between decodes take the cores from torch and from other processes: with both
        # cores busy otherwise, a decode took 0.11 s with spinning and 0.06 s without.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class OnnxSamDecoder:
    """Decoder of one image by the graph that segment_anything's ONNX export makes.

    The export returns one mask a prompt. It counts the points, padding included: up to two points it takes
    the best of SAM's three candidates, from three on the mask of SAM's single-mask token. So one foreground
    point with its padding point gives the best of three, five points with theirs the single mask.

    Args:
        session: of the graph; its batch dimension is 1.
        frame: how the image stands in SAM's frame.
        embedding: of the image, (1, 256, 64, 64).
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, frame: SamFrame, embedding: NDArray[np.float32]
    ) -> None:
        self._session = session
        self._frame = frame
        self._constant = {
            "image_embeddings": embedding,
            "mask_input": np.zeros((1, 1, _COARSE_SIDE, _COARSE_SIDE), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            # Only the graph's own full-size masks depend on it; they are not used, so they are kept small.
            "orig_im_size": np.array([1, 1], np.float32),
        }

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self._frame.size

    def decode(self, points: NDArray[np.float32]) -> Decoded:
        """Decode N prompts of P points (N, P, 2), one after another as the graph wants it; C is 1."""
        logits = torch.empty(len(points), 1, _COARSE_SIDE, _COARSE_SIDE)
        ious = torch.empty(len(points), 1)
        labels = np.append(np.ones(points.shape[1], np.float32), np.float32(-1))[None]
        for row, one in enumerate(self._frame.points(points)):
            # Where there is no box, the export wants one point (0, 0) labelled -1 as padding.
            padded = np.concatenate([one, np.zeros((1, 2), np.float32)])[None]
            prompt = {"point_coords": padded, "point_labels": labels}
            coarse, iou = self._session.run(["low_res_masks", "iou_predictions"], self._constant | prompt)
            logits[row, 0], ious[row, 0] = torch.from_numpy(coarse[0, 0]), float(iou[0, 0])
        return Decoded(logits, ious)

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Bring coarse logits (N, 256, 256) to the image, (N, H, W)."""
        return self._frame.upscale(logits)


def mobilesam(
    *,
    threads: int | None = None,
    local_files_only: bool = False,
    points_per_batch: int = 1,
    **settings: Any,
) -> MobileSam:
    """Load MobileSAM, fetching its files by npm (37 MB, once) if they are not in the cache.

    Args:
        threads: CPU threads; every core where ``None``.
        local_files_only: never go to the network for the files.
        points_per_batch: 1, for the graph takes one prompt at a time anyway, and then adaptive sampling can
            look at every mask before it spends the next point.
        settings: any other of :class:`EverythingSettings`.
    """
    options = EverythingSettings.of({"points_per_batch": points_per_batch, **settings})
    return MobileSam(options, threads=threads, local_files_only=local_files_only)


def _require_onnxruntime() -> None:
    try:
        import onnxruntime  # noqa: F401 - the question is only whether it is there
    except ImportError as error:
        raise ImportError("mobilesam needs ONNX Runtime: pip install 'fmbseg[offline]'") from error
