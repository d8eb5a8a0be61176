"""Words compete for pixels: maps worked out by hand, and what holds in general."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmbseg.labeling.competition import Competition, CompetitionSettings, WonMasks
from fmbseg.masks import MaskSet
from fmbseg.models.contracts import Concept

SIZE = (2, 4)
GRASS, SOIL, DOG = range(3)


def rows(*lines: str) -> np.ndarray:
    """A mask drawn with ``#``."""
    return np.array([[letter == "#" for letter in line] for line in lines])


def found(
    *instances: tuple[np.ndarray, float], presence: float = 1.0, semantic: list[list[float]] | None = None
) -> Concept:
    masks = np.array([mask for mask, _ in instances], np.bool_).reshape(len(instances), *SIZE)
    return Concept(
        presence,
        MaskSet.from_masks(masks, [score for _, score in instances]),
        None if semantic is None else np.array(semantic, np.float32),
    )


def compete(*words: tuple[int, Concept], **changes: float) -> WonMasks:
    competition = Competition(SIZE, CompetitionSettings(**changes))
    for class_id, concept in words:
        competition.add(class_id, concept)
    return competition.won()


def class_map(won: WonMasks) -> list[list[int]]:
    painted = np.full(SIZE, -1)
    for index, class_id in enumerate(won.class_ids):
        mask = won.masks.decode(index)
        assert (painted[mask] == -1).all()  # nobody else has them
        painted[mask] = class_id
    return painted.tolist()


def test_the_smaller_instance_lies_on_the_larger_whatever_their_scores() -> None:
    won = compete(
        (GRASS, found((rows("####", "####"), 0.9))),
        (DOG, found((rows(".##.", "...."), 0.5))),
    )
    assert class_map(won) == [[GRASS, DOG, DOG, GRASS], [GRASS] * 4]
    assert won.present == (GRASS, DOG)
    assert won.masks.predicted_iou.tolist() == pytest.approx([0.9, 0.5])


def test_of_one_mask_that_two_words_claim_the_better_score_keeps_it() -> None:
    four, three = rows("####", "...."), rows("###.", "....")  # IoU 3/4
    both = ((GRASS, found((four, 0.6))), (SOIL, found((three, 0.7))))
    assert class_map(compete(*both, same_mask=0.75)) == [[SOIL, SOIL, SOIL, -1], [-1] * 4]
    assert class_map(compete(*both, same_mask=0.76)) == [[SOIL, SOIL, SOIL, GRASS], [-1] * 4]


def test_a_semantic_map_bids_against_instances_and_other_maps() -> None:
    won = compete(
        (GRASS, found(semantic=[[0.9, 0.6, 0.4, 0.1], [0.9, 0.6, 0.4, 0.1]])),
        (SOIL, found(semantic=[[0.1, 0.7, 0.4, 0.2], [0.1, 0.5, 0.5, 0.2]])),
        (DOG, found((rows("##..", "...."), 0.8))),
        min_pixel_score=0.3,
    )
    # Top left: 0.9 of grass beats the dog's 0.8; beside it 0.8 beats 0.7; of two 0.4 the first class's wins.
    assert class_map(won) == [[GRASS, DOG, GRASS, -1], [GRASS, GRASS, SOIL, -1]]


def test_a_classs_own_map_does_not_cut_its_instance() -> None:
    won = compete((DOG, found((rows("##..", "...."), 0.5), semantic=[[0.9, 0.2, 0.9, 0.0], [0.0] * 4])))
    assert [won.masks.decode(index).tolist() for index in range(2)] == [
        rows("##..", "....").tolist(),
        rows("..#.", "....").tolist(),
    ]
    assert won.masks.predicted_iou.tolist() == pytest.approx([0.5, 0.9])


def test_who_takes_no_part() -> None:
    full = rows("####", "####")
    assert class_map(compete((DOG, found((full, 0.9), presence=0.49)))) == [[-1] * 4] * 2
    assert compete((DOG, found((full, 0.9), presence=0.49))).present == ()
    low = compete((DOG, found((full, 0.29))))
    assert low.present == (DOG,)  # it is there, and nobody knows where
    assert len(low.masks) == 0
    assert class_map(compete((DOG, found((full, 0.4))), min_pixel_score=0.5)) == [[-1] * 4] * 2


def test_a_class_of_two_words_has_the_masks_of_both_and_one_of_what_both_found() -> None:
    left, right = rows("##..", "##.."), rows("..##", "..##")
    won = compete((DOG, found((left, 0.6))), (DOG, found((left, 0.8), (right, 0.7))))
    assert class_map(won) == [[DOG] * 4] * 2
    assert won.masks.predicted_iou.tolist() == pytest.approx([0.8, 0.7])


def test_masks_of_another_size_are_refused() -> None:
    other = Concept(1.0, MaskSet.empty((3, 3)), None)
    with pytest.raises(ValueError, match=r"another size than \(2, 4\)"):
        compete((DOG, other))


@pytest.mark.parametrize("name", ["min_presence", "min_score", "min_pixel_score", "same_mask"])
def test_settings_outside_their_range_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} is 1\.5: it must be from 0 to 1"):
        CompetitionSettings(**{name: 1.5})


def test_a_detector_is_less_sure_that_a_word_is_there() -> None:
    assert CompetitionSettings.suited_to("grounded:local-dir:a+mobilesam") == CompetitionSettings(
        min_presence=0.3
    )
    assert CompetitionSettings.suited_to("hf-sam3:facebook/sam3") == CompetitionSettings()


scores = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])
concepts = st.builds(
    lambda presence, masks, given, semantic: Concept(
        presence, MaskSet.from_masks(masks, given[: len(masks)]), semantic
    ),
    st.sampled_from([0.2, 0.6, 1.0]),
    st.integers(0, 3).flatmap(lambda count: arrays(np.bool_, (count, *SIZE))),
    st.lists(scores, min_size=3, max_size=3),
    st.none() | arrays(np.float32, SIZE, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(concepts, min_size=1, max_size=3), concepts)
def test_one_word_a_pixel_in_any_order_and_absent_words_change_nothing(
    found: list[Concept], absent: Concept
) -> None:
    words = list(enumerate(found))
    expected = class_map(compete(*words))  # asserts that no pixel has two
    for order in permutations(words):
        assert class_map(compete(*order)) == expected
    assert class_map(compete(*words, (7, absent._replace(presence=0.4)))) == expected
