"""SAM's prompt encoder and mask decoder, restored from the ONNX graph that segment_anything exports.

The graph decodes one prompt at a time and projects every place in the image anew for each. With its weights
back in the modules, :class:`~fmbseg.models.mask_generators.lean_decoder.LeanDecoder` decodes prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from fmbseg.models.mask_generators.candidates import EVERYTHING, Candidates, Needed
from fmbseg.models.mask_generators.lean_decoder import LeanDecoder, three_masks

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    import onnxruntime
    from numpy.typing import NDArray
    from segment_anything.modeling import MaskDecoder, PromptEncoder

    from fmbseg.models.mask_generators.lean_places import EncodedFrame

_DECODER, _PROMPTS = "mask_decoder.", "model.prompt_encoder."
_UPSCALING_NORM = "/output_upscaling/output_upscaling.1/"
_SCALE_AND_SHIFT = {"Mul": "weight", "Add": "bias"}
_CHANNELS, _STRIDE = 256, 16
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ExportedDecoder:
    """Decodes prompts as an exported graph does.

    Attributes:
        lean: decoder with the graph's weights.
        single: whether the graph chooses one mask per prompt.
    """

    lean: LeanDecoder
    single: bool

    def decode(
        self, image: EncodedFrame, points: torch.Tensor, *, beside: int = 0, needed: Needed = EVERYTHING
    ) -> Candidates:
        """Decode N prompts of P points (N, P, 2) in pixels of the frame."""
        choose = three_masks
        if self.single:
            choose = _best_of_three if points.shape[1] == 1 else _first
        return self.lean.decode(image, points, choose, beside=beside, needed=needed)

    def decode_boxes(self, image: EncodedFrame, boxes: torch.Tensor) -> Candidates:
        """Decode N prompts of a box each (N, 4) in pixels of the frame."""
        # To the graph, a box is two points without padding, so it takes the best of three.
        return self.lean.decode_boxes(image, boxes, _best_of_three if self.single else three_masks)


def _best_of_three(predicted_iou: torch.Tensor) -> torch.Tensor:
    return 1 + predicted_iou[:, 1:].argmax(dim=1, keepdim=True)


def _first(predicted_iou: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(predicted_iou), 1, dtype=torch.long, device=predicted_iou.device)


class NotSamsOwnError(ValueError):
    """The graph's weights are not those of segment_anything's prompt encoder and mask decoder."""


class ExportedSam(NamedTuple):
    """The two modules that a graph was made from."""

    prompt_encoder: PromptEncoder
    mask_decoder: MaskDecoder


def read_exported_sam(path: Path, side: int) -> ExportedSam:
    """Read the weights of an exported decoder into new modules.

    The export keeps the names of biases and embeddings. It transposes and numbers the weights of linear
    layers; the layer is in the name of the node that multiplies by them.

    Args:
        path: the graph's path.
        side: side of the frame in pixels; the embedding's is a sixteenth of it.

    Raises:
        NotSamsOwnError: the weights do not fit.
    """
    from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

    initial, nodes = _read(path)
    decoder = {name[len(_DECODER) :]: one for name, one in initial.items() if name.startswith(_DECODER)}
    prompts = {name[len(_PROMPTS) :]: one for name, one in initial.items() if name.startswith(_PROMPTS)}
    for name, kind, weight in _numbered(initial, nodes):
        if kind == "MatMul":
            decoder[f"{name.strip('/').rpartition('/')[0].replace('/', '.')}.weight"] = weight.T.contiguous()
        elif name.startswith(_UPSCALING_NORM) and kind in _SCALE_AND_SHIFT:
            decoder[f"output_upscaling.1.{_SCALE_AND_SHIFT[kind]}"] = weight.flatten()
        elif kind == "Expand" and weight.ndim == 3:  # all prompts' tokens: the scores', then the masks'
            decoder["iou_token.weight"], decoder["mask_tokens.weight"] = weight[0, :1], weight[0, 1:]
        elif weight.shape == (1, _CHANNELS, 1, 1):
            prompts["no_mask_embed.weight"] = weight.flatten()[None]
    modules = ExportedSam(
        PromptEncoder(_CHANNELS, (side // _STRIDE,) * 2, (side, side), mask_in_chans=16),
        MaskDecoder(
            transformer_dim=_CHANNELS,
            transformer=TwoWayTransformer(depth=2, embedding_dim=_CHANNELS, num_heads=8, mlp_dim=2048),
        ),
    )
    # Masks are not used as prompts, so the norms in what scales them down may keep their initial values.
    unused = {name for name in modules.prompt_encoder.state_dict() if name.startswith("mask_downscaling.")}
    prompts = {name: one for name, one in prompts.items() if name not in unused}
    for module, weights, optional in (
        (modules.prompt_encoder, prompts, unused),
        (modules.mask_decoder, decoder, set()),
    ):
        _fill(module, weights, optional, path)
        module.requires_grad_(False).train(False)
    return modules


def agreeing(sam: ExportedSam, session: onnxruntime.InferenceSession, side: int) -> ExportedDecoder | None:
    """Make a decoder from a graph's weights if it agrees with the graph on a random embedding.

    Args:
        sam: what was read from the graph.
        session: the graph's session.
        side: side of the frame in pixels.

    Returns:
        None if the graph has the weights but computes something else with them.
    """
    random = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, _CHANNELS, side // _STRIDE, side // _STRIDE, generator=random) / 8
    one, three, box = (torch.rand(1, count, 2, generator=random) * side for count in (1, 3, 2))
    graphs = [
        run_graph(session, embedding.numpy(), *prompt)
        for prompt in (point_prompt(one[0].numpy()), point_prompt(three[0].numpy()), box_prompt(box.numpy()))
    ]
    decoder = ExportedDecoder(LeanDecoder(*sam), single=len(graphs[0].logits) == 1)
    image = decoder.lean.begin(embedding)
    found = [
        decoder.decode(image, one),
        decoder.decode(image, three),
        decoder.decode_boxes(image, box.flatten(1)),
    ]
    alike = (
        torch.allclose(mine[0], theirs, rtol=_TOLERANCE, atol=_TOLERANCE * float(theirs.abs().mean()))
        for ours, graph in zip(found, graphs, strict=True)
        for mine, theirs in zip(ours, (part[-ours.logits.shape[1] :] for part in graph), strict=True)
    )
    return decoder if all(alike) else None


class GraphPrompt(NamedTuple):
    """A prompt as the graph takes it.

    Attributes:
        coordinates: (P, 2), (x, y) in pixels of the frame.
        labels: (P,) the kind of each point.
    """

    coordinates: NDArray[np.float32]
    labels: NDArray[np.float32]


def point_prompt(points: NDArray[np.float32], beside: int = 0) -> GraphPrompt:
    """Points (P, 2), of which the last ``beside`` are not on the thing.

    Without a box, the export wants (0, 0) labelled -1 as padding.
    """
    labels = np.append(np.ones(len(points), np.float32), np.float32(-1))
    labels[len(points) - beside : -1] = 0
    return GraphPrompt(np.concatenate([points, np.zeros((1, 2), np.float32)]), labels)


def box_prompt(box: NDArray[np.float32]) -> GraphPrompt:
    """A box (4,) as its upper left and lower right corners, labelled 2 and 3."""
    return GraphPrompt(box.reshape(2, 2), np.array([2, 3], np.float32))


def run_graph(
    session: onnxruntime.InferenceSession,
    embedding: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    labels: NDArray[np.float32],
) -> Candidates:
    """Decode one prompt with the graph: its masks (C, h, w), one or four, and their predicted IoUs (C,).

    Args:
        session: the graph's session.
        embedding: the image's embedding, (1, 256, h, w).
        coordinates: those of a :class:`GraphPrompt`.
        labels: those of a :class:`GraphPrompt`.
    """
    coarse = 4 * embedding.shape[2]
    logits, predicted_iou = session.run(
        ["low_res_masks", "iou_predictions"],
        {
            "image_embeddings": embedding,
            "point_coords": coordinates[None],
            "point_labels": labels[None],
            "mask_input": np.zeros((1, 1, coarse, coarse), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            # Only the graph's own full-size masks depend on this; they are not used, so they are kept small.
            "orig_im_size": np.array([1, 1], np.float32),
        },
    )
    return Candidates(torch.from_numpy(logits[0]), torch.from_numpy(predicted_iou[0]))


def _read(path: Path) -> tuple[dict[str, torch.Tensor], list[onnx.NodeProto]]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    initial = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    return initial, list(graph.node)


def _numbered(
    initial: dict[str, torch.Tensor], nodes: list[onnx.NodeProto]
) -> list[tuple[str, str, torch.Tensor]]:
    """Weights that the export numbered, each with the name and the kind of the node that takes it."""
    return [
        (node.name, node.op_type, initial[name])
        for node in nodes
        for name in node.input
        if name in initial and name.startswith("onnx::")
    ]


def _fill(module: torch.nn.Module, weights: dict[str, torch.Tensor], optional: set[str], path: Path) -> None:
    wanted = {name: one.shape for name, one in module.state_dict().items() if name not in optional}
    found = {name: one.shape for name, one in weights.items()}
    if wanted != found:
        odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise NotSamsOwnError(
            f"{path} is not an export of segment_anything's {type(module).__name__}: {len(odd)} weights "
            f"differ, the first {odd[0]}"
        )
    module.load_state_dict(weights, strict=False)
