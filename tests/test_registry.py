"""Registration, lookup and creation, with an installed package's entry points as they are on disk."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from fmbseg.registry import Registry, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GROUP = "fmbseg_test.numbers"


def make_registry() -> Registry[object]:
    return Registry(
        "number", GROUP, {"fraction": "fractions:Fraction", "absent": "no_such_package.deep:make"}
    )


def shout(text: str, *, times: int = 1) -> str:
    return text.upper() * times


def whisper() -> str:
    return "psst"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lays a distribution with these entry points where the interpreter finds it."""

    def write(entry_points: str) -> None:
        info = tmp_path / "plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}\n")
        (tmp_path / "fmbseg_test_plugin.py").write_text("def seven():\n    return 7\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "fmbseg_test_plugin", raising=False)

    return write


def test_builtin_is_made_from_a_spec_with_and_without_a_rest() -> None:
    registry = make_registry()
    assert registry.create("fraction:3/4") == Fraction(3, 4)
    assert registry.create("fraction") == 0
    assert registry.get("fraction") is Fraction


def test_only_the_first_colon_splits_a_spec() -> None:
    registry = make_registry()
    registry.register("shout")(shout)
    assert registry.create("shout:a:b@/c", times=2) == "A:B@/CA:B@/C"


def test_listing_imports_nothing() -> None:
    assert make_registry().names() == ["absent", "fraction"]
    assert "no_such_package" not in sys.modules


def test_register_returns_the_factory_itself() -> None:
    registry = make_registry()
    assert registry.register("shout")(shout) is shout
    assert registry.get("shout") is shout
    assert "shout" in registry.names()


def test_duplicate_names_both_places() -> None:
    registry = make_registry()
    registry.register("voice")(shout)
    with pytest.raises(ValueError, match=rf"'voice': {__name__}:shout and {__name__}:whisper"):
        registry.register("voice")(whisper)
    assert registry.get("voice") is shout
    with pytest.raises(ValueError, match=rf"'fraction': fractions:Fraction and {__name__}:whisper"):
        registry.register("fraction")(whisper)


@pytest.mark.parametrize("name", ["", "a:b"])
def test_names_that_a_spec_cannot_say_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must not be empty or hold a colon"):
        make_registry().register(name)(whisper)


def test_unknown_name_offers_near_misses_and_what_there_is() -> None:
    with pytest.raises(UnknownNameError) as caught:
        make_registry().create("fractoin:1")
    assert str(caught.value) == (
        "there is no number 'fractoin'; did you mean 'fraction'? Available: absent, fraction"
    )
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, ValueError)


def test_missing_package_is_named() -> None:
    with pytest.raises(ImportError, match=r"number 'absent' .*'no_such_package'.*install"):
        make_registry().get("absent")


def test_arguments_that_do_not_fit_show_the_signature() -> None:
    registry = make_registry()
    registry.register("whisper")(whisper)
    registry.register("shout")(shout)
    with pytest.raises(ValueError, match=r"'whisper:loud' does not fit .*:whisper\(\): too many"):
        registry.create("whisper:loud")
    with pytest.raises(ValueError, match=r"missing a required argument: 'text'"):
        registry.create("shout")
    with pytest.raises(ValueError, match=r"with tmies does not fit .*shout\(text.*times"):
        registry.create("shout:a", tmies=2)


def test_an_error_inside_the_factory_is_not_dressed_up() -> None:
    def fails() -> object:
        raise TypeError("from within")

    registry = make_registry()
    registry.register("fails")(fails)
    with pytest.raises(TypeError, match=r"^from within$"):
        registry.create("fails")


def test_what_cannot_be_called_is_no_factory() -> None:
    with pytest.raises(TypeError, match=r"math:pi is 3\.14"):
        Registry[object]("number", GROUP, {"pi": "math:pi"}).get("pi")


def test_entry_points_are_listed_and_loaded_when_used(install: Callable[[str], None]) -> None:
    install("seven = fmbseg_test_plugin:seven")
    registry = make_registry()
    assert registry.names() == ["absent", "fraction", "seven"]
    assert "fmbseg_test_plugin" not in sys.modules
    assert registry.create("seven") == 7


def test_entry_point_that_shadows_a_builtin_names_both(install: Callable[[str], None]) -> None:
    install("fraction = fmbseg_test_plugin:seven")
    registry = make_registry()
    for use in (registry.names, lambda: registry.get("fraction")):
        with pytest.raises(ValueError, match="fractions:Fraction and fmbseg_test_plugin:seven"):
            use()
