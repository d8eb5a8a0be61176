"""SAMs in ONNX Runtime: a pair of graphs, namely an encoder and a decoder as exported by SAM.

Kirillov et al. 2023, "Segment Anything" (arXiv 2304.02643).
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.ahead import onnx_threads
from fmbseg.missing_package import require
from fmbseg.models.checks import check_image
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.model_folder import UNKNOWN_LICENSE
from fmbseg.models.loading.spec_options import check_name
from fmbseg.models.mask_generators.candidates import Candidates, Needed
from fmbseg.models.mask_generators.exported_sam import (
    ExportedDecoder,
    GraphPrompt,
    NotSamsOwnError,
    agreeing,
    box_prompt,
    point_prompt,
    read_exported_sam,
    run_graph,
)
from fmbseg.models.mask_generators.sam_frame import SamFrame, boxes_in
from fmbseg.models.mask_generators.sam_prompter import SamPrompter
from fmbseg.models.mask_generators.settings import EverythingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

_DECODER_INPUTS = {
    "image_embeddings",
    "point_coords",
    "point_labels",
    "mask_input",
    "has_mask_input",
    "orig_im_size",
}
_DECODER_OUTPUTS = {"low_res_masks", "iou_predictions"}


class OnnxSam:
    """Promptable mask generator from two ONNX graphs; sessions are opened when the first image comes.

    Args:
        encoder: path of the encoder; its one input is the frame's normalised pixels, float32 (1, 3, S, S),
            its one output the embedding.
        decoder: path of the decoder, with the inputs and outputs of segment_anything's ONNX export.
        settings: settings of ``everything``.
        spec: ``family:name`` that recreates this model.
        license: licence of the weights.
        threads: CPU threads of each session; if ``None``, as many as cores that it may use.

    Raises:
        ValueError: ``threads`` is below 1.
        ImportError: ONNX or ONNX Runtime is not installed.
    """

    promptable: bool = True

    def __init__(
        self,
        encoder: Path,
        decoder: Path,
        settings: EverythingSettings,
        *,
        spec: str,
        license: str = UNKNOWN_LICENSE,  # noqa: A002 - the contract's word
        threads: int | None = None,
    ) -> None:
        require_onnx(spec)
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}: it must be 1 or more, or None for every core")
        self.spec, self.license, self.settings = spec, license, settings
        self._threads = threads
        self._encoder_path, self._decoder_path = encoder, decoder

    @property
    def options(self) -> dict[str, Any]:
        """The settings that differ from the defaults; with the spec they determine the masks."""
        return self.settings.changed()

    def begin(self, image: NDArray[np.uint8]) -> SamPrompter:
        """Encode an RGB image (H, W, 3) once.

        Raises:
            ValueError: it is not an RGB image of uint8.
            WeightsError: a graph is damaged or is not a SAM's.
        """
        check_image(image, self.spec)
        return SamPrompter(image, self.decoder, self.settings)

    @torch.no_grad()
    def decoder(self, image: NDArray[np.uint8]) -> GraphDecoder | WeightsDecoder:
        """Encode an image, or a crop of one, and return its decoder."""
        (given,) = self._encoder.get_inputs()
        frame = SamFrame((image.shape[0], image.shape[1]), side=given.shape[-1])
        (embedding,) = self._encoder.run(None, {given.name: frame.pixels(image).numpy()})
        if self._lean is not None:
            return WeightsDecoder(self._lean, frame, embedding)
        return GraphDecoder(self._decoder, frame, embedding)

    @cached_property
    def _encoder(self) -> onnxruntime.InferenceSession:
        session = self._session(self._encoder_path)
        shapes = [one.shape for one in session.get_inputs()]
        square = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] == 3
        if not square or not isinstance(shapes[0][3], int) or shapes[0][2] != shapes[0][3]:
            raise WeightsError(
                f"{self._encoder_path} takes {shapes}, not one input of shape (1, 3, S, S): it is not a SAM "
                f"encoder"
            )
        if len(session.get_outputs()) != 1:
            raise WeightsError(f"{self._encoder_path} has several outputs: it is not a SAM encoder")
        return session

    @cached_property
    def _lean(self) -> ExportedDecoder | None:
        """The decoder's weights outside its graph, if they give the same results as the graph."""
        side = self._encoder.get_inputs()[0].shape[-1]
        try:
            sam = read_exported_sam(self._decoder_path, side)
        except NotSamsOwnError:
            return None
        return agreeing(sam, self._decoder, side)

    @cached_property
    def _decoder(self) -> onnxruntime.InferenceSession:
        session = self._session(self._decoder_path)
        missing = (_DECODER_INPUTS - {one.name for one in session.get_inputs()}) | (
            _DECODER_OUTPUTS - {one.name for one in session.get_outputs()}
        )
        if missing:
            raise WeightsError(
                f"{self._decoder_path} has no {', '.join(sorted(missing))}: it is not a decoder as "
                f"segment_anything's export_onnx_model.py makes it; export it with that"
            )
        return session

    def _session(self, path: Path) -> onnxruntime.InferenceSession:
        import onnxruntime

        if not path.is_file():
            raise WeightsError(f"there is no file {path}: give the path of an ONNX graph")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or onnx_threads()
        # Idle threads that spin between decodes take cores away from torch and other processes: with both
        # cores otherwise busy, a decode took 0.11 s with spinning and 0.06 s without.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no base class of their own
            raise WeightsError(
                f"{path} cannot be read ({str(error).splitlines()[0]}): it is damaged, cut short or no "
                f"ONNX graph; "
                f"get it again"
            ) from error


class FramedDecoder:
    """What both decoders of an image share: where its masks and features lie in SAM's frame.

    Args:
        frame: where the image lies in SAM's frame.
        embedding: the image's embedding, (1, 256, S / 16, S / 16).
    """

    def __init__(self, frame: SamFrame, embedding: NDArray[np.float32]) -> None:
        self._frame = frame
        self._features = torch.from_numpy(embedding[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self._frame.size

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        """Resize coarse logits (N, h, w) to the image, (N, H, W)."""
        return self._frame.upscale(logits)

    def sample(self, logits: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        """Read coarse logits (N, h, w) at points (P, 2), (x, y) in pixels of the image, (N, P)."""
        return self._frame.sample(logits, points)

    def features(self, points: NDArray[np.float32]) -> torch.Tensor:
        """Read the encoder's features at points (P, 2), (x, y) in pixels of the image, (P, C)."""
        return self._frame.sample(self._features, points).T


class GraphDecoder(FramedDecoder):
    """Decoder of one image that runs the graph of segment_anything's ONNX export.

    A graph exported to return one mask per prompt counts the points, padding included: up to two points it
    takes the best of SAM's three candidates, from three points on the mask of SAM's single-mask token. So one
    foreground point with its padding point gives the best of three, five points with theirs the single mask,
    and a box, two points without padding, the best of three.
    From a graph exported to return all four masks, the three candidates are taken for any number of points.

    Args:
        session: the graph's session; its batch dimension is 1.
        frame: where the image lies in SAM's frame.
        embedding: the image's embedding, (1, 256, S / 16, S / 16).
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, frame: SamFrame, embedding: NDArray[np.float32]
    ) -> None:
        super().__init__(frame, embedding)
        self._session, self._embedding = session, embedding

    def decode(self, points: NDArray[np.float32], *, beside: int = 0, least: float = -math.inf) -> Candidates:
        """Decode N prompts of P points (N, P, 2), one after another as the graph wants it."""
        del least  # the graph draws every mask
        return self._run([point_prompt(one, beside) for one in self._frame.points(points)])

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        """Decode N prompts of a box each (N, 4), one after another as the graph wants it."""
        return self._run([box_prompt(one) for one in boxes_in(self._frame, boxes)])

    def _run(self, prompts: Sequence[GraphPrompt]) -> Candidates:
        found = [run_graph(self._session, self._embedding, *one) for one in prompts]
        # The mask of the single-mask token comes before the three.
        first = 0 if found[0].logits.shape[0] == 1 else 1
        return Candidates(
            torch.stack([one.logits[first:] for one in found]),
            torch.stack([one.predicted_iou[first:] for one in found]),
        )


class WeightsDecoder(FramedDecoder):
    """The same with the graph's weights: several prompts at once, in half the time.

    Args:
        decoder: decoder that holds the weights.
        frame: where the image lies in SAM's frame.
        embedding: the image's embedding, (1, 256, S / 16, S / 16).
    """

    def __init__(self, decoder: ExportedDecoder, frame: SamFrame, embedding: NDArray[np.float32]) -> None:
        super().__init__(frame, embedding)
        self._decoder = decoder
        self._image = decoder.lean.begin(torch.from_numpy(embedding))

    def decode(self, points: NDArray[np.float32], *, beside: int = 0, least: float = -math.inf) -> Candidates:
        """Decode N prompts of P points (N, P, 2)."""
        placed = torch.from_numpy(self._frame.points(points))
        needed = Needed(least, self._frame.covered)
        return self._decoder.decode(self._image, placed, beside=beside, needed=needed)

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        """Decode N prompts of a box each (N, 4)."""
        return self._decoder.decode_boxes(self._image, torch.from_numpy(boxes_in(self._frame, boxes)))


def onnx_sam(name: str, *, threads: int | None = None, points_per_batch: int = 1, **settings: Any) -> OnnxSam:
    """Load a pair of ONNX graphs.

    Args:
        name: ``/path/encoder.onnx,/path/decoder.onnx``.
        threads: number of CPU threads; every core if ``None``.
        points_per_batch: points decoded at once; a graph whose weights are not SAM's own still takes them
            one by one.
        settings: any other field of :class:`~fmbseg.models.mask_generators.settings.EverythingSettings`.

    Raises:
        ValueError: the name is not a pair or leads through ``..``, or a setting is outside its range.
        WeightsError: a file is missing.
        ImportError: ONNX or ONNX Runtime is not installed.
    """
    options = EverythingSettings.of({"points_per_batch": points_per_batch, **settings})
    encoder, comma, decoder = name.partition(",")
    if not comma or not encoder or not decoder:
        raise ValueError(f"'onnx-sam:{name}' is no pair: write onnx-sam:ENCODER.onnx,DECODER.onnx")
    check_name(name, f"onnx-sam:{name}")
    paths = [Path(one).expanduser() for one in (encoder, decoder)]
    for path in paths:  # right away, so that a run over many images fails before its first image
        if not path.is_file():
            raise WeightsError(f"there is no file {path}: give the path of an ONNX graph")
    return OnnxSam(paths[0], paths[1], options, spec=f"onnx-sam:{name}", threads=threads)


def require_onnx(spec: str) -> None:
    """Say how to get ONNX and ONNX Runtime where they are not installed.

    Raises:
        ImportError: one of them is missing.
    """
    for package in ("onnx", "onnxruntime"):
        require(package, "offline" if spec == "mobilesam" else "onnx", spec)
