"""The contract suite on small models of every family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fmbseg.models.backbones import from_sam
from fmbseg.models.registries import BACKBONES
from tests.models.backbones import tiny_models as tiny
from tests.models.backbones.contract import BackboneContract, NetworkContract, PrecisionContract

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.models.contracts import Backbone

TIMM = {
    "transformer": "timm:test_vit?weights=random",
    "rotary": "timm:test_vit3?weights=random",
    "convolutional": "timm:test_convnext?weights=random",
    "residual": "timm:test_resnet?weights=random",
}


STATED = "mean=0.5,0.5,0.5&std=0.5,0.5,0.5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


class TestTimm(NetworkContract):
    @pytest.fixture(scope="class", params=TIMM)
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest) -> Backbone:
        return BACKBONES.create(TIMM[request.param])


class TestTimmFolder(NetworkContract):
    @pytest.fixture(scope="class", params=["plain", "registers", "classifier"])
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest, folder: Path) -> Backbone:
        if request.param == "classifier":
            model = tiny.timm_folder(folder / "timm-classifier", "test_vit", num_classes=10)
        else:
            model = tiny.dinov2_folder(
                folder / f"timm-{request.param}", registers=request.param == "registers"
            )
        return BACKBONES.create(f"local-dir:{model}")


class TestTimmOfOneSize(PrecisionContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backbone(cls, folder: Path) -> Backbone:
        return BACKBONES.create(f"local-dir:{tiny.one_size_folder(folder / 'one-size')}")


class TestTransformers(NetworkContract):
    @pytest.fixture(scope="class", params=tiny.HF_MODELS)
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest, folder: Path) -> Backbone:
        return BACKBONES.create(f"local-dir:{tiny.hf_folder(folder / request.param, request.param)}")


class TestOpenClip(NetworkContract):
    @pytest.fixture(scope="class", params=["CLIP_TRANSFORMER", "CLIP_RESNET", "CLIP_TIMM"])
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest, folder: Path) -> Backbone:
        model = tiny.open_clip_folder(folder / request.param, getattr(tiny, request.param))
        return BACKBONES.create(f"local-dir:{model}")


class TestSam(NetworkContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backbone(cls, folder: Path) -> Backbone:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(from_sam.SIZES, "tiny", tiny.TINY_SAM)
            return BACKBONES.create(f"sam:tiny@{tiny.sam_checkpoint(folder / 'sam.pth')}")

    @pytest.fixture(autouse=True)
    def known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(from_sam.SIZES, "tiny", tiny.TINY_SAM)


class TestTorchScript(PrecisionContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backbone(cls, folder: Path) -> Backbone:
        return BACKBONES.create(f"torch:{tiny.script_file(folder / 'script.pt')}?size=64&prefix=1&{STATED}")


class TestExportedProgram(PrecisionContract):
    @pytest.fixture(scope="class", params=[False, True], ids=["any size", "one size"])
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest, folder: Path) -> Backbone:
        path = tiny.exported_file(folder / f"program-{request.param}.pt2", fixed=request.param)
        return BACKBONES.create(f"torch:{path}?size=64&{STATED}")


class TestOnnx(BackboneContract):
    @pytest.fixture(scope="class", params=["any size", "one size"])
    @classmethod
    def backbone(cls, request: pytest.FixtureRequest, folder: Path) -> Backbone:
        path = folder / f"{request.param.replace(' ', '-')}.onnx"
        if request.param == "any size":
            return BACKBONES.create(f"onnx:{tiny.onnx_file(path)}?size=64&{STATED}")
        return BACKBONES.create(f"onnx:{tiny.onnx_file(path, side=64, batch=1)}?{STATED}")
