from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from skimage import data

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.files import FILES
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.checksums import read_sealed_json, write_sealed_json
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from fmbseg.registry import UnknownNameError
from fmbseg.vocabulary import Vocabulary
from fmbseg.written import LOCK, MARKER
from tests.aligned.tiny import TinyBackbone, TinyImageText

WORDS = Vocabulary.of(["cat", "dog", "sofa"])
TRAINING = {"settings": {"epochs": 3}, "labels": {"fingerprint": "abc"}}


def make_encoder() -> AlignedEncoder:
    torch.manual_seed(0)
    text = TinyImageText()
    prototypes = Prototypes(WORDS, embed_vocabulary(text, WORDS))
    return AlignedEncoder(
        TinyBackbone(),
        AlignmentHead(24, 16, heads=3),
        text,
        prototypes=prototypes,
        hubness=0.25,
        training=TRAINING,
    )


def saved(tmp_path: Path) -> Path:
    make_encoder().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_encode_is_the_head_after_the_backbone() -> None:
    encoder, pixels = make_encoder(), torch.randn(2, 3, 16, 24)
    aligned = encoder.encode(pixels)
    assert aligned.shape == (2, 16, 2, 3)
    assert not aligned.requires_grad
    torch.testing.assert_close(aligned.norm(dim=1), torch.ones(2, 2, 3))
    torch.testing.assert_close(aligned, encoder.head(encoder.backbone.encode(pixels)).detach())


def test_save_and_load_give_the_same_vectors(tmp_path: Path) -> None:
    encoder, pixels = make_encoder(), torch.randn(1, 3, 32, 16)
    encoder.save_pretrained(tmp_path / "new" / "folder")
    loaded = AlignedEncoder.from_pretrained(tmp_path / "new" / "folder")
    assert torch.equal(loaded.encode(pixels), encoder.encode(pixels))
    assert torch.equal(loaded.encode_text(["otter", "cat"]), encoder.encode_text(["otter", "cat"]))
    assert (loaded.dim, loaded.stride, loaded.transform) == (16, 8, TinyBackbone.transform)
    assert (loaded.config.training, loaded.hubness) == (TRAINING, 0.25)
    assert loaded.config == encoder.config


@pytest.mark.parametrize("wrong", ["much", -1, None, [1], "NaN", 10**400])
def test_a_hubness_that_is_none(tmp_path: Path, wrong: object) -> None:
    folder = saved(tmp_path)
    edit_config(folder, lambda content: content.update(hubness=wrong))
    with pytest.raises(AlignedEncoderError, match=r"hubness|float"):
        AlignedEncoder.from_pretrained(folder)
    edit_config(folder, lambda content: content.pop("hubness"))
    assert AlignedEncoder.from_pretrained(folder).hubness == 0


def test_hubness_needs_words_to_be_measured_against() -> None:
    with pytest.raises(AlignedEncoderError, match="measured against the words of the training"):
        AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16, heads=3), TinyImageText(), hubness=0.5)


def test_equal_encoders_are_saved_in_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_encoder().save_pretrained(tmp_path / name)
    for file in FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    there = {path.name for path in (tmp_path / "a").iterdir()}
    assert there - {MARKER, LOCK} == set(FILES)


def test_weights_that_lose_nothing_by_it_are_saved_in_half_their_size(tmp_path: Path) -> None:
    """Of tensors whose values all are in float16; the others stay as they are."""
    encoder, pixels = make_encoder(), torch.randn(1, 3, 32, 16)
    weight = encoder.head.project.weight
    with torch.no_grad():
        weight.copy_(weight.half().float())
    encoder.save_pretrained(tmp_path / "model")
    stored = load_file(tmp_path / "model" / "model.safetensors")
    assert stored["head.project.weight"].dtype == torch.float16
    assert stored["prototypes"].dtype == torch.float32
    loaded = AlignedEncoder.from_pretrained(tmp_path / "model")
    assert {tensor.dtype for tensor in loaded.head.state_dict().values()} == {torch.float32}
    assert torch.equal(loaded.encode(pixels), encoder.encode(pixels))
    assert loaded.describe() == encoder.describe()


def test_the_words_of_the_training_need_no_text_encoder(tmp_path: Path) -> None:
    text = TinyImageText()
    encoder = AlignedEncoder.from_pretrained(saved(tmp_path), text_encoder=text)
    known = encoder.encode_text(["sofa", "cat"])
    assert text.asked == 0
    torch.testing.assert_close(known, embed_vocabulary(text, Vocabulary.of(["sofa", "cat"])))
    encoder.encode_text(["sofa", "otter"])
    assert text.asked == 2


def test_a_text_encoder_is_loaded_when_asked_and_its_size_is_checked() -> None:
    encoder = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), "tiny-test:12")
    assert encoder.config.text_encoder == "tiny-test:12"
    with pytest.raises(AlignedEncoderError, match=r"'tiny-test:12' has 12 dimensions, .* maps to 16"):
        encoder.encode_text(["cat"])


def test_parts_of_other_sizes_are_refused_with_the_numbers() -> None:
    with pytest.raises(AlignedEncoderError, match=r"maps to 16 dimensions, .*'tiny-test' has 12"):
        AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText(12))
    with pytest.raises(AlignedEncoderError, match=r"takes 32 channels, .*'tiny-test' gives 24"):
        AlignedEncoder(TinyBackbone(), AlignmentHead(32, 16), TinyImageText())
    with pytest.raises(AlignedEncoderError, match=r"prototypes have 3 dimensions, but the head maps to 16"):
        AlignedEncoder(
            TinyBackbone(),
            AlignmentHead(24, 16),
            TinyImageText(),
            prototypes=Prototypes(WORDS, torch.eye(3)),
        )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    (folder / name).unlink()
    with pytest.raises(AlignedEncoderError, match=f"{name} is missing"):
        AlignedEncoder.from_pretrained(folder)


def edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "config.json"
    content = read_sealed_json(path)
    change(content)
    write_sealed_json(path, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema_version=3), "schema_version is 3, but this fmbseg reads 2"),
        (lambda c: c.pop("schema_version"), "schema_version is None"),
        (lambda c: c.update(backbone="tiny-test"), "'backbone' must be a JSON object; got 'tiny-test'"),
        (lambda c: c["backbone"].update(spec=3), "'spec' of 'backbone' must be a str; got 3"),
        (lambda c: c["backbone"].update(stride=True), "'stride' of 'backbone' must be a int; got True"),
        (lambda c: c["head"].update(heads=7), "heads of the head is 7: it must divide in_dim, 24"),
        (lambda c: c["head"].update(depth=2), "unknown depth"),
        (lambda c: c["head"].update(kind="conv"), "kind of the head is 'conv': it must be one of"),
        (lambda c: c["head"].pop("kind"), "missing are kind"),
        (lambda c: c["head"].update(kind="linear"), r"unknown: head\.block\."),
        (lambda c: c["head"].update(out_dim=8), "maps to 8 dimensions, .* has 16"),
        (
            lambda c: c["head"].update(mlp_ratio=2.0),
            r"'head.block.linear1.weight' has shape \(96, 24\), .*\(48",
        ),
        (lambda c: c["vocabulary"]["names"].append("cat"), "'cat'"),
        (lambda c: c["vocabulary"].pop("templates"), "templates"),
        (lambda c: c.update(vocabulary=None), "unknown: prototypes"),
        (lambda c: c.update(vocabulary=Vocabulary.of(["cat"]).to_dict()), r"\(3, 16\), .*\(1, 16\)"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    folder = saved(tmp_path)
    edit_config(folder, change)
    with pytest.raises(AlignedEncoderError, match=message):
        AlignedEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "\ufffd", '{"schema_version": 1}', "[" * 100_000, '{"a": NaN}', "1" * 5000]
)
def test_a_config_that_is_no_config_names_its_file(tmp_path: Path, text: str) -> None:
    folder = saved(tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(AlignedEncoderError, match=r"config\.json (is|cannot|does not) .*; copy or save"):
        AlignedEncoder.from_pretrained(folder)


def test_unknown_specs_are_not_imported(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    edit_config(folder, lambda c: c["backbone"].update(spec="os:system"))
    with pytest.raises(UnknownNameError, match="'os'"):
        AlignedEncoder.from_pretrained(folder)


def test_a_backbone_of_another_stride_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    edit_config(folder, lambda c: c["backbone"].update(stride=16))
    with pytest.raises(AlignedEncoderError, match=r"has stride 8, but the head .* of stride 16"):
        AlignedEncoder.from_pretrained(folder)


def put_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = folder / "model.safetensors"
    save_file(tensors, path)
    digest = sha256(path.read_bytes()).hexdigest()
    edit_config(folder, lambda c: c.update(weights_sha256=digest))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    folder = saved(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["head.norm.bias"][3] = value
    put_weights(folder, tensors)
    with pytest.raises(AlignedEncoderError, match=r"'head.norm.bias' .* without NaN or infinity"):
        AlignedEncoder.from_pretrained(folder)


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["head.norm.bias"] = tensors["head.norm.bias"].long()
    put_weights(folder, tensors)
    with pytest.raises(AlignedEncoderError, match=r"'head.norm.bias' \(torch.int64\) must be float32"):
        AlignedEncoder.from_pretrained(folder)


def test_missing_and_surplus_weights_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["head.norm.scale"] = tensors.pop("head.norm.weight")
    put_weights(folder, tensors)
    with pytest.raises(AlignedEncoderError, match=r"missing: head.norm.weight; unknown: head.norm.scale"):
        AlignedEncoder.from_pretrained(folder)


def test_weights_that_were_cut_short_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AlignedEncoderError, match="cut short or replaced"):
        AlignedEncoder.from_pretrained(folder)


def test_a_type_that_torch_does_not_have_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    header = b'{"head.norm.bias":{"dtype":"F7","shape":[1],"data_offsets":[0,4]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / "model.safetensors").write_bytes(weights)
    edit_config(folder, lambda c: c.update(weights_sha256=sha256(weights).hexdigest()))
    with pytest.raises(AlignedEncoderError, match="not a safetensors file"):
        AlignedEncoder.from_pretrained(folder)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    path = folder / "model.safetensors"
    torch.save({"head.norm.weight": torch.ones(24)}, path)
    edit_config(folder, lambda c: c.update(weights_sha256=sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(AlignedEncoderError, match="not a safetensors file"):
        AlignedEncoder.from_pretrained(folder)


def test_the_offline_models_save_and_load(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = AlignedEncoder(
        BACKBONES.create("efficientnet_lite2"), AlignmentHead(472, 384), IMAGE_TEXT.create("conse")
    )
    encoder.save_pretrained(tmp_path)
    loaded = AlignedEncoder.from_pretrained(tmp_path)
    photograph = np.asarray(data.chelsea())  # type: ignore[no-untyped-call]
    pixels = loaded.transform(photograph, size=(192, 288))[None]
    similarity = torch.einsum("bdhw,kd->bkhw", loaded.encode(pixels), loaded.encode_text(["cat", "wall"]))
    assert similarity.shape == (1, 2, 12, 18)
    assert torch.equal(loaded.encode(pixels), encoder.encode(pixels))
    assert similarity.abs().max() <= 1 + 1e-5
