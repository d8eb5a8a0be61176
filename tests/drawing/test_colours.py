"""Classes of one picture are told apart, and keep their colours in a run."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fmbseg.drawing.colours import APART, ClassColours, table
from fmbseg.drawing.palette import apart, distinct_colours

PICTURES = st.lists(st.lists(st.integers(0, 999), max_size=15, unique=True), max_size=6)


def nearest(colours: dict[int, tuple[int, int, int]]) -> float:
    distances = apart(np.array(list(colours.values()), dtype=np.uint8).reshape(-1, 3))
    return float((distances + np.diag(np.full(len(colours), np.inf))).min(initial=np.inf))


@settings(max_examples=40, deadline=None)
@given(PICTURES)
def test_fifteen_classes_of_a_picture_are_told_apart_whatever_was_drawn_before(
    pictures: list[list[int]],
) -> None:
    run = ClassColours()
    for present in pictures:
        colours = run.of(present)
        assert set(colours) == set(present)
        assert nearest(colours) >= APART


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 999), max_size=15, unique=True), st.data())
def test_of_fifteen_classes_in_a_run_each_keeps_its_colour(present: list[int], data: st.DataObject) -> None:
    run = ClassColours()
    seen: dict[int, tuple[int, int, int]] = {}
    for _ in range(4):
        part = data.draw(st.lists(st.sampled_from(present), unique=True)) if present else []
        for index, colour in run.of(part).items():
            assert seen.setdefault(index, colour) == colour


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 23), unique=True))
def test_the_first_two_dozen_classes_have_colours_of_their_own(present: list[int]) -> None:
    own = distinct_colours(24).tolist()
    assert {index: list(colour) for index, colour in ClassColours().of(present).items()} == {
        index: own[index] for index in present
    }


def test_a_class_that_would_be_mistaken_for_another_gives_way() -> None:
    run = ClassColours()
    first, same = run.of([3]), run.of([259])  # both would have the fourth colour
    assert first[3] != same[259]
    full = run.of(range(300))
    assert len(full) == 300
    assert full[3] == first[3]


def test_as_many_classes_as_there_are_colours_are_still_drawn() -> None:
    colours = ClassColours().of(range(80))
    assert len(set(colours.values())) == 80


def test_the_colours_of_a_map_are_chosen_by_area() -> None:
    small_then_large = np.array([[3, 259, 259, -1]])
    colours = ClassColours().of_map(small_then_large)
    assert colours[259] == tuple(distinct_colours(4)[3].tolist())  # the larger has the first choice
    assert colours[3] != colours[259]
    assert ClassColours().of_map(np.full((2, 2), -1)) == {}
    assert set(ClassColours().of_map(np.array([[0]]), np.array([5]))) == {0, 5}


def test_a_table_is_black_where_there_is_no_class() -> None:
    assert table({}).tolist() == [[0, 0, 0]]
    assert table({0: (1, 2, 3)})[np.array([[0, -1]])].tolist() == [[[1, 2, 3], [0, 0, 0]]]
