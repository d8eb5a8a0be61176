"""Where an open_clip model comes from: tags, the Hub's cache, bare checkpoints; and damaged files."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import factory, pretrained
from safetensors.torch import load_file, save_file

from fmbseg.models.image_text import open_clip as under_test
from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.open_clip_files import find_open_clip
from fmbseg.models.registries import IMAGE_TEXT
from tests.models.image_text import tiny
from tests.models.image_text.hub_cache import put_in_cache

WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.open_clip_folder(tmp_path_factory.mktemp("files") / "vit", tiny.VIT)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "copied"
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.fixture
def tagged(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds someone/tiny, which open_clip's tag ``tiny-vit/quick`` leads to."""
    known = {"hf_hub": "someone/tiny/", "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "quick_gelu": True}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny-vit", tiny.VIT)
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-vit", {"quick": known})
    put_in_cache(tmp_path / "cache", "someone/tiny", folder)
    return tmp_path / "cache"


def load(spec: str, cache: Path, **options: Any) -> Any:
    hub = HubOptions(options.pop("revision", None), cache, local_files_only=True)
    return IMAGE_TEXT.create(f"open_clip:{spec}", hub=hub, **options)


def test_the_activation_and_the_preprocessing_of_a_tag_are_its_weights(tagged: Path, folder: Path) -> None:
    encoder = load("tiny-vit/quick", tagged)
    assert (encoder.transform.mean, encoder.transform.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    crops = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    given = {}
    for quick in (True, False):
        library = open_clip.create_model(f"local-dir:{folder}", force_quick_gelu=quick).eval()
        with torch.no_grad():
            given[quick] = library.encode_image(crops, normalize=True)
    torch.testing.assert_close(encoder.encode_image(crops).pooled, given[True], rtol=0, atol=1e-4)
    assert (given[True] - given[False]).abs().max() > 1e-3


@pytest.mark.parametrize("architecture", ["ViT-L-14", "ViT-L-14-quickgelu"])
def test_openais_vit_l_is_built_with_quick_gelu_under_both_its_names(
    architecture: str, tmp_path: Path
) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / WEIGHTS).write_bytes(b"")
    put_in_cache(tmp_path, "timm/vit_large_patch14_clip_224.openai", tmp_path / "repository")
    files = find_open_clip(
        f"{architecture}/openai", HubOptions(cache_dir=tmp_path, local_files_only=True), {}
    )
    assert files.config["quick_gelu"] is True
    assert files.transform.mean == (0.48145466, 0.4578275, 0.40821073)
    assert files.weights is not None
    assert files.weights.name == WEIGHTS


def test_a_hub_repository_is_found_in_the_cache_at_its_revision(folder: Path, tmp_path: Path) -> None:
    put_in_cache(tmp_path, "someone/other", folder, revision="v2")
    encoder = load("hf-hub:someone/other", tmp_path, revision="v2")
    assert encoder.spec == "open_clip:hf-hub:someone/other?revision=v2"
    written = load("hf-hub:someone/other?revision=v2", tmp_path)
    assert torch.equal(written.encode_text(["a cat"]), encoder.encode_text(["a cat"]))
    with pytest.raises(AssetUnavailableError, match=r"someone/other: .* neither in the cache"):
        load("hf-hub:someone/other", tmp_path)


def test_a_repository_without_safetensors_is_taken_by_its_pickle_of_tensors(
    folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for file in folder.iterdir():
        if file.name != WEIGHTS:
            (source / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(folder / WEIGHTS), source / "open_clip_pytorch_model.bin")
    put_in_cache(tmp_path / "cache", "someone/old", source)
    encoder = load("hf-hub:someone/old", tmp_path / "cache")
    known = under_test.open_clip(f"local-dir:{folder}")
    assert torch.equal(encoder.encode_text(["a cat"]), known.encode_text(["a cat"]))


def test_a_bare_checkpoint_is_refused_unless_its_preprocessing_is_told(tagged: Path, folder: Path) -> None:
    spec = f"tiny-vit@{folder / WEIGHTS}"
    with pytest.raises(WeightsError, match=r"bare checkpoint.*does not guess; state mean=r,g,b"):
        load(spec, tagged)
    encoder = load(spec, tagged, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), interpolation="bilinear")
    assert (encoder.transform.std, encoder.transform.interpolation) == ((0.25, 0.25, 0.25), "bilinear")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "ViT-L-14-quickgel/openai",
            r"there is no open_clip architecture .*did you mean 'ViT-L-14-quickgelu'",
        ),
        ("ViT-L-14/opnai", r"there is no tag of ViT-L-14 'opnai'; did you mean 'openai'"),
        ("ViT-L-14", r"names no weights: write open_clip:ARCH/TAG \(of ViT-L-14: openai,"),
        ("ViT-L-14/openai?denes=value", r"did you mean 'dense'"),
        ("local-dir:/no/such", r"there is no folder /no/such"),
        ("ViT-B-32@../weights.pt", r"leads through '\.\.'"),
        ("ViT-L-14/openai", r"timm/vit_large_patch14_clip_224\.openai.*local-dir:"),
    ],
)
def test_specs_that_lead_nowhere_say_what_to_do(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, AssetUnavailableError), match=message):
        load(spec, tmp_path)


@pytest.mark.parametrize("kept", [0, 6, 1000, -1])
def test_weights_cut_short_are_refused(copied: Path, kept: int) -> None:
    (copied / WEIGHTS).write_bytes((copied / WEIGHTS).read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"open_clip_model\.safetensors cannot be read.*get it again"):
        under_test.open_clip(f"local-dir:{copied}")


def test_weights_of_another_architecture_are_refused(copied: Path) -> None:
    config = json.loads((copied / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"] |= {"width": 48, "layers": 2}
    (copied / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"is not a checkpoint of open_clip's .* name the architecture"):
        under_test.open_clip(f"local-dir:{copied}")


def test_weights_with_a_tensor_missing_are_refused(copied: Path) -> None:
    state = load_file(copied / WEIGHTS)
    del state["visual.proj"]
    save_file(state, copied / WEIGHTS)
    with pytest.raises(WeightsError, match=r"Missing key.*visual\.proj"):
        under_test.open_clip(f"local-dir:{copied}")


def test_a_folder_without_weights_or_with_a_broken_config_is_refused(copied: Path) -> None:
    (copied / "open_clip_config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"open_clip_config\.json cannot be read as JSON"):
        under_test.open_clip(f"local-dir:{copied}")
    (copied / WEIGHTS).unlink()
    with pytest.raises(AssetUnavailableError, match=r"holds none of open_clip_model\.safetensors"):
        under_test.open_clip(f"local-dir:{copied}")
