"""Exported encoders: the same map as PyTorch, of any size, and the same classes on real photographs."""

from __future__ import annotations

import random
import resource
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.export import ExportError, TextSpaceModel, export_program, save_program
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.onnx_file import export_onnx
from fmbseg.demo.photographs import copy_photographs
from fmbseg.devices import DeviceError
from fmbseg.files import DiskFullError
from fmbseg.images import find_images
from fmbseg.models.backbones.efficientnet_lite import efficientnet_lite2
from fmbseg.models.exported import ExportedEncoder, ExportedModelError, placeholder, seal_file
from fmbseg.models.image_text.conse import conse
from fmbseg.segmentation.segmenter import OpenVocabSegmenter
from fmbseg.written import MARKER, WouldReplaceError
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.forks import Forks

ROOT = Path(__file__).resolve().parents[2]


class ModuleBackbone(TinyBackbone):
    """The tiny backbone with its weight in a module, as most have it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, self.dim, self.stride, self.stride, bias=False)
        self.convolution.weight.data = self.weight.clone()

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.convolution(pixels)
        return found


class FixedBackbone(ModuleBackbone):
    """A backbone whose code branches on the size, which no export of open size can follow."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return super().encode(pixels) * (2 if pixels.shape[-1] > 200 else 1)


class StubbornBackbone(ModuleBackbone):
    """A backbone that leaves torch on the way."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(super().encode(pixels).detach().numpy())


def make_encoder() -> AlignedEncoder:
    torch.manual_seed(3)
    return AlignedEncoder(ModuleBackbone(), AlignmentHead(24, 16), TinyImageText())


@pytest.fixture
def encoder() -> AlignedEncoder:
    return make_encoder()


def test_onnx_of_any_size_gives_pytorchs_map(encoder: AlignedEncoder, tmp_path: Path) -> None:
    path = tmp_path / "new" / "tiny.onnx"
    report = export_onnx(encoder, path)
    assert report.path == path
    assert report.dynamic
    assert report.largest_difference < 1e-5
    assert len(report.checked_sizes) == 2
    assert {file.name for file in path.parent.iterdir()} == {"tiny.onnx", MARKER}
    onnx.checker.check_model(onnx.load(path))
    exported = ExportedEncoder(path, text_encoder=TinyImageText())
    assert (exported.stride, exported.dim, exported.card.text_encoder) == (8, 16, "tiny-test")
    for size in ((16, 16), (40, 72), (64, 24)):
        pixels = torch.randn(2, 3, *size)
        torch.testing.assert_close(exported.encode(pixels), encoder.encode(pixels), rtol=0, atol=1e-5)
    words = ["cat", "a word that was never trained on"]
    image = np.random.default_rng(0).integers(0, 255, (70, 110, 3), dtype=np.uint8)
    mine = OpenVocabSegmenter(encoder).segment(image, words)
    theirs = OpenVocabSegmenter(exported).segment(image, words)
    assert (mine.labels == theirs.labels).mean() > 0.999
    assert (mine.device, theirs.device) == (str(encoder.device), str(exported.device))
    with pytest.raises(ValueError, match="multiples of 8"):
        exported.encode(torch.zeros(1, 3, 12, 16))
    with pytest.raises(TypeError, match="no head to save"):
        OpenVocabSegmenter(exported).save_pretrained(tmp_path)


def test_on_a_gpu_that_onnx_runtime_cannot_use_it_computes_on_the_cpu(
    encoder: AlignedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.onnx"
    export_onnx(encoder, path, size=(16, 16))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert ExportedEncoder(path).device.type == "cpu"
    with pytest.raises(DeviceError, match=r"cannot compute on cuda; it has CPUExec.*install onnxruntime-gpu"):
        ExportedEncoder(path, device="cuda")


def test_torch_export_of_any_size(encoder: AlignedEncoder, tmp_path: Path) -> None:
    exported = save_program(encoder, tmp_path / "tiny.pt2")
    assert exported.dynamic
    loaded = torch.export.load(tmp_path / "tiny.pt2").module()
    for size in ((16, 16), (40, 72)):
        pixels = torch.randn(1, 3, *size)
        torch.testing.assert_close(loaded(pixels), TextSpaceModel(encoder)(pixels), rtol=0, atol=1e-5)


def test_a_fixed_size_is_the_only_one(encoder: AlignedEncoder, tmp_path: Path) -> None:
    report = export_onnx(encoder, tmp_path / "fixed.onnx", size=(32, 48))
    assert (report.dynamic, report.size) == (False, (32, 48))
    exported = ExportedEncoder(tmp_path / "fixed.onnx")
    assert exported.encode(torch.zeros(1, 3, 32, 48)).shape == (1, 16, 4, 6)
    with pytest.raises(ExportedModelError, match="exported for 32 x 48 pixels, got 32 x 32"):
        exported.encode(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="multiples of 8"):
        export_program(encoder, size=(30, 48))


def test_a_backbone_bound_to_its_size_is_exported_for_one() -> None:
    encoder = AlignedEncoder(FixedBackbone(), AlignmentHead(24, 16), TinyImageText())
    with pytest.warns(UserWarning, match="exported for one size"):
        _, exported = export_program(encoder)
    assert (exported.dynamic, exported.size) == (False, (448, 448))


@pytest.mark.filterwarnings("ignore:the backbone 'tiny-test' has no export")
def test_a_backbone_that_cannot_be_exported_is_an_error() -> None:
    encoder = AlignedEncoder(StubbornBackbone(), AlignmentHead(24, 16), TinyImageText())
    with pytest.raises(ExportError, match="'tiny-test' cannot be exported"):
        export_program(encoder)


def test_files_that_are_no_exported_encoder(encoder: AlignedEncoder, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportedModelError, match=r"model\.onnx does not exist"):
        ExportedEncoder(path)
    export_onnx(encoder, path, size=(16, 16))
    bare = onnx.load(path)
    del bare.metadata_props[:]
    for content in (b"", b"no graph", bare.SerializeToString()):
        path.write_bytes(content)
        with pytest.raises(ExportedModelError, match=r"model\.onnx .* does not carry its checksum: write it"):
            ExportedEncoder(path)
    path.write_bytes(placeholder(with_data=False).encode())
    seal_file(path)
    with pytest.raises(ExportedModelError, match=r"model\.onnx is not an ONNX file"):
        ExportedEncoder(path)


def test_the_checksum_is_that_of_all_other_bytes(encoder: AlignedEncoder, tmp_path: Path) -> None:
    """With zeros in its place, as a program without fmbseg would check it."""
    path = tmp_path / "tiny.onnx"
    export_onnx(encoder, path, size=(16, 16))
    content = path.read_bytes()
    written = {one.key: one.value for one in onnx.load(path).metadata_props}["fmbseg_checksum"]
    digest = written.removeprefix("fmbseg-sha256:").encode()
    assert sha256(content.replace(digest, b"0" * 64)).hexdigest().encode() == digest


def test_any_bit_that_flips_is_an_error_that_names_the_file(encoder: AlignedEncoder, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    export_onnx(encoder, path, size=(16, 16))
    content = path.read_bytes()
    draw = random.Random(0)
    for _ in range(150):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ExportedModelError, match=r"tiny\.onnx is damaged.*checksum"):
            ExportedEncoder(path)


def test_weights_in_a_file_beside(
    encoder: AlignedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbseg.aligned.onnx_file._ONE_FILE_BYTES", 0)
    path, data = tmp_path / "tiny.onnx", tmp_path / "tiny.onnx.data"
    for _ in range(2):  # its own files are replaced
        export_onnx(encoder, path)
    assert {file.name for file in tmp_path.iterdir()} == {path.name, data.name, MARKER}
    pixels = torch.randn(1, 3, 40, 72)
    found = ExportedEncoder(path).encode(pixels)
    torch.testing.assert_close(found, encoder.encode(pixels), rtol=0, atol=1e-5)
    weights = bytearray(data.read_bytes())
    weights[len(weights) // 2] ^= 1
    data.write_bytes(weights)
    with pytest.raises(ExportedModelError, match=r"tiny\.onnx or tiny\.onnx\.data is damaged"):
        ExportedEncoder(path)
    with pytest.raises(WouldReplaceError, match=r"tiny\.onnx\.data was changed"):
        export_onnx(encoder, path)
    data.unlink()
    with pytest.raises(ExportedModelError, match=r"its weights in tiny\.onnx\.data, which is not beside it"):
        ExportedEncoder(path)


@pytest.mark.parametrize("name", ["tiny.onnx", "tiny.pt2"])
def test_a_file_of_the_users_is_not_replaced_and_a_full_disk_leaves_what_was_there(
    encoder: AlignedEncoder, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    write = export_onnx if path.suffix == ".onnx" else save_program
    path.write_bytes(b"mine")
    with pytest.raises(WouldReplaceError, match=f"{name} exists, and fmbseg did not write it"):
        write(encoder, path, size=(16, 16))
    assert path.read_bytes() == b"mine"
    path.unlink()
    write(encoder, path, size=(16, 16))
    before = path.read_bytes()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))  # as a disk that fills up on the way
    try:
        with pytest.raises(DiskFullError, match=f"no room to write .*{name}"):
            write(encoder, path, size=(16, 16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {name, MARKER}
    write(encoder, path, size=(16, 16))


@pytest.mark.long
@pytest.mark.parametrize("name", ["tiny.onnx", "tiny.pt2"])
def test_killed_at_any_moment_it_leaves_no_half_and_the_same_again_goes_through(
    encoder: AlignedEncoder, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    draw = random.Random(2)
    with Forks(
        "from tests.aligned.test_export import make_encoder, write\nencoder = make_encoder()"
    ) as forks:
        for _ in range(3):
            forks.start(f"write(encoder, {str(path)!r})")
            time.sleep(draw.uniform(0.05, 1.5))
            forks.kill()
            if path.exists():
                load(path)
    write(encoder, path)
    load(path)


def write(encoder: AlignedEncoder, path: Path | str) -> None:
    (export_onnx if Path(path).suffix == ".onnx" else save_program)(encoder, path, size=(16, 16))


def load(path: Path) -> None:
    if path.suffix == ".onnx":
        ExportedEncoder(path)
    else:
        torch.export.load(path)


@pytest.mark.long
def test_the_same_classes_on_the_demos_photographs(tmp_path: Path) -> None:
    """The real backbone with a random head: at least 99.9 % of pixels agree."""
    torch.manual_seed(0)
    text = conse()
    encoder = AlignedEncoder(
        efficientnet_lite2(), AlignmentHead(472, text.dim, kind="block_without_attention"), text
    )
    report = export_onnx(encoder, tmp_path / "head.onnx")
    assert report.dynamic
    copy_photographs(tmp_path / "photographs")
    exported = ExportedEncoder(tmp_path / "head.onnx", text_encoder=text)
    words = ["cat", "cup", "person", "rocket", "sky", "flower", "temple", "motorcycle", "table", "restaurant"]
    images = find_images(tmp_path / "photographs")[::3]
    assert len(images) == 3
    mine = OpenVocabSegmenter(encoder).segment(images, words)
    theirs = OpenVocabSegmenter(exported).segment(images, words)
    for one, other in zip(mine, theirs, strict=True):
        assert len(np.unique(one.labels)) > 1
        assert (one.labels == other.labels).mean() >= 0.999
