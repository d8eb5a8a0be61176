"""The shared loop on a world of rectangles, where every answer can be worked out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from segment_anything.utils.amg import build_point_grid, calculate_stability_score

from fmbseg.models.mask_generators import candidates, search
from fmbseg.models.mask_generators.candidates import Candidates, run_lengths
from fmbseg.models.mask_generators.sam_prompter import SamPrompter
from fmbseg.models.mask_generators.sampling import GridSampler, Seen
from fmbseg.models.mask_generators.settings import EverythingSettings

HEIGHT, WIDTH = 32, 48


class Rectangles:
    """Decoder of an image of rectangles (top, bottom, left, right): a point gives those that hold it.

    Logits rise from -3 outside over ``edge`` in the outermost ring of pixels to 3 within.
    """

    def __init__(
        self, rectangles: list[tuple[int, int, int, int]], ious: list[float], edge: float = 3.0
    ) -> None:
        self.size = (HEIGHT, WIDTH)
        self.rectangles, self.ious, self.edge = rectangles, ious, edge
        self.points: list[tuple[float, float]] = []
        self.batches: list[int] = []
        self.upscaled = 0

    def decode(self, points: NDArray[np.float32], *, beside: int = 0, least: float = -math.inf) -> Candidates:
        self.batches.append(len(points))
        logits = torch.full((len(points), len(self.rectangles), HEIGHT, WIDTH), -3.0)
        ious = torch.zeros(len(points), len(self.rectangles))
        for row, prompt in enumerate(points):
            self.points += [(float(x), float(y)) for x, y in prompt]
            for column, (top, bottom, left, right) in enumerate(self.rectangles):
                held = [left <= x < right and top <= y < bottom for x, y in prompt]
                if held == [True] * (len(prompt) - beside) + [False] * beside:
                    logits[row, column, top:bottom, left:right] = self.edge
                    logits[row, column, top + 1 : bottom - 1, left + 1 : right - 1] = 3.0
                    ious[row, column] = self.ious[column]
        return Candidates(logits, ious)

    def decode_boxes(self, boxes: NDArray[np.float32]) -> Candidates:
        """The rectangles that hold a box's middle."""
        return self.decode(boxes.reshape(-1, 2, 2).mean(axis=1, keepdims=True))

    def upscale(self, logits: torch.Tensor) -> torch.Tensor:
        self.upscaled += len(logits)
        return logits

    def sample(self, logits: torch.Tensor, points: NDArray[np.float32]) -> torch.Tensor:
        return logits[:, points[:, 1].astype(int), points[:, 0].astype(int)]

    def features(self, points: NDArray[np.float32]) -> torch.Tensor:
        """Which rectangles hold each point."""
        held = [
            [top <= y < bottom and left <= x < right for top, bottom, left, right in self.rectangles]
            for x, y in points
        ]
        return torch.tensor(held, dtype=torch.float32)


def prompter_of(decoder: Rectangles, settings: EverythingSettings) -> SamPrompter:
    return SamPrompter(np.zeros((HEIGHT, WIDTH, 3), np.uint8), lambda _: decoder, settings)


QUARTERS = [(0, 16, 0, 24), (0, 16, 24, 48), (16, 32, 0, 24), (16, 32, 24, 48)]


def test_a_point_beside_a_thing_chooses_among_its_masks() -> None:
    part, whole = (4, 12, 4, 12), (0, 16, 0, 24)
    prompter = prompter_of(Rectangles([part, whole], [0.7, 0.9]), EverythingSettings())
    inside, none = np.array([[8, 8]], np.float32), np.zeros((0, 2), np.float32)
    for outside, wanted in ((none, whole), (np.array([[20, 8]], np.float32), part)):
        found = prompter.prompt_thing(inside, outside)
        assert found.areas.tolist() == [(wanted[1] - wanted[0]) * (wanted[3] - wanted[2])]
    with pytest.raises(ValueError, match=r"must be \(P, 2\) with P >= 1"):
        prompter.prompt_thing(none, inside)
    with pytest.raises(ValueError, match="outside the image of 48 x 32 px"):
        prompter.prompt_thing(inside, np.array([[60, 8]], np.float32))


def test_grid_points_are_those_of_segment_anything() -> None:
    decoder = Rectangles(QUARTERS, [0.9] * 4)
    prompter_of(decoder, EverythingSettings(points_per_side=8, points_per_batch=10)).everything()
    np.testing.assert_allclose(decoder.points, build_point_grid(8) * [WIDTH, HEIGHT])
    assert decoder.batches == [10] * 6 + [4]


@pytest.mark.parametrize("sampling", ["grid", "cover", "adaptive"])
def test_everything_finds_each_rectangle_once_best_first(sampling: str) -> None:
    decoder = Rectangles(QUARTERS, [0.91, 0.99, 0.95, 0.93])
    settings = EverythingSettings.of({"points_per_side": 8, "sampling": sampling, "points_per_batch": 1})
    masks = prompter_of(decoder, settings).everything()
    assert masks.predicted_iou.tolist() == pytest.approx([0.99, 0.95, 0.93, 0.91])
    assert masks.boxes.tolist() == [[24, 0, 48, 16], [0, 16, 24, 32], [24, 16, 48, 32], [0, 0, 24, 16]]


def test_cover_spends_one_point_on_each_rectangle() -> None:
    decoder = Rectangles(QUARTERS, [0.9] * 4)
    settings = EverythingSettings(points_per_side=16, sampling="cover", points_per_batch=1)
    assert len(prompter_of(decoder, settings).everything()) == 4
    # The first round, the middles of blocks of 8 x 8 cells, has one in each quarter.
    assert decoder.points == [(13.5, 9), (37.5, 9), (13.5, 25), (37.5, 25)]


def test_samplers_hear_of_every_candidate_by_how_sure_the_model_is_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A point in both of two rectangles, of 0.8 and 0.4, and one in the larger alone; logits are 3 or -3."""
    heard: list[NDArray[np.float32]] = []

    class Listener(GridSampler):
        learns = True

        def tell(self, seen: Seen) -> None:
            heard.append(seen.likely)

    monkeypatch.setattr(search, "make_sampler", lambda *_: Listener(2))
    decoder = Rectangles([(0, 32, 0, 48), (0, 16, 0, 24)], [0.8, 0.4])
    settings = EverythingSettings(points_per_side=2, points_per_batch=1)
    SamPrompter(np.zeros((HEIGHT, WIDTH, 3), np.uint8), lambda _: decoder, settings).everything()
    inside, outside = 1 / (1 + np.exp(-3.0)), 1 / (1 + np.exp(3.0))
    in_one = (inside * 0.8 + outside * 0.4) / (0.8 + 0.4) * 0.8
    np.testing.assert_allclose(heard[0], [[inside * 0.8, in_one, in_one, in_one]], rtol=1e-5)
    np.testing.assert_allclose(heard[3], [[inside * 0.8] * 4], rtol=1e-5)  # the other's estimate is 0


def test_adaptive_tries_a_small_thing_though_it_lies_in_a_large_mask() -> None:
    """The large mask is sure, so that covering never looks at the small square on it."""
    large, small = (0, 32, 0, 48), (4, 8, 6, 12)
    options = {"points_per_side": 8, "points_per_batch": 1, "box_nms_threshold": 0.5}
    areas = {}
    for sampling in ("cover", "adaptive"):
        decoder = Rectangles([large, small], [0.95, 0.99])
        prompter = prompter_of(decoder, EverythingSettings.of({**options, "sampling": sampling}))
        areas[sampling] = sorted(prompter.everything().areas.tolist())
        assert len(decoder.points) <= 64 // 3
    assert areas == {"cover": [32 * 48], "adaptive": [24, 32 * 48]}


def test_only_masks_that_are_sure_cover_points() -> None:
    """Of two halves, the left is sure and the right is not; both are accepted, the right is tried out."""
    decoder = Rectangles([(0, 32, 0, 24), (0, 32, 24, 48)], [0.95, 0.8])
    settings = EverythingSettings(
        points_per_side=8, sampling="cover", points_per_batch=1, predicted_iou_threshold=0.6
    )
    assert len(prompter_of(decoder, settings).everything()) == 2
    assert sum(x < 24 for x, _ in decoder.points) == 1
    assert sum(x >= 24 for x, _ in decoder.points) == 32


def test_a_mask_that_is_not_stable_covers_nothing() -> None:
    rectangle = (0, 32, 0, 48)
    for cover_stability, decodes in ((0.95, 64), (0.5, 1)):
        decoder = Rectangles([rectangle], [0.95], edge=0.5)  # its outermost ring is unsure
        settings = EverythingSettings(
            points_per_side=8,
            sampling="cover",
            points_per_batch=1,
            stability_threshold=0.5,
            cover_stability=cover_stability,
        )
        (stability,) = prompter_of(decoder, settings).everything().stability
        assert 0.5 < stability < 0.95
        assert len(decoder.points) == decodes


def test_cover_goes_on_where_no_mask_was_accepted() -> None:
    decoder = Rectangles(QUARTERS, [0.5] * 4)  # none passes
    settings = EverythingSettings(points_per_side=8, sampling="cover", points_per_batch=3)
    assert len(prompter_of(decoder, settings).everything()) == 0
    grid = {(float(x), float(y)) for x, y in (build_point_grid(8) * [WIDTH, HEIGHT]).astype(np.float32)}
    assert len(decoder.points) == 64
    assert set(decoder.points) == grid
    assert decoder.upscaled == 0  # nothing is brought to full size for a mask that cannot pass


def test_run_lengths_are_made_of_those_masks_only_whose_boxes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(masks: torch.Tensor, *where: Any) -> tuple[bytes, ...]:
        made.append(len(masks))
        return run_lengths(masks, *where)

    monkeypatch.setattr(candidates, "run_lengths", counted)
    decoder = Rectangles(QUARTERS, [0.95, 0.9, 0.99, 0.97])
    settings = EverythingSettings(points_per_side=8, points_per_batch=5)  # 64 points find four masks
    masks = prompter_of(decoder, settings).everything()
    assert len(masks) == 4
    assert sum(made) == 4
    assert masks.predicted_iou.tolist() == pytest.approx([0.99, 0.97, 0.95, 0.9])
    for index, (top, bottom, left, right) in enumerate([QUARTERS[place] for place in (2, 3, 0, 1)]):
        expected = np.zeros((HEIGHT, WIDTH), np.bool_)
        expected[top:bottom, left:right] = True
        assert np.array_equal(masks.decode(index), expected)


@hypothesis_settings(deadline=None)  # a busy machine is not an error
@given(
    per_side=st.integers(1, 20),
    batch=st.integers(1, 7),
    tops=st.lists(st.tuples(st.integers(0, 28), st.integers(0, 44)), min_size=1, max_size=4),
)
def test_cover_never_decodes_a_covered_point_of_another_batch(
    per_side: int, batch: int, tops: list[tuple[int, int]]
) -> None:
    rectangles = [(top, top + 4, left, left + 4) for top, left in tops]
    decoder = Rectangles(rectangles, [0.9] * len(rectangles))
    settings = EverythingSettings(points_per_side=per_side, sampling="cover", points_per_batch=batch)
    prompter_of(decoder, settings).everything()
    assert len(set(decoder.points)) == len(decoder.points)
    start, covered = 0, np.zeros((HEIGHT, WIDTH), np.bool_)
    for count in decoder.batches:
        taken = decoder.points[start : start + count]
        assert not any(covered[int(y), int(x)] for x, y in taken)
        for top, bottom, left, right in rectangles:
            if any(left <= x < right and top <= y < bottom for x, y in taken):
                covered[top:bottom, left:right] = True
        start += count
    centres = (np.arange(per_side) + 0.5) / per_side
    left_out = {
        (float(x), float(y))
        for x in (centres * WIDTH).astype(np.float32)
        for y in (centres * HEIGHT).astype(np.float32)
    } - set(decoder.points)
    assert all(covered[int(y), int(x)] for x, y in left_out)


def test_stability_counts_pixels_between_the_offsets() -> None:
    # 8 x 8 with a ring of logit 0.5: above +1 are 6 x 6 pixels, above -1 are 8 x 8; above 0 as well.
    decoder = Rectangles([(4, 12, 4, 12)], [0.9], edge=0.5)
    mask = prompter_of(decoder, EverythingSettings()).prompt([np.array([[8.0, 8.0]], np.float32)])
    assert mask.stability.tolist() == [pytest.approx(36 / 64)]
    assert mask.areas.tolist() == [64]
    logits = decoder.decode(np.array([[[8.0, 8.0]]], np.float32)).logits
    assert mask.stability[0] == pytest.approx(float(calculate_stability_score(logits, 0.0, 1.0)))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"predicted_iou_threshold": 0.75, "stability_threshold": 0.0}, 0),  # must be above
        ({"predicted_iou_threshold": 0.74, "stability_threshold": 0.5625}, 1),  # may be equal
        ({"predicted_iou_threshold": 0.74, "stability_threshold": 0.5626}, 0),
    ],
)
def test_thresholds_are_met_as_in_segment_anything(settings: dict[str, float], found: int) -> None:
    decoder = Rectangles([(4, 12, 4, 12)], [0.75], edge=0.5)
    masks = prompter_of(decoder, EverythingSettings.of({"points_per_side": 8, **settings})).everything()
    assert len(masks) == found


def test_masks_whose_boxes_overlap_are_left_out_but_the_best() -> None:
    # Boxes between outermost pixel centres: 9 x 9 in 11 x 9: IoU 81 / 99 = 0.818.
    decoder = Rectangles([(0, 10, 0, 10), (0, 10, 0, 12)], [0.9, 0.95])
    options = {"points_per_side": 8, "stability_threshold": 0.0}
    strict = EverythingSettings.of({**options, "box_nms_threshold": 0.81})
    loose = EverythingSettings.of({**options, "box_nms_threshold": 0.82})
    assert prompter_of(decoder, strict).everything().areas.tolist() == [120]
    assert prompter_of(decoder, loose).everything().areas.tolist() == [120, 100]


def test_prompt_takes_the_candidate_of_highest_predicted_iou() -> None:
    nested = [(8, 16, 8, 16), (4, 20, 4, 20), (0, 32, 0, 48)]
    decoder = Rectangles(nested, [0.3, 0.8, 0.7])
    points = [np.array([[10, 10]], np.float32), np.array([[40, 30], [10, 10]], np.float32)]
    masks = prompter_of(decoder, EverythingSettings()).prompt(points)
    assert masks.areas.tolist() == [256, HEIGHT * WIDTH]
    assert masks.predicted_iou.tolist() == pytest.approx([0.8, 0.7])


def test_prompts_of_one_length_share_batches_and_masks_come_in_the_order_of_the_prompts() -> None:
    decoder = Rectangles([(0, 4, 0, 10), (0, 4, 10, 30), (0, 4, 30, 31)], [0.9] * 3)
    narrow, wide, thin = (np.array([[x, 1]], np.float32) for x in (5, 20, 30))
    two = np.array([[11, 1], [12, 2]], np.float32)
    masks = prompter_of(decoder, EverythingSettings(points_per_batch=2)).prompt([narrow, two, wide, thin])
    assert decoder.batches == [2, 1, 1]
    assert masks.areas.tolist() == [40, 80, 80, 4]


def test_boxes_share_batches_too() -> None:
    decoder = Rectangles([(0, 4, 0, 10), (0, 4, 10, 30), (0, 4, 30, 31)], [0.9] * 3)
    boxes = np.array([[30, 0, 31, 4], [0, 0, 10, 4], [10, 0, 30, 4]], np.float32)
    masks = prompter_of(decoder, EverythingSettings(points_per_batch=2)).prompt(boxes=boxes)
    assert decoder.batches == [2, 1]
    np.testing.assert_array_equal(masks.boxes, boxes)
