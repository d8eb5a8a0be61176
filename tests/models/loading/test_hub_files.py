"""Files of Hub models: from the cache without network, and what is said where they are not to be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import constants

from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.loading.hub_files import HubOptions, cached_folder, commit_of, hub_folder, hub_folder_of
from fmbseg.models.registries import BACKBONES, CONCEPTS
from tests.models.hub_cache import COMMIT, cache_repository, forbid_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = ["config.json", "*.safetensors"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_without_network_and_cache_the_message_names_repository_files_and_ways(tmp_path: Path) -> None:
    options = HubOptions(cache_dir=tmp_path, local_files_only=True, revision="v1")
    with pytest.raises(AssetUnavailableError) as caught:
        hub_folder("someone/some-model", ["config.json", "model.safetensors"], options)
    for part in ("someone/some-model", "v1", "config.json", "model.safetensors", "cache_dir", "local-dir:"):
        assert part in str(caught.value)


def test_what_is_cached_needs_no_network(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = cache_repository(tmp_path / "hub", "me/model", model)
    tried = forbid_network(monkeypatch)
    for revision in (None, "main", COMMIT):
        found = hub_folder("me/model", FILES, HubOptions(cache_dir=tmp_path / "hub", revision=revision))
        assert found == snapshot
        assert commit_of(found) == COMMIT
    assert tried == []


def test_a_download_that_was_cut_short_does_not_count_as_cached(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = forbid_network(monkeypatch)
    (model / "model.safetensors").unlink()
    cache_repository(tmp_path / "hub", "me/half", model)
    options = HubOptions(cache_dir=tmp_path / "hub")
    assert cached_folder("me/half", FILES, options) is None
    with pytest.raises(AssetUnavailableError, match=r"me/half: .*\*\.safetensors"):
        hub_folder("me/half", FILES, options)
    assert tried  # the Hub was asked for the rest
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    (model / "model-1.safetensors").write_bytes(b"")
    cache_repository(tmp_path / "hub", "me/shards", model)
    files = (*FILES, "model.safetensors.index.json")
    assert cached_folder("me/shards", files, options) is None
    (model / "model-2.safetensors").write_bytes(b"")
    cache_repository(tmp_path / "hub", "me/whole", model)
    assert cached_folder("me/whole", files, options) is not None


def test_optional_files_may_be_missing(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_network(monkeypatch)
    cache_repository(tmp_path / "hub", "me/model", model)
    options = HubOptions(cache_dir=tmp_path / "hub")
    assert hub_folder("me/model", FILES, options, optional=["preprocessor_config.json"]).is_dir()


def test_what_is_no_name_of_a_repository_is_refused() -> None:
    with pytest.raises(ValueError, match="'a/b/c' is not the name of a Hub repository"):
        hub_folder("a/b/c", FILES, HubOptions(local_files_only=True))


def test_the_first_choice_that_is_cached_is_taken(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = forbid_network(monkeypatch)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    snapshot = cache_repository(tmp_path / "hub", "me/older", model)
    options = HubOptions(cache_dir=tmp_path / "hub")
    choices = (("*.safetensors",), ("pytorch_model*.bin",))
    assert hub_folder_of("me/older", ("config.json",), choices, options) == snapshot
    assert tried == []
    (snapshot / "pytorch_model.bin").unlink()
    with pytest.raises(AssetUnavailableError, match=r"me/older: .*\*\.safetensors"):
        hub_folder_of("me/older", ("config.json",), choices, options)
    assert tried


class _Hub(BaseHTTPRequestHandler):
    """A Hub whose every repository is gated; it remembers what it was asked with."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(403)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("X-Error-Message", "Access is restricted")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    """What the gated Hub is asked for, with which token; the client's settings are set to that Hub."""
    asked: list[tuple[str, str | None]] = []
    handler = type("Handler", (_Hub,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "ENDPOINT": address,
            "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield asked
        server.shutdown()
        thread.join()


def refusal(spec: str, **options: Any) -> str:
    with pytest.raises(AssetUnavailableError) as caught:
        create_model(BACKBONES, spec, HubOptions(**options))
    return str(caught.value)


def test_a_gated_model_names_its_licence_page_and_the_open_alternative(
    asked: list[tuple[str, str | None]],
) -> None:
    said = refusal("dinov3_vitl16", token="hf_mine")
    for part in (
        "gated under the DINOv3 License",
        "https://huggingface.co/facebook/dinov3-vitl16-pretrain-lvd1689m",
        "hf auth login",
        "'dinov2_vitl14_reg' is open to all",
    ):
        assert part in said
    assert asked
    assert {token for _, token in asked} == {"Bearer hf_mine"}
    assert all("dinov3-vitl16" in path for path, _ in asked)


def test_a_gated_teacher_does_so_too(asked: list[tuple[str, str | None]]) -> None:
    with pytest.raises(AssetUnavailableError) as caught:
        create_model(CONCEPTS, "hf-sam3:facebook/sam3", HubOptions())
    for part in (
        "facebook/sam3 is gated under the SAM License: ask for access on its page, ",
        "https://huggingface.co/facebook/sam3",
        "hf auth login",
        "'grounded:IDEA-Research/grounding-dino-tiny+hf-sam:facebook/sam-vit-base' is open to all",
    ):
        assert part in str(caught.value)
    assert asked


def test_a_revision_is_asked_for_by_name(asked: list[tuple[str, str | None]]) -> None:
    refusal("dinov2_vits14?revision=v2.0")
    assert asked
    assert all("v2.0" in path for path, _ in asked)


@pytest.mark.parametrize("by_option", [True, False])
def test_offline_the_hub_is_not_asked(
    asked: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", not by_option)
    said = refusal("dinov3_vitb16", local_files_only=by_option)
    assert "neither in the cache" in said
    assert "DINOv3 License" in said
    assert asked == []


def test_the_papers_encoder_without_network_and_cache_fails_before_any_work(tmp_path: Path) -> None:
    code = """
import sys, time
import torch
from fmbseg import Aligner
start = time.process_time()
try:
    Aligner(backbone="dinov2_vitl14")
except Exception as error:
    print(type(error).__name__, error)
print(time.process_time() - start)
print([name for name in ("timm", "transformers", "torchvision", "open_clip") if name in sys.modules])
"""
    settings = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(  # nothing answers at that address
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=settings, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    for part in (
        "AssetUnavailableError",
        "timm/vit_large_patch14_dinov2.lvd142m",
        "config.json, model.safetensors",
        "where the Hub is reached",
        "cache_dir=",
        "'FAMILY:local-dir:/path/to/folder'",
    ):
        assert part in said
    seconds, imported = said.splitlines()[-2:]
    assert float(seconds) < 2
    assert imported == "[]"  # no model library, so nothing was built
