"""What ``auto`` chooses, with a Hub on loopback that is there, slow, gated, away or something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from huggingface_hub import constants

from fmbseg import PseudoLabeler
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.hub_files import HubOptions, hub_folder
from fmbseg.recipes import Recipe, get_recipe
from fmbseg.recipes.auto import BEST_FIRST, ByRecipe, choose, device_gigabytes, named_by_environment
from fmbseg.recipes.sources import HubSource, gates_of, sources_of
from fmbseg.unknown_name import UnknownNameError
from tests.hub.client import turn_to
from tests.hub.server import Hub, running_hub
from tests.recipes.tiny_hub import hollow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """It has all open recipes; the device has 16 GB."""
    monkeypatch.delenv("FMBSEG_RECIPE")
    memory(monkeypatch, 16)
    with running_hub() as server:
        turn_to(server, tmp_path, monkeypatch)
        for name in BEST_FIRST:
            hollow(server, name)
        yield server


def memory(monkeypatch: pytest.MonkeyPatch, gigabytes: float | None) -> None:
    monkeypatch.setattr("fmbseg.recipes.auto.device_gigabytes", lambda _device: gigabytes)


def chosen(device: torch.device = GPU, options: HubOptions | None = None) -> tuple[str, str]:
    choice = choose(options, device)
    return choice.recipe.name, choice.why


def fetch(recipe: str, repos: int | None = None) -> None:
    for source in sources_of(get_recipe(recipe))[:repos]:
        assert isinstance(source, HubSource)
        hub_folder(source.repo, source.files, HubOptions())


def test_the_best_open_one_that_fits_the_memory(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for gigabytes in (24, 8, 7.9, 4, 3.9):
        memory(monkeypatch, gigabytes)
        found[gigabytes] = chosen()[0]
    assert found == {24: "tipsv2", 8: "tipsv2", 7.9: "base", 4: "base", 3.9: "offline"}
    assert chosen()[1].startswith(
        "not tipsv2: it needs 8 GB of memory, and cuda has 3.9; not paper: it needs 12"
    )
    for gigabytes, name in ((64, "base"), (6, "base"), (5.9, "offline")):
        memory(monkeypatch, gigabytes)
        assert chosen(CPU)[0] == name
    memory(monkeypatch, None)  # where it cannot be told, it is no reason against
    assert chosen(CPU)[0] == "base"


def test_one_whose_package_is_not_installed_is_passed_over(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmbseg.recipes.auto.find_spec", lambda _package: None)
    name, why = chosen()
    assert name == "paper"
    assert why.endswith("; not tipsv2: it needs sentencepiece (pip install 'fmbseg[sentencepiece]')")


def test_one_that_is_gated_is_passed_over(hub: Hub) -> None:
    hub.repository("google/tipsv2-l14").gated = True
    name, why = chosen()
    assert name == "paper"
    assert why.endswith("5.5 GB of its files are fetched now; not tipsv2: google/tipsv2-l14 is gated")
    assert chosen(CPU)[0] == "base"
    assert all(not gates_of(get_recipe(name)) for name in BEST_FIRST)


def test_without_a_hub_what_is_in_the_cache_counts(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch("base", 2)  # of its three repositories
    asked = len(hub.seen)
    name, why = chosen(CPU)
    assert name == "base"
    assert why.startswith("the best open one within reach; 0.3 GB of its files are fetched now; not tipsv2: ")
    assert [one.path for one in hub.seen[asked:]] == [
        "/timm/vit_base_patch14_dinov2.lvd142m/resolve/main/config.json"
    ]
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing answers there
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    name, why = chosen(CPU)
    assert name == "offline"
    assert "not base: timm/vit_base_patch14_dinov2.lvd142m is not in the cache, and the Hub is not r" in why


def test_all_in_the_cache_needs_no_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch("base")
    asked = len(hub.seen)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert chosen(CPU)[0] == "base"
    name, why = chosen(GPU)
    assert name == "base"
    assert "its files are here; not tipsv2: google/tipsv2-l14 is not in the cache, and the network is" in why
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert chosen(GPU, HubOptions(local_files_only=True))[0] == "base"
    assert chosen(GPU, HubOptions(local_files_only=True, cache_dir="elsewhere"))[0] == "offline"
    assert len(hub.seen) == asked


def test_a_hub_that_takes_longer_than_two_seconds_is_not_waited_for(hub: Hub) -> None:
    hub.delay = 2.5
    assert chosen(CPU)[1].endswith("is not in the cache, and the Hub did not answer within 2 s")
    assert len(hub.seen) == 1  # there is no use in asking again


def test_a_page_in_place_of_the_hub(hub: Hub) -> None:
    hub.html = True
    name, why = chosen()
    assert name == "offline"
    assert why.count(f"what answers at {hub.url} is not the Hub") == 3


def test_a_recipe_that_does_not_load_is_passed_over_with_a_warning(hub: Hub) -> None:
    def make(recipe: Recipe | None) -> str:
        assert recipe is not None
        if recipe.name in ("tipsv2", "paper"):
            raise WeightsError(f"{recipe.name} is broken")
        return recipe.name

    by_recipe = ByRecipe("auto", make, None, GPU)
    with pytest.warns(UserWarning, match="does not load: ") as told:
        assert by_recipe.made() == "base"
    assert [str(one.message) for one in told] == [
        "recipe tipsv2 does not load: tipsv2 is broken",
        "recipe paper does not load: paper is broken",
    ]
    assert (by_recipe.name, by_recipe.made()) == ("base", "base")


def test_files_that_are_none_lead_to_the_small_models(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    labeler = PseudoLabeler(mask_generator="superpixels", device="cpu")  # nothing is chosen yet
    assert hub.seen == []
    with pytest.warns(UserWarning, match=r"recipe base does not load: .*open_clip_model\.safetensors"):
        assert labeler.encoder.spec == "conse"
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("recipe ")]
    assert [line.partition(" (")[0] for line in said] == ["recipe base", "recipe offline"]
    assert "not base: it did not load (" in said[1]
    assert labeler.origin["models"]["recipe"] == "offline"


def test_what_the_user_got_wrong_is_not_taken_for_a_recipe_that_does_not_load(hub: Hub) -> None:
    def make(recipe: Recipe | None) -> None:
        raise ValueError("settings out of range")

    with pytest.raises(ValueError, match="settings out of range"):
        ByRecipe("auto", make, None, GPU).made()


def test_the_environment_names_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(recipe: Recipe | None) -> str:
        return "none" if recipe is None else recipe.name

    assert ByRecipe("auto", make, None, GPU, needed=False).made() == "none"
    for value, name in (("sam3", "sam3"), ("auto", None), ("", None)):
        monkeypatch.setenv("FMBSEG_RECIPE", value)
        assert named_by_environment() == name
        assert ByRecipe("auto", make, None, GPU).made() == (name or "tipsv2")
        assert ByRecipe("base", make, None, GPU).made() == "base"
    monkeypatch.setenv("FMBSEG_RECIPE", "bsae")
    with pytest.raises(UnknownNameError, match="no recipe 'bsae'; did you mean 'base'"):
        ByRecipe("auto", make, None, GPU).made()


def test_the_memory_of_this_machine() -> None:
    found = device_gigabytes(CPU)
    assert found is None or 0.1 < found < 1e5
