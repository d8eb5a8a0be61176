"""Parts: each item is in exactly one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmbseg.part import Part


@given(st.integers(0, 30), st.integers(1, 40))
def test_every_item_is_in_one_part(items: int, count: int) -> None:
    taken = [item for index in range(1, count + 1) for item in Part(index, count).take(range(items))]
    assert sorted(taken) == list(range(items))


@pytest.mark.parametrize("text", ["", "1", "1/", "/2", "a/2", "1/2/3", "-1/2", "1.5/2"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="a part is written as 1/2"):
        Part.of(text)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0"])
def test_parts_that_do_not_exist(text: str) -> None:
    with pytest.raises(ValueError, match=f"part {text}: the first number is from 1 to the second"):
        Part.of(text)
