"""Alignment trains and segments through every family of frozen encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.contract_check import ContractError
from fmbseg.models.backbones import from_sam
from fmbseg.models.backbones.from_torch import module_backbone
from fmbseg.segment_settings import WindowSettings
from fmbseg.segmentation.segmenter import OpenVocabSegmenter
from tests.aligned import tiny as _registered  # noqa: F401 - registers tiny-test
from tests.alignment.photographs import labelled
from tests.models.backbones import tiny_models as tiny
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS = TrainingSettings(epochs=3, batch_size=3, image_size=112, learning_rate=0.3, temperature=0.1)
WINDOWS = WindowSettings(short_side=112, window=112, step=56)

HALF = (0.5, 0.5, 0.5)
STATED = "mean=0.5,0.5,0.5&std=0.5,0.5,0.5"

SPECS: dict[str, Callable[[Path], str]] = {
    "timm, tokens": lambda _: "timm:test_vit?weights=random",
    "timm, convolutional": lambda _: "timm:test_convnext?weights=random&layers=1,2,3",
    "timm, one size": lambda f: f"local-dir:{tiny.one_size_folder(f)}",
    "transformers, tokens with registers": lambda f: (
        f"local-dir:{tiny.hf_folder(f, 'dinov2_with_registers')}"
    ),
    "transformers, hierarchical": lambda f: f"local-dir:{tiny.hf_folder(f, 'swin')}",
    "transformers, SAM's encoder": lambda f: f"local-dir:{tiny.hf_folder(f, 'sam')}",
    "open_clip": lambda f: f"local-dir:{tiny.open_clip_folder(f, tiny.CLIP_TRANSFORMER)}",
    "segment_anything": lambda f: f"sam:tiny@{tiny.sam_checkpoint(f / 'sam.pth')}",
    "TorchScript": lambda f: f"torch:{tiny.script_file(f / 'model.pt')}?size=64&prefix=1&{STATED}",
    "ExportedProgram": lambda f: f"torch:{tiny.exported_file(f / 'model.pt2')}?size=64&{STATED}",
    "ONNX": lambda f: f"onnx:{tiny.onnx_file(f / 'model.onnx')}?size=64&{STATED}",
}


@pytest.mark.parametrize("family", SPECS)
def test_a_head_is_trained_saved_loaded_and_segments(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(from_sam.SIZES, "tiny", tiny.TINY_SAM)
    models, photographs = tmp_path / "models", tmp_path / "photographs"
    models.mkdir()
    photographs.mkdir()
    spec = SPECS[family](models)
    aligner = Aligner(spec, "tiny-test", settings=SETTINGS, features_dir=tmp_path / "cache", device="cpu")
    aligner.fit(labelled(photographs, side=160), progress=False)
    losses = [record.loss for record in aligner.history]
    assert losses[-1] < losses[0]
    aligner.save_pretrained(tmp_path / "head")
    image = photograph("chelsea.png")[::2, ::2]
    words = ["cat", "cup", "an otter"]
    results = [
        OpenVocabSegmenter(one, windows=WINDOWS).segment(image, words)
        for one in (aligner, Aligner.from_pretrained(tmp_path / "head"))
    ]
    assert results[0].labels.shape == image.shape[:2]
    assert (results[0].labels == results[1].labels).all()


def test_a_module_of_ones_own_is_trained_on_and_handed_back(tmp_path: Path) -> None:
    backbone = module_backbone(tiny.Patches(), "patches", size=64, mean=HALF, std=HALF)
    aligner = Aligner(backbone, "tiny-test", settings=SETTINGS, features_dir=tmp_path / "cache", device="cpu")
    aligner.fit(labelled(tmp_path, side=96), progress=False).save_pretrained(tmp_path / "head")
    with pytest.raises(RuntimeError, match=r"there is no file patches.*pass it as `backbone=`"):
        Aligner.from_pretrained(tmp_path / "head")
    again = Aligner.from_pretrained(
        tmp_path / "head", backbone=module_backbone(tiny.Patches(), "patches", size=64, mean=HALF, std=HALF)
    )
    pixels = torch.randn(1, 3, 32, 32)
    assert torch.equal(again.encoder.encode(pixels), aligner.encoder.encode(pixels))


def test_an_object_that_is_no_backbone_is_refused_with_what_it_lacks() -> None:
    class Encoder:
        dim = stride = 8

        def encode(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels

    with pytest.raises(ContractError) as caught:
        Aligner(backbone=Encoder(), text_encoder="tiny-test")  # type: ignore[arg-type]
    assert "lacks methods: to(device); attributes: spec, native_size, license, transform" in str(caught.value)
