"""Near misses that people and tools make: other cases, other Unicode forms, typing errors."""

from __future__ import annotations

import pytest

from fmbseg.unknown_name import UnknownNameError, near_misses


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Dog", "there is no class 'Dog'; did you mean 'dog'? Available: dog, cafe\u0301"),
        ("DOG ", "did you mean 'dog'? Available"),
        (
            "caf\u00e9",
            "did you mean 'cafe\u0301'? It looks the same, but its letters have another",
        ),
        ("dgo", "did you mean 'dog'? Available"),
        ("horse", "there is no class 'horse'. Available: dog, cafe\u0301"),
    ],
)
def test_near_misses(name: str, told: str) -> None:
    assert told in str(UnknownNameError("class", name, ["dog", "cafe\u0301"]))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hot_dog", "hot dog"),
        ("Hot-Dog", "hot dog"),
        ("hotdog", "hot dog"),
        ("IMG 1.JPG", "IMG_1.jpg"),
        ("STRASSE", "stra\u00dfe"),
        ("dgo", "dog"),
    ],
)
def test_what_was_meant(name: str, meant: str) -> None:
    assert near_misses(name, ["cat", "dog", "fog", "hot dog", "IMG_1.jpg", "stra\u00dfe"])[0] == meant
