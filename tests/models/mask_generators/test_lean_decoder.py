"""The lean decoder against ``segment_anything``'s own, with equal random weights."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import MaskDecoder

from fmbseg.models.mask_generators import lean_decoder
from fmbseg.models.mask_generators.candidates import Needed
from fmbseg.models.mask_generators.lean_decoder import LeanDecoder
from fmbseg.models.mask_generators.lean_places import together
from fmbseg.models.mask_generators.sam_frame import SamFrame

if TYPE_CHECKING:
    from fmbseg.models.mask_generators.candidates import Candidates


@pytest.fixture(scope="module")
def sam() -> Any:
    """The prompt encoder and decoder that all three sizes share; the encoder is as small as can be."""
    torch.manual_seed(0)
    module = _build_sam(
        encoder_embed_dim=8, encoder_depth=1, encoder_num_heads=1, encoder_global_attn_indexes=[0]
    ).eval()
    for parameter in module.mask_decoder.parameters():
        parameter.data *= 2  # so that attention is far from even
        parameter.data += 0.05 * torch.randn_like(parameter)  # biases, too, and scales of norms
    return module


def reference(
    sam: Any, embedding: torch.Tensor, points: torch.Tensor, *, boxes: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.ones(points.shape[:2], dtype=torch.int)
    if boxes:
        sparse, dense = sam.prompt_encoder(points=None, boxes=points.flatten(1), masks=None)
    else:
        sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
    masks, iou = sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
    return masks, iou


def decode(sam: Any, embedding: torch.Tensor, points: torch.Tensor, *, boxes: bool = False) -> Candidates:
    lean = LeanDecoder(sam.prompt_encoder, sam.mask_decoder)
    if boxes:
        return lean.decode_boxes(lean.begin(embedding), points.flatten(1))
    return lean.decode(lean.begin(embedding), points)


class Doubled:
    """A prompt encoder whose results are of double precision; it computes in single itself."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.no_mask_embed = encoder.no_mask_embed

    def __call__(self, **prompts: Any) -> tuple[torch.Tensor, torch.Tensor]:
        sparse, dense = self._encoder(**prompts)
        return sparse.double(), dense.double()

    def get_dense_pe(self) -> torch.Tensor:
        positions: torch.Tensor = self._encoder.get_dense_pe()
        return positions.double()


@pytest.mark.parametrize(
    ("prompts", "points", "boxes"), [(1, 1, False), (3, 5, False), (6, 1, False), (2, 2, True)]
)
def test_masks_and_scores_are_those_of_the_module(
    sam: Any, prompts: int, points: int, boxes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_decoder, "_PROMPTS_AT_ONCE_ON_CPU", 4)
    exact = SimpleNamespace(
        prompt_encoder=Doubled(sam.prompt_encoder), mask_decoder=copy.deepcopy(sam.mask_decoder).double()
    )
    random = torch.Generator().manual_seed(prompts)
    embedding = torch.randn(1, 256, 64, 64, generator=random, dtype=torch.float64)
    places = 1024 * torch.rand(prompts, points, 2, generator=random)
    with torch.no_grad():
        masks, iou = reference(exact, embedding, places, boxes=boxes)
        found = decode(exact, embedding, places, boxes=boxes)
        single = decode(sam, embedding.float(), places, boxes=boxes)
    assert masks.flatten(2).std(dim=2).min() > 0.1
    assert iou.std() > 0.05
    torch.testing.assert_close(found.logits, masks, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.predicted_iou, iou, rtol=1e-9, atol=1e-9)
    assert ((single.logits > 0) == (masks > 0)).float().mean() > 0.9999
    torch.testing.assert_close(single.predicted_iou.double(), iou, rtol=1e-4, atol=1e-4)


def test_another_class_of_decoder_decodes_by_itself(sam: Any) -> None:
    class Another(MaskDecoder):  # type: ignore[misc]
        pass

    assert LeanDecoder.knows(sam.mask_decoder)
    other = copy.copy(sam.mask_decoder)
    other.__class__ = Another
    assert not LeanDecoder.knows(other)


def test_bfloat16_autocast_is_near(sam: Any) -> None:
    random = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 256, 64, 64, generator=random)
    places = 1024 * torch.rand(2, 1, 2, generator=random)
    with torch.no_grad():
        masks, _ = reference(sam, embedding, places)
        with torch.autocast("cpu", torch.bfloat16):
            found = decode(sam, embedding, places)
    assert ((found.logits > 0) == (masks > 0)).float().mean() > 0.95


def test_prompts_that_cannot_pass_are_not_drawn_and_several_images_decode_together(sam: Any) -> None:
    random = torch.Generator().manual_seed(1)
    embeddings = torch.randn(2, 256, 64, 64, generator=random)
    places = 1024 * torch.rand(6, 1, 2, generator=random)
    lean = LeanDecoder(sam.prompt_encoder, sam.mask_decoder)
    with torch.no_grad():
        frames = [lean.begin(one[None]) for one in embeddings]
        apart = [
            lean.decode(frame, some) for frame, some in zip(frames, (places[:3], places[3:]), strict=True)
        ]
        joined = lean.decode(together(frames), places)
        for found, expected in zip(joined, map(torch.cat, zip(*apart, strict=True)), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
        best = apart[0].predicted_iou.amax(dim=1)
        least = float(best.sort().values[0])  # just too little for one of the three
        passing = lean.decode(frames[0], places[:3], needed=Needed(above=least))
        none = lean.decode(frames[0], places[:3], needed=Needed(above=1e9))
    assert none.logits.shape == (0, 3, 256, 256)
    assert len(passing.logits) == 2
    for found, expected in zip(passing, apart[0], strict=True):
        torch.testing.assert_close(found, expected[best > least], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(427, 640), (640, 427), (512, 512), (40, 1000)])
def test_what_the_image_does_not_cover_is_not_drawn_and_the_image_is_the_same(
    sam: Any, size: tuple[int, int]
) -> None:
    random = torch.Generator().manual_seed(2)
    embedding = torch.randn(1, 256, 64, 64, generator=random)
    places = 600 * torch.rand(3, 1, 2, generator=random)
    frame, lean = SamFrame(size), LeanDecoder(sam.prompt_encoder, sam.mask_decoder)
    with torch.no_grad():
        image = lean.begin(embedding)
        whole = lean.decode(image, places)
        covered = lean.decode(image, places, needed=Needed(covered=frame.covered))
    for found, expected in zip(covered.logits, whole.logits, strict=True):
        torch.testing.assert_close(frame.upscale(found), frame.upscale(expected), rtol=1e-4, atol=1e-4)
    rows, columns = (min(256, -(-(int(256 * part) + 3) // 4) * 4) for part in frame.covered)
    assert not covered.logits[..., rows:, :].any()
    assert not covered.logits[..., columns:].any()
    assert whole.logits[..., :rows, :columns].any()
