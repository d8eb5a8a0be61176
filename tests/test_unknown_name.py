"""Near misses that people and tools make: other cases, other Unicode forms, typing errors."""

from __future__ import annotations

import pytest

from fmbseg.unknown_name import UnknownNameError


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
