"""The real client against a Hub on loopback: push, push again, pull a revision, pull offline, private."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from huggingface_hub import constants

from fmbseg import AlignedEncoder, Aligner, OpenVocabSegmenter
from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.saved import pull_head, push_head
from fmbseg.checksums import read_sealed_json, write_sealed_json
from fmbseg.models.hub_push import PushError
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.trust import UntrustedSpecError
from tests.aligned.tiny import TinyBackbone
from tests.hub.heads import WORDS, digest_of, make_encoder
from tests.models.hub_cache import forbid_network

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hub.server import Hub

FILES = ["README.md", "config.json", "model.safetensors"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:the (backbone|image-text encoder) .* is not a model of the Hub"
)


def pull(repo: str = "alice/head", **options: Any) -> AlignedEncoder:
    return AlignedEncoder.from_pretrained(repo, backbone=TinyBackbone(), **options)


def test_what_is_pushed_is_pulled_bit_for_bit(hub: Hub, tmp_path: Path) -> None:
    encoder, pixels = make_encoder(), torch.randn(1, 3, 16, 24)
    address = OpenVocabSegmenter(encoder).push_to_hub("alice/head", commit_message="the first")
    repository = hub.repository("alice/head")
    assert sorted(repository.files("main")) == FILES
    assert repository.messages[-1] == "the first"
    assert address == f"{hub.url}/alice/head/commit/{repository.branches['main']}"
    pulled = pull()
    assert digest_of(pulled) == digest_of(encoder)
    assert pulled.config == encoder.config
    assert torch.equal(pulled.encode(pixels), encoder.encode(pixels))
    assert torch.equal(pulled.encode_text(WORDS), encoder.encode_text(WORDS))  # no text encoder is there
    encoder.save_pretrained(tmp_path / "saved")
    for name in FILES[1:]:  # the card alone names the repository
        assert repository.files("main")[name].content == (tmp_path / "saved" / name).read_bytes()
    assert 'from_pretrained("alice/head")' in repository.files("main")["README.md"].content.decode()


def test_the_token_goes_to_the_hub_and_not_to_where_large_files_lie(hub: Hub) -> None:
    make_encoder().push_to_hub("alice/head")
    pull()
    api = [one for one in hub.seen if one.path.startswith(("/api", "/alice"))]
    assert {one.token for one in api} == {"hf_alice"}
    stored = hub.asked("GET", "/cdn/")
    assert stored
    assert {one.token for one in stored} == {None}


def test_a_repository_without_a_head_is_not_called_out_of_reach(hub: Hub) -> None:
    hub.put("alice/empty", {"README.md": b"soon"})
    with pytest.raises(AssetUnavailableError, match=r"without config\.json, and so may be the repository"):
        pull("alice/empty")


def test_a_second_push_is_a_second_commit_and_is_what_is_pulled_next(hub: Hub) -> None:
    make_encoder(0).push_to_hub("alice/head")
    first = hub.repository("alice/head").branches["main"]
    assert digest_of(pull()) == digest_of(make_encoder(0))
    make_encoder(1).push_to_hub("alice/head")
    assert hub.repository("alice/head").branches["main"] != first
    assert digest_of(pull()) == digest_of(make_encoder(1))  # although the first is in the cache
    assert digest_of(pull(revision=first)) == digest_of(make_encoder(0))
    asked = len(hub.seen)
    assert digest_of(pull(revision=first)) == digest_of(make_encoder(0))
    assert not [one for one in hub.seen[asked:] if "/cdn/" in one.path]  # a commit is fetched once


def test_pushing_the_same_again_sends_no_weights(hub: Hub) -> None:
    make_encoder().push_to_hub("alice/head")
    make_encoder().push_to_hub("alice/head")
    assert len(hub.asked("PUT", "/upload/")) == 1


def test_a_branch_is_made_and_pulled_by_name(hub: Hub) -> None:
    make_encoder(0).push_to_hub("alice/head")
    make_encoder(1).push_to_hub("alice/head", branch="wider")
    make_encoder(2).push_to_hub("alice/head", branch="wider")  # which is there now
    assert digest_of(pull()) == digest_of(make_encoder(0))
    assert digest_of(pull(revision="wider")) == digest_of(make_encoder(2))
    with pytest.raises(AssetUnavailableError, match=r"alice/head \(revision wide\)"):
        pull(revision="wide")


def test_from_the_cache_without_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    make_encoder().push_to_hub("alice/head")
    pull()
    tried = forbid_network(monkeypatch)
    assert digest_of(pull(local_files_only=True)) == digest_of(make_encoder())
    assert tried == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert digest_of(pull()) == digest_of(make_encoder())
    assert tried == []
    with pytest.raises(AssetUnavailableError, match=r"alice/other: .*config\.json"):
        pull("alice/other", local_files_only=True)


def test_where_the_hub_is_not_reached_the_cache_serves(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    make_encoder().push_to_hub("alice/head")
    pull()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing answers there
    assert digest_of(pull()) == digest_of(make_encoder())
    with pytest.raises(PushError, match=r"alice/head was not pushed .* push again when the Hub is reached"):
        make_encoder().push_to_hub("alice/head")


def test_a_cache_of_ones_own(hub: Hub, tmp_path: Path) -> None:
    make_encoder().push_to_hub("alice/head")
    pull(cache_dir=tmp_path / "mine")
    assert (tmp_path / "mine" / "models--alice--head").is_dir()
    assert not (tmp_path / "cache" / "models--alice--head").exists()


def test_a_private_repository_takes_its_owners_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    make_encoder().push_to_hub("alice/secret", private=True)
    assert hub.repository("alice/secret").private
    monkeypatch.delenv("HF_TOKEN")
    for token in (None, "hf_bob"):
        with pytest.raises(AssetUnavailableError, match=r"alice/secret: .*private repository with token="):
            pull("alice/secret", token=token)
    assert digest_of(pull("alice/secret", token="hf_alice")) == digest_of(make_encoder())


def test_pushing_without_the_right_to_says_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PushError, match=r"bob/head was not pushed .*owner's name is yours"):
        make_encoder().push_to_hub("bob/head")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PushError, match=r"alice/head was not pushed .*hf auth login"):
        make_encoder().push_to_hub("alice/head")
    with pytest.raises(PushError, match=r"alice/head was not pushed"):
        make_encoder().push_to_hub("alice/head", token="hf_nobody")
    assert hub.store.repositories == {}
    make_encoder().push_to_hub("alice/head", token="hf_alice")


def test_folders_are_pushed_and_pulled_without_the_frozen_models(hub: Hub, tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.save_pretrained(tmp_path / "head")
    config = tmp_path / "head" / "config.json"
    content = read_sealed_json(config)
    content["backbone"]["spec"] = "timm:vit_that_nobody_has"  # a model is neither made nor looked for
    write_sealed_json(config, content)
    (tmp_path / "head" / "README.md").write_text("---\nlicense: mit\n---\nwritten by hand\n")
    push_head(tmp_path / "head", "alice/head")
    folder = pull_head("alice/head", tmp_path / "pulled")
    assert sorted(path.name for path in folder.glob("[!.]*")) == FILES
    assert (folder / "README.md").read_text() == "---\nlicense: mit\n---\nwritten by hand\n"
    assert read_sealed_json(folder / "config.json") == content
    cached = pull_head("alice/head", options=HubOptions(local_files_only=True))
    assert cached.is_relative_to(tmp_path / "cache")
    with pytest.raises(AlignedEncoderError, match=r"config\.json is missing"):
        push_head(tmp_path, "alice/other")
    assert ("model", "alice/other") not in hub.store.repositories


def test_models_of_this_machine_are_told_when_pushing_and_refused_when_pulling(hub: Hub) -> None:
    with pytest.warns(UserWarning, match=r"backbone 'tiny-test' is not a model of the Hub.*backbone="):
        make_encoder().push_to_hub("alice/head")
    with pytest.raises(UntrustedSpecError, match=r"'tiny-test'.*backbone=\.\.\."):
        AlignedEncoder.from_pretrained("alice/head")
    assert AlignedEncoder.from_pretrained("alice/head", backbone="tiny-test").backbone.dim == 24


def test_an_aligner_goes_on_from_a_pulled_head(hub: Hub) -> None:
    settings = {"epochs": 3, "optimizer": "adamw", "learning_rate": 0.001}
    make_encoder(settings=settings).push_to_hub("alice/head")
    aligner = Aligner.from_pretrained("alice/head", backbone=TinyBackbone())
    assert (aligner.settings.epochs, aligner.settings.optimizer) == (3, "adamw")
    assert digest_of(aligner.encoder) == digest_of(make_encoder())
