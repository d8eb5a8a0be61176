"""A gated model, and a hub that is none: what is said, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fmbseg import PseudoLabeler
from fmbseg.cli.main import app
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.registries import BACKBONES
from tests.recipes.tiny_hub import hollow

if TYPE_CHECKING:
    from tests.hub.server import Hub

TOLD = (
    "facebook/sam3 is gated under the SAM License: ask for access on its page, "
    "https://huggingface.co/facebook/sam3, and log in (`hf auth login`, or token=...); "
    "'grounded:IDEA-Research/grounding-dino-tiny+hf-sam:facebook/sam-vit-base' is open to all"
)


@pytest.mark.parametrize("logged_in", [True, False], ids=["403", "401"])
def test_the_page_how_to_ask_and_what_is_open(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, logged_in: bool
) -> None:
    hollow(hub, "sam3")
    hub.repository("facebook/sam3").gated = True
    if not logged_in:
        monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(AssetUnavailableError) as told:
        PseudoLabeler("sam3")
    assert str(told.value) == TOLD
    done = CliRunner().invoke(app, ["models", "fetch", "sam3"])
    assert done.exit_code == 1
    assert f"concept model hf-sam3:facebook/sam3: {TOLD}" in done.stderr.splitlines()
    assert not hub.asked("GET", "/cdn/facebook/sam3")


def test_a_page_in_place_of_the_hub_is_told_in_one_line(hub: Hub) -> None:
    hub.html = True
    told = r"^me/model: .* to be had from the Hub \(what answers is not the Hub\)"
    with pytest.raises(AssetUnavailableError, match=told):
        BACKBONES.create("hf:me/model")
    done = CliRunner().invoke(app, ["pull", "me/head"])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: me/head: ")
    assert done.stderr.count("\n") == 1
    assert "had from the Hub (what answers is not the Hub)" in done.stderr
