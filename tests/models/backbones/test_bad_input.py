"""What cannot be a backbone is refused with its name and the remedy, before anything expensive."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fmbseg.models.backbones import from_sam
from fmbseg.models.backbones.from_torch import module_backbone
from fmbseg.models.backbones.grids import NoSpatialFeaturesError
from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.errors import AssetUnavailableError, SpecError, WeightsError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.registries import BACKBONES
from fmbseg.registry import UnknownNameError
from tests.models.backbones import tiny_models as tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

State = dict[str, torch.Tensor]
PIXELS: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
STATED = "mean=0.5,0.5,0.5&std=0.5,0.5,0.5"


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("tim:vit_base_patch16_224", "timm"),
        ("dinov2_vitl41", "dinov2_vitl14"),
        ("timm:vit_large_patch14_dinov2.lvd142n", "vit_large_patch14_dinov2.lvd142m"),
        ("timm:vit_larg_patch14_dinov2", "vit_large_patch14_dinov2"),
        ("open_clip:ViT-L-41/openai", "ViT-L-14"),
        ("open_clip:ViT-L-14/openia", "openai"),
        ("sam:vit_hh", "vit_h"),
    ],
)
def test_an_unknown_family_or_model_offers_near_misses(spec: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"did you mean .*'{meant}'"):
        BACKBONES.create(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "hf:../../etc/passwd",
        "timm:../x",
        "local-dir:/models/../etc",
        "torch:a/../../b.pt",
        "onnx:..\\x.onnx",
        "sam:vit_b@/x/../y",
        "sam:vit_b@../y",
        "timm:test_vit?weights=../x.pth",
    ],
)
def test_a_path_that_climbs_is_refused(spec: str) -> None:
    with pytest.raises(SpecError, match=r"leads through '\.\.': name .* by its whole path"):
        BACKBONES.create(spec)


@pytest.mark.parametrize("revision", ["/etc", "../../x", "a/../b", "..", "C:\\x"])
def test_a_revision_that_is_a_path_is_refused(revision: str) -> None:
    with pytest.raises(ValueError, match="it must be a branch, a tag or a commit"):
        BACKBONES.create(f"hf:me/model?revision={revision}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:test_vit?layer=3", "there is no option 'layer'; did you mean 'layers'"),
        ("timm:test_vit?layers=", "layers is ''"),
        ("timm:test_vit?layers=1,1", "different layers"),
        ("timm:test_vit?layers=99&weights=random", "has no layer 99: they are 0 to 5"),
        ("timm:test_vit?layers=5,-1&weights=random", "names a layer twice"),
        ("timm:test_vit?norm=perhaps", "it is true or false"),
        ("timm:test_vit?size=0", "it must be 1 or more"),
        ("timm:test_vit?precision=int8", "it must be one of fp32, fp16, bf16"),
        ("timm:test_vit?layers", "options are '\\?key=value&key=value'"),
        ("timm:test_vit?size=32&size=64", "an option is given twice"),
        ("timm:test_vit?token=secret", "belongs to one machine: pass it by keyword"),
        ("timm:test_convnext?norm=true&weights=random", "have no norm in common"),
        ("timm:", "missing a required argument"),
        ("open_clip:ViT-B-32", r"names no weights: write open_clip:ARCH/TAG \(of ViT-B-32: openai"),
        ("hf:nobody", "neither in the cache"),
        ("hf:a/b/c", "not the name of a Hub repository"),
        ("onnx:/x?precision=fp16", "there is no option 'precision'"),
        ("torch:/x?layers=1", "there is no option 'layers'"),
    ],
)
def test_options_and_names_that_cannot_be_meant(
    spec: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((ValueError, AssetUnavailableError), match=message):
        create_model(BACKBONES, spec, HubOptions(local_files_only=True))


def test_a_model_without_spatial_features_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(
        NoSpatialFeaturesError, match=r"no patch features from model_type 'bert'; it does from .*clip"
    ):
        BACKBONES.create(f"local-dir:{tmp_path}")
    pooled = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(NoSpatialFeaturesError, match=r"gives \(2, 8\) for a square image.*cannot be aligned"):
        module_backbone(pooled, "pooled", size=64, **PIXELS)
    with pytest.raises(NoSpatialFeaturesError, match="class or register tokens, say how many by `prefix`"):
        module_backbone(tiny.Patches(tokens=True), "tokens", size=64, **PIXELS)
    with pytest.raises(ValueError, match="name the size it was made for by `size`"):
        module_backbone(nn.Linear(7, 7), "linear", size=64, **PIXELS)


def test_a_torchscript_file_that_is_none(tmp_path: Path) -> None:
    text, weights, module, cut = (tmp_path / name for name in ("a.pt", "b.pt", "c.pt", "d.pt"))
    text.write_text("not a model")
    torch.save(tiny.Patches().state_dict(), weights)
    module.write_bytes(pickle.dumps({"a": 1}))
    tiny.script_file(cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    for path in (text, weights, module, cut):
        with pytest.raises(SpecError, match=f"{path.name} is neither a TorchScript file nor a saved"):
            BACKBONES.create(f"torch:{path}?size=64&{STATED}")
    with pytest.raises(AssetUnavailableError, match=r"there is no file .*pass it as `backbone=`"):
        BACKBONES.create("torch:my-own-module?size=64")


class Harmful:
    """A pickle of this would touch a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "w")


def test_nothing_is_run_by_reading_pickled_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(from_sam.SIZES, "tiny", tiny.TINY_SAM)
    touched, file = tmp_path / "touched", tmp_path / "sam.pth"
    torch.save({"image_encoder.x": Harmful(touched)}, file)
    with pytest.raises(WeightsError, match=r"sam\.pth is not a file of plain tensors"):
        BACKBONES.create(f"sam:tiny@{file}")
    folder = tiny.timm_folder(tmp_path / "timm", "test_vit")
    (folder / "model.safetensors").unlink()
    torch.save({"x": Harmful(touched)}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin"):
        BACKBONES.create(f"local-dir:{folder}")
    assert not touched.exists()


def test_nothing_is_run_by_reading_an_exported_program(tmp_path: Path) -> None:
    touched, path, evil = tmp_path / "touched", tmp_path / "good.pt2", tmp_path / "evil.pt2"
    tiny.exported_file(path)
    pickled = io.BytesIO()
    torch.save(Harmful(touched), pickled)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(evil, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("weights/weight_1"):
                content = pickled.getvalue()
            if name.endswith("model_weights_config.json"):
                config = json.loads(content)
                config["config"]["project.bias"]["use_pickle"] = True
                content = json.dumps(config).encode()
            target.writestr(name.replace("good/", "evil/", 1), content)
    with pytest.raises(WeightsError, match=r"evil\.pt2 cannot be loaded: Weights only load failed"):
        BACKBONES.create(f"torch:{evil}?size=64&{STATED}")
    assert not touched.exists()


def missing(state: State) -> None:
    state.pop(sorted(name for name in state if name.endswith("weight"))[0])


def extra(state: State) -> None:
    state["surprise.weight"] = torch.zeros(3)


def reshaped(state: State) -> None:
    name = next(name for name in sorted(state) if state[name].ndim == 2)
    state[name] = state[name][:-1].contiguous()


def not_a_number(state: State) -> None:
    name = next(name for name in sorted(state) if name.endswith("weight"))
    state[name] = torch.full_like(state[name], float("nan"))


DAMAGES: dict[Callable[[State], None], str] = {
    missing: "(?i)missing",
    extra: "surprise",
    reshaped: "shape|size",
    not_a_number: "NaN or infinity",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("family", ["timm", "hf", "open_clip", "sam"])
def test_weights_that_do_not_fit_are_refused_with_names(
    tmp_path: Path, family: str, damage: Callable[[State], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if family == "sam":
        monkeypatch.setitem(from_sam.SIZES, "tiny", tiny.TINY_SAM)
        file = tiny.sam_checkpoint(tmp_path / "sam.pth")
        state = {
            name.removeprefix("image_encoder."): tensor
            for name, tensor in torch.load(file, weights_only=True).items()
            if name.startswith("image_encoder.")
        }
        damage(state)
        torch.save({f"image_encoder.{name}": tensor for name, tensor in state.items()}, file)
        spec = f"sam:tiny@{file}"
    else:
        file = _weights_of(family, tmp_path)
        state = load_file(file)
        part = "visual." if family == "open_clip" else ""
        mine = {name.removeprefix(part): tensor for name, tensor in state.items() if name.startswith(part)}
        damage(mine)
        save_file({part + name: tensor for name, tensor in mine.items()}, file, metadata={"format": "pt"})
        spec = f"local-dir:{tmp_path}"
    with pytest.raises(WeightsError, match=DAMAGES[damage]) as caught:
        BACKBONES.create(spec)
    assert str(tmp_path) in str(caught.value)


def _weights_of(family: str, folder: Path) -> Path:
    if family == "timm":
        return tiny.timm_folder(folder, "test_vit") / "model.safetensors"
    if family == "hf":
        return tiny.hf_folder(folder, "vit") / "model.safetensors"
    return tiny.open_clip_folder(folder, tiny.CLIP_TRANSFORMER) / "open_clip_model.safetensors"


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    for family in ("timm", "hf", "open_clip"):
        folder = tmp_path / family
        file = _weights_of(family, folder)
        file.write_bytes(file.read_bytes()[:-50])
        with pytest.raises(WeightsError, match=str(folder)):
            BACKBONES.create(f"local-dir:{folder}")


@pytest.mark.parametrize("kind", ["script", "export", "onnx"])
def test_programs_with_nan_are_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = nn.init.normal_

    def poisoned(tensor: torch.Tensor, std: float) -> torch.Tensor:
        fresh(tensor, std=std)
        with torch.no_grad():
            tensor[0] = float("nan")
        return tensor

    monkeypatch.setattr(nn.init, "normal_", poisoned)
    make = {"script": tiny.script_file, "export": tiny.exported_file, "onnx": tiny.onnx_file}[kind]
    path = make(tmp_path / "model.pt")
    options = STATED + ("&size=64&prefix=1" if kind == "script" else "&size=64")
    with pytest.raises(WeightsError, match="NaN"):
        BACKBONES.create(f"{'onnx' if kind == 'onnx' else 'torch'}:{path}?{options}")


def test_an_onnx_file_that_is_none_or_takes_something_else(tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a model")
    with pytest.raises(SpecError, match=r"text\.onnx is not an ONNX file that ONNX Runtime can run"):
        BACKBONES.create(f"onnx:{text}")
    with pytest.raises(AssetUnavailableError, match="there is no file"):
        BACKBONES.create(f"onnx:{tmp_path / 'none.onnx'}")
    fixed = tiny.onnx_file(tmp_path / "fixed.onnx", side=64)
    with pytest.raises(SpecError, match="the file takes 64 px only"):
        BACKBONES.create(f"onnx:{fixed}?size=128&{STATED}")


class OfFloat32(nn.Module):
    """Patches that a network of single precision made, as an exported program may insist on it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = tiny.Patches()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.dtype != torch.float32:
            raise TypeError(f"expected float32, got {pixels.dtype}\nand more")
        maps: torch.Tensor = self.patches(pixels)
        return maps


def test_what_a_program_cannot_do_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"does not run in fp16 \(expected float32, got torch\.float16\): "):
        module_backbone(OfFloat32(), "single", size=64, precision="fp16", **PIXELS)
    large = tiny.Patches()
    nn.init.constant_(large.project.weight, 1.0)
    nn.init.constant_(large.project.bias, 1e6)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="gives values that are not finite in fp16"):
        module_backbone(large, "large", size=64, precision="fp16", **PIXELS)
    script, graph = tiny.script_file(tmp_path / "a.pt"), tiny.onnx_file(tmp_path / "a.onnx")
    with pytest.raises(SpecError, match=r"torch\.compile takes no TorchScript: leave out `compiled`"):
        BACKBONES.create(f"torch:{script}?size=64&prefix=1&{STATED}", compiled=True)
    with pytest.raises(SpecError, match=r"ONNX Runtime has a compiler of its own: leave out `compiled`"):
        BACKBONES.create(f"onnx:{graph}?size=64&{STATED}", compiled=True)


@pytest.mark.parametrize(("content", "error"), [("{", WeightsError), ("[]", WeightsError), ("{}", SpecError)])
def test_a_folder_with_a_strange_config_is_refused(
    tmp_path: Path, content: str, error: type[ValueError]
) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(error, match=r"config\.json"):
        BACKBONES.create(f"local-dir:{tmp_path}")


def test_a_folder_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetUnavailableError, match="there is no folder"):
        BACKBONES.create(f"local-dir:{tmp_path / 'nowhere'}")
    with pytest.raises(AssetUnavailableError, match=r"has no config\.json: put the model's own there"):
        BACKBONES.create(f"local-dir:{tmp_path}")


def test_a_config_that_asks_for_remote_code_runs_none(tmp_path: Path) -> None:
    folder = tiny.hf_folder(tmp_path / "model", "vit")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'touched')!r}, 'w')\n")
    assert BACKBONES.create(f"local-dir:{folder}").dim == 32
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"checkpoint_path": "/home/me/weights.pt"},
        {"pretrained_cfg": {"file": "/home/me/weights.pt"}},
        {"cache_dir": "/home/me"},
        ["checkpoint_path"],
    ],
)
def test_a_folder_of_timm_names_no_files_of_this_machine(tmp_path: Path, arguments: object) -> None:
    folder = tiny.dinov2_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_args": arguments}))
    with pytest.raises(SpecError, match=r"'model_args' holds .* the sizes of a model alone"):
        BACKBONES.create(f"timm:local-dir:{folder}")
