"""What is read of an exported decoder, and what becomes of a graph that is none of SAM's own."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from fmbseg.models.mask_generators.exported_sam import (
    ExportedDecoder,
    ExportedSam,
    NotSamsOwnError,
    agreeing,
    read_exported_sam,
)
from fmbseg.models.mask_generators.mobilesam import mobilesam
from fmbseg.models.mask_generators.onnx_sam import GraphDecoder, WeightsDecoder, onnx_sam
from tests.models.photographs import photograph

SIDE = 1024


@pytest.fixture(scope="module")
def exported(mobilesam_files: tuple[Path, Path]) -> ExportedSam:
    return read_exported_sam(mobilesam_files[1], SIDE)


class Session:
    """A session whose graph gives all four masks, computed by segment_anything's modules."""

    def __init__(self, sam: ExportedSam) -> None:
        self.sam = sam

    @torch.no_grad()
    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        prompts, decoder = self.sam
        points, labels = (torch.from_numpy(inputs[name]) for name in ("point_coords", "point_labels"))
        if labels.tolist() == [[2, 3]]:
            sparse, dense = prompts(points=None, boxes=points.flatten(1), masks=None)
        else:  # the modules pad by themselves
            sparse, dense = prompts(points=(points[:, :-1], labels[:, :-1]), boxes=None, masks=None)
        masks, ious = decoder.predict_masks(
            torch.from_numpy(inputs["image_embeddings"]), prompts.get_dense_pe(), sparse, dense
        )
        return [masks.numpy(), ious.numpy()]


def test_mobilesam_decodes_by_its_graphs_weights(mobilesam_files: tuple[Path, Path]) -> None:
    image = photograph("chelsea.png")
    generator = mobilesam()
    decoder = generator.decoder(image)
    assert isinstance(decoder, WeightsDecoder)
    graph = GraphDecoder(generator._decoder, decoder._frame, decoder._features[None].numpy())
    points = np.random.default_rng(0).uniform(0, 300, (6, 1, 2)).astype(np.float32)
    boxes = np.concatenate([points, points + 50], axis=1)[:3].reshape(3, 4)
    for ours, theirs in (
        (decoder.decode(points), graph.decode(points)),
        (decoder.decode(points.reshape(2, 3, 2)), graph.decode(points.reshape(2, 3, 2))),
        (decoder.decode(points.reshape(2, 3, 2), beside=2), graph.decode(points.reshape(2, 3, 2), beside=2)),
        (decoder.decode_boxes(boxes), graph.decode_boxes(boxes)),
    ):
        torch.testing.assert_close(ours.predicted_iou, theirs.predicted_iou, rtol=0, atol=1e-5)
        # The graph draws what the image does not cover, too.
        images = (decoder.upscale(each.logits.flatten(0, 1)) for each in (ours, theirs))
        torch.testing.assert_close(*images, rtol=1e-4, atol=1e-2)


def test_a_graph_of_four_masks_gives_its_three_candidates(exported: ExportedSam) -> None:
    session: Any = Session(exported)
    decoder = agreeing(exported, session, SIDE)
    assert isinstance(decoder, ExportedDecoder)
    assert not decoder.single
    image = decoder.lean.begin(torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert decoder.decode(image, torch.tensor([[[100.0, 200.0]]])).logits.shape == (1, 3, 256, 256)


def test_a_graph_that_computes_something_else_is_not_taken_for_its_weights(
    exported: ExportedSam, mobilesam_files: tuple[Path, Path]
) -> None:
    session: Any = Session(read_exported_sam(mobilesam_files[1], SIDE))
    session.sam.mask_decoder.output_upscaling[3].bias += 0.01
    assert agreeing(exported, session, SIDE) is None


def test_a_graph_with_other_weights_is_run_as_it_is(
    mobilesam_files: tuple[Path, Path], tmp_path: Path
) -> None:
    encoder, decoder = mobilesam_files
    graph = onnx.load(decoder)
    old, new = "mask_decoder.iou_prediction_head.layers.2.bias", "mask_decoder.another.bias"
    for one in graph.graph.initializer:
        one.name = new if one.name == old else one.name
    for node in graph.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    other = tmp_path / "other.onnx"
    onnx.save(graph, other)
    with pytest.raises(NotSamsOwnError, match=r"MaskDecoder: 2 weights differ, the first another\.bias"):
        read_exported_sam(other, SIDE)
    image = photograph("coffee.png")
    whole = onnx_sam(f"{encoder},{other}").decoder(image)
    assert isinstance(whole, GraphDecoder)
    point = np.array([[[200, 150]]], np.float32)
    images = (
        decoder.upscale(decoder.decode(point).logits[:, 0]) for decoder in (whole, mobilesam().decoder(image))
    )
    torch.testing.assert_close(*images, rtol=1e-4, atol=1e-2)
