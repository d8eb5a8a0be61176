"""Repositories of somebody who means harm: refused with a reason; nothing runs or is written elsewhere."""

from __future__ import annotations

import io
import json
import os
import pickle
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load, save

from fmbseg import AlignedEncoder, OpenVocabSegmenter
from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.files import FILES
from fmbseg.aligned.saved import pull_head
from fmbseg.models.loading.trust import UntrustedSpecError
from fmbseg.models.registries import BACKBONES
from tests.aligned.tiny import TinyBackbone
from tests.hub.heads import make_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hub.server import Hub

Config = dict[str, Any]
SAFE = "timm:test_vit?weights=random"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """The files of a head in good order, to be spoilt."""
    make_encoder().save_pretrained(tmp_path / "good")
    found = {name: (tmp_path / "good" / name).read_bytes() for name in FILES}
    return changed(found, lambda config: config["backbone"].update(spec=SAFE))


def changed(files: dict[str, bytes], change: Callable[[Config], object]) -> dict[str, bytes]:
    config = json.loads(files["config.json"])
    del config["sha256"]
    change(config)
    digest = sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    return {**files, "config.json": json.dumps({**config, "sha256": digest}).encode()}


def with_weights(files: dict[str, bytes], weights: bytes) -> dict[str, bytes]:
    digest = sha256(weights).hexdigest()
    return changed(
        {**files, "model.safetensors": weights}, lambda config: config.update(weights_sha256=digest)
    )


@pytest.fixture(autouse=True)
def nothing_made_or_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]
) -> Iterator[None]:
    """After each test: no model was made, and beside the cache there is what there was."""

    def refuse(spec: str, **_options: Any) -> None:
        raise AssertionError(f"{spec} was made for a head that is to be refused")

    monkeypatch.setattr(BACKBONES, "create", refuse)
    monkeypatch.chdir(tmp_path)
    before = listing(tmp_path)
    yield
    assert listing(tmp_path) == before


def listing(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "cache"
    }


def refuse(error: type[Exception], message: str, **given: Any) -> None:
    """By every door."""
    with pytest.raises(error, match=message):
        AlignedEncoder.from_pretrained("bob/evil", **given)
    with pytest.raises(error, match=message):
        OpenVocabSegmenter.from_pretrained("bob/evil", **given)
    with pytest.raises(error, match=message):
        pull_head("bob/evil", "pulled")


@pytest.mark.parametrize(
    "spec",
    [
        "torch:/home/me/model.pt",
        "torch:model.pt",
        "onnx:/home/me/model.onnx",
        "onnx:model.onnx",
        "local-dir:/home/me/model",
        "timm:local-dir:/home/me/model",
        "hf:local-dir:.",
        "open_clip:local-dir:/home/me/model",
        "open_clip:ViT-B-16?weights=/home/me/weights.pt",
        "timm:test_vit?weights=/home/me/weights.pt",
        "timm:test_vit?weights=..%2F..%2Fweights.pt",
        "timm:test_vit?weights=random&weights=/home/me/weights.pt",
        "sam:vit_b@/home/me/sam.pth",
        "sam:vit_b?weights=sam.pth",
        "hf:../../home/me",
        "hf:/home/me",
        "timm:hf-hub:../me",
        "hf:bob/encoder/../../me",
        "efficientnet_lite2:/home/me",
        "tiny-test",  # a plugin: code of this machine, with arguments of theirs
        "os:system",
    ],
)
def test_backbones_that_read_files_or_run_code(hub: Hub, files: dict[str, bytes], spec: str) -> None:
    hub.put("bob/evil", changed(files, lambda config: config["backbone"].update(spec=spec)))
    refuse(UntrustedSpecError, r"comes from the Hub and names the backbone .*backbone=\.\.\.")


@pytest.mark.parametrize(
    "spec",
    ["open_clip:ViT-B-16@/home/me/w.pt", "hf:local-dir:/home/me", "open_clip:local-dir:m", "tiny-test"],
)
def test_text_encoders_that_read_files_or_run_code(hub: Hub, files: dict[str, bytes], spec: str) -> None:
    hub.put("bob/evil", changed(files, lambda config: config["text_encoder"].update(spec=spec)))
    refuse(UntrustedSpecError, r"names the image-text encoder .*text_encoder=\.\.\.")


def test_the_rule_holds_for_what_the_client_put_into_a_folder(hub: Hub, files: dict[str, bytes]) -> None:
    from huggingface_hub import snapshot_download

    hub.put("bob/evil", changed(files, lambda config: config["backbone"].update(spec="torch:model.pt")))
    for folder in (snapshot_download("bob/evil"), snapshot_download("bob/evil", local_dir="cache/local")):
        with pytest.raises(UntrustedSpecError):
            AlignedEncoder.from_pretrained(folder)


class Bomb:
    """Unpickled, it writes a file."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch exploded",)


def test_a_pickle_beside_the_weights_is_not_even_fetched(hub: Hub, files: dict[str, bytes]) -> None:
    bomb = io.BytesIO()
    torch.save(Bomb(), bomb)
    names = ("pytorch_model.bin", "model.pt", "head.pkl", "modeling_head.py", "setup.py")
    hub.put("bob/evil", {**files, **dict.fromkeys(names, bomb.getvalue())})
    AlignedEncoder.from_pretrained("bob/evil", backbone=TinyBackbone())
    pull_head("bob/evil")
    fetched = {one.path for one in hub.seen if one.method in ("GET", "HEAD") and "/resolve/" in one.path}
    assert {path.rpartition("/")[2] for path in fetched} == {"config.json", "model.safetensors", "README.md"}


@pytest.mark.parametrize("bomb", [pickle.dumps(Bomb()), b""], ids=["pickle", "empty"])
def test_a_pickle_in_place_of_the_weights(hub: Hub, files: dict[str, bytes], bomb: bytes) -> None:
    hub.put("bob/evil", with_weights(files, bomb))
    refuse(AlignedEncoderError, "is not a safetensors file", backbone=TinyBackbone())


def test_names_that_lead_out_of_the_folder(hub: Hub, files: dict[str, bytes]) -> None:
    paths = {"weights_file": "../../../etc/passwd", "auto_map": {"AutoModel": "../evil.Model"}}
    climbing = {"../README.md": b"out", "deep/../../config.json": b"out"}
    hub.put("bob/evil", {**changed(files, lambda config: config.update(paths)), **climbing})
    AlignedEncoder.from_pretrained("bob/evil", backbone=TinyBackbone())  # no such key is looked at
    assert not [one for one in hub.seen if "passwd" in one.path or ".." in one.path]


@pytest.mark.parametrize("length", [10 * 2**30, 2**63 - 1, 2**64 - 1, 100 * 2**20, 0])
def test_a_header_that_lies_about_its_length(hub: Hub, files: dict[str, bytes], length: int) -> None:
    weights = length.to_bytes(8, "little") + files["model.safetensors"][8:]
    hub.put("bob/evil", with_weights(files, weights))
    refuse(AlignedEncoderError, "is not a safetensors file", backbone=TinyBackbone())


def test_weights_that_are_larger_than_a_head_are_not_fetched(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("bob/evil", with_weights(files, bytes(3 * 2**20)))
    refuse(AlignedEncoderError, r"of bob/evil has 3145728 bytes, .* refused unread", backbone=TinyBackbone())
    assert hub.asked("GET", "/cdn/") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite(hub: Hub, files: dict[str, bytes], value: float) -> None:
    tensors = load(files["model.safetensors"])
    tensors["prototypes"][1, 2] = value
    hub.put("bob/evil", with_weights(files, save(tensors)))
    refuse(AlignedEncoderError, "'prototypes' .* without NaN or infinity", backbone=TinyBackbone())


def test_tensors_of_other_shapes(hub: Hub, files: dict[str, bytes]) -> None:
    tensors = load(files["model.safetensors"])
    tensors["head.project.weight"] = torch.zeros(16, 25)
    hub.put("bob/evil", with_weights(files, save(tensors)))
    refuse(AlignedEncoderError, r"'head.project.weight' has shape \(16, 25\)", backbone=TinyBackbone())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.update(schema_version=3), "schema_version is 3, .* install the version"),
        (lambda config: config.update(schema_version="1; import os"), "schema_version is '1; import os'"),
        (lambda config: config["head"].update(in_dim=2**62, heads=1), "no head can have the sizes"),
        (
            lambda config: config["head"].update(in_dim=10**400, heads=1),
            "no head can have the sizes|mlp_ratio",
        ),
        (lambda config: config["head"].update(mlp_ratio=1e300), "no head can have the sizes"),
        (lambda config: config["vocabulary"].update(names=5), "int"),
        (lambda config: config["backbone"]["transform"].update(mean=["a", "b", "c"]), "'a'"),
        (lambda config: config["backbone"]["transform"].update(mean=[0.5]), "mean and std of 3 channels"),
        (lambda config: config["backbone"].update(transform="no"), "'transform' of 'backbone' must be"),
    ],
)
def test_configs_that_are_not_what_they_should_be(
    hub: Hub, files: dict[str, bytes], change: Callable[[Config], object], message: str
) -> None:
    hub.put("bob/evil", changed(files, change))
    refuse(AlignedEncoderError, message, backbone=TinyBackbone())


def test_brackets_in_brackets(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("bob/evil", {**files, "config.json": b"[" * 200_000})
    message = r"config\.json cannot be read as JSON: it is nested too deeply"
    refuse(AlignedEncoderError, message, backbone=TinyBackbone())


def test_a_config_that_fills_the_memory(
    hub: Hub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbseg.aligned.files.LARGEST_CONFIG", 100)
    hub.put("bob/evil", files)
    refuse(AlignedEncoderError, r"config\.json has \d+ bytes, .* refused unread", backbone=TinyBackbone())


def test_another_normalisation_than_the_backbones(hub: Hub, files: dict[str, bytes]) -> None:
    hub.put("bob/evil", changed(files, lambda config: config["backbone"]["transform"].update(mean=[0, 0, 0])))
    with pytest.raises(AlignedEncoderError, match=r"takes pixels by .*trained on"):
        AlignedEncoder.from_pretrained("bob/evil", backbone=TinyBackbone())
