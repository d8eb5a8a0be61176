"""Connections that break: a retry goes on where it stopped, or the error says so; nothing is left torn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from huggingface_hub import constants

from fmbseg import AlignedEncoder
from fmbseg.models.hub_push import PushError
from fmbseg.models.loading.errors import AssetUnavailableError
from tests.aligned.tiny import TinyBackbone
from tests.hub.heads import digest_of, make_encoder
from tests.hub.server import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hub.server import Hub

pytestmark = pytest.mark.filterwarnings(
    "ignore:the (backbone|image-text encoder) .* is not a model of the Hub"
)
ALWAYS = 10**6


def pull() -> AlignedEncoder:
    return AlignedEncoder.from_pretrained("alice/head", backbone=TinyBackbone())


def test_a_download_goes_on_where_it_broke_off(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    make_encoder().push_to_hub("alice/head")
    hub.faults.append(Fault("GET", "/cdn/", after=5000))
    assert digest_of(pull()) == digest_of(make_encoder())
    first, second = hub.asked("GET", "/cdn/")
    assert first.range is None
    assert second.range == "bytes=4096-"  # what came in whole chunks was kept


@pytest.mark.parametrize("path", ["/cdn/", "/config.json"])
def test_a_download_that_never_succeeds_is_told_and_leaves_nothing_torn(
    hub: Hub, tmp_path: Path, path: str
) -> None:
    make_encoder().push_to_hub("alice/head")
    fault = Fault("GET", path, after=100, times=ALWAYS)
    hub.faults.append(fault)
    with pytest.raises(AssetUnavailableError, match=r"alice/head.*: .* nor to be had from the Hub"):
        pull()
    kept = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert [file.name for file in kept if file.suffix == ".incomplete"] == []
    assert [file.name for file in kept if file.name == "model.safetensors"] == []
    fault.times = 0
    assert digest_of(pull()) == digest_of(make_encoder())


def test_a_download_that_broke_off_does_not_pass_for_whole_without_network(hub: Hub) -> None:
    make_encoder().push_to_hub("alice/head")
    hub.faults.append(Fault("GET", "/cdn/", after=100, times=ALWAYS))
    with pytest.raises(AssetUnavailableError):
        pull()
    with pytest.raises(AssetUnavailableError, match=r"model\.safetensors"):
        AlignedEncoder.from_pretrained("alice/head", backbone=TinyBackbone(), local_files_only=True)


def test_an_upload_is_tried_again(hub: Hub) -> None:
    hub.faults.append(Fault("PUT", "/upload/", after=3000))
    make_encoder().push_to_hub("alice/head")
    assert len(hub.asked("PUT", "/upload/")) == 2
    assert digest_of(pull()) == digest_of(make_encoder())


def test_an_upload_that_never_succeeds_leaves_the_head_that_was_there(hub: Hub) -> None:
    make_encoder(0).push_to_hub("alice/head")
    before = dict(hub.repository("alice/head").branches)
    fault = Fault("PUT", "/upload/", after=3000, times=ALWAYS)
    hub.faults.append(fault)
    with pytest.raises(PushError, match=r"alice/head was not pushed .*model\.safetensors.*push again"):
        make_encoder(1).push_to_hub("alice/head")
    assert hub.repository("alice/head").branches == before
    assert digest_of(pull()) == digest_of(make_encoder(0))
    fault.times = 0
    make_encoder(1).push_to_hub("alice/head")
    assert digest_of(pull()) == digest_of(make_encoder(1))


def test_what_was_uploaded_before_the_commit_broke_off_is_not_sent_twice(hub: Hub) -> None:
    make_encoder(0).push_to_hub("alice/head")
    # The Hub made the commit; its answer was lost.
    hub.faults.append(Fault("POST", "/commit/", after=0))
    with pytest.raises(PushError, match=r"alice/head was not pushed"):
        make_encoder(1).push_to_hub("alice/head")
    assert digest_of(pull()) == digest_of(make_encoder(1))  # all of it or nothing
    uploads = len(hub.asked("PUT", "/upload/"))
    make_encoder(1).push_to_hub("alice/head")
    assert len(hub.asked("PUT", "/upload/")) == uploads
    assert digest_of(pull()) == digest_of(make_encoder(1))
