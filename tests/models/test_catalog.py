from pathlib import Path
from typing import Any

import pytest

from fmbseg.models.catalog import CARDS, ModelCard, find_card
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.models.registries import BACKBONES, CONCEPTS, IMAGE_TEXT, MASK_GENERATORS
from fmbseg.registry import Registry

REGISTRIES: dict[str, Registry[Any]] = {
    "backbone": BACKBONES,
    "image-text encoder": IMAGE_TEXT,
    "mask generator": MASK_GENERATORS,
    "concept model": CONCEPTS,
}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: str(card.name))
def test_every_card_is_registered_under_its_role_and_can_be_loaded(card: ModelCard) -> None:
    registry = REGISTRIES[card.role]
    assert card.name in registry.names()
    assert callable(registry.get(card.name))


def test_a_card_is_found_by_the_family_of_a_spec() -> None:
    card = find_card("mask generator", "mobilesam:anything")
    assert card is not None
    assert card.name == "mobilesam"
    assert find_card("backbone", "mobilesam") is None


def test_a_missing_package_is_named_with_its_extra() -> None:
    card = ModelCard("x", "X", "backbone", "MIT", "a:b", packages=("no-such-package", "pytest"), extra="onnx")
    assert card.lacks() == "not installed: no-such-package. pip install 'fmbseg[onnx]'"


def test_weights_are_looked_for_and_fetched_only_if_asked() -> None:
    fetched = []

    def find() -> None:
        raise AssetUnavailableError("get them there")

    card = ModelCard(
        "x", "X", "backbone", "MIT", "a:b", find_weights=find, fetch_weights=lambda: fetched.append("x")
    )
    assert card.lacks() == "get them there"
    assert fetched == []
    assert card.lacks(fetch=True) is None
    assert fetched == ["x"]


def test_mobilesam_lacks_its_files_in_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path))
    card = find_card("mask generator", "mobilesam")
    assert card is not None
    assert str(tmp_path) in (card.lacks() or "")
    assert list(tmp_path.iterdir()) == []
