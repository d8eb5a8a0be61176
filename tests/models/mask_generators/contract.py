"""What every mask generator must do: derive a test class and give it the fixture ``generator``."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fmbseg.models.contracts import MaskGenerator, Prompter
from fmbseg.models.registries import MASK_GENERATORS
from tests.models.photographs import photograph

CAT = np.array([[110.0, 75.0]], np.float32)  # on the cat's forehead
BOXES = np.array([[60, 20, 170, 130], [0, 0, 225, 150]], np.float32)  # the cat's face, and all


class MaskGeneratorContract:
    """Battery for one generator; the fixture ``generator`` returns it with settings that keep it short."""

    @pytest.fixture
    def image(self) -> NDArray[np.uint8]:
        """A cat, 150 x 225 px."""
        return np.ascontiguousarray(photograph("chelsea.png")[::2, ::2][:150, :225])

    @pytest.fixture
    def prompter(self, generator: MaskGenerator, image: NDArray[np.uint8]) -> Prompter:
        return generator.begin(image)

    def test_fulfils_the_protocol_and_says_what_it_is(
        self, generator: MaskGenerator, prompter: Prompter
    ) -> None:
        assert isinstance(generator, MaskGenerator)
        assert isinstance(prompter, Prompter)
        assert generator.spec
        assert generator.license
        assert MASK_GENERATORS.create(generator.spec).promptable is generator.promptable

    def test_everything_is_masks_of_the_image_best_first_and_no_two_alike(self, prompter: Prompter) -> None:
        masks = prompter.everything()
        assert len(masks) > 1
        assert masks.size == (150, 225)
        assert (masks.areas > 0).all()
        assert (np.diff(masks.predicted_iou) <= 0).all()
        assert len(set(masks.rles)) == len(masks)

    def test_everything_twice_is_the_same(self, generator: MaskGenerator, image: NDArray[np.uint8]) -> None:
        one, two = generator.begin(image).everything(), generator.begin(image).everything()
        assert one.rles == two.rles
        np.testing.assert_array_equal(one.predicted_iou, two.predicted_iou)

    def test_masks_lie_where_things_are(self, generator: MaskGenerator) -> None:
        """A bright square on black, off the middle in both directions, of an image that is not square."""
        board = np.zeros((90, 150, 3), np.uint8)
        board[50:80, 20:70] = (250, 240, 200)
        square = np.zeros((90, 150), np.bool_)
        square[50:80, 20:70] = True
        found = generator.begin(board).everything().decode()
        iou = (found & square).sum(axis=(1, 2)) / (found | square).sum(axis=(1, 2))
        assert iou.max() > 0.7  # superpixels keep the blurred rim apart

    def test_prompts_give_one_mask_each_in_their_order(
        self, generator: MaskGenerator, prompter: Prompter
    ) -> None:
        if not generator.promptable:
            with pytest.raises(NotImplementedError, match=r"take no points .*1 sets of points"):
                prompter.prompt([CAT])
            return
        three = (CAT + np.array([[0, 0], [8, 4], [-8, 4]])).astype(np.float32)
        corner = np.array([[5.0, 5.0]], np.float32)
        together = prompter.prompt([CAT, three, corner])
        assert len(together) == 3
        assert together.size == (150, 225)
        assert together.decode(0)[75, 110]
        assert together.decode(2)[5, 5]
        for index, points in enumerate([CAT, three, corner]):
            assert prompter.prompt([points]).rles[0] == together.rles[index]

    def test_boxes_give_one_mask_each_in_their_order(
        self, generator: MaskGenerator, prompter: Prompter
    ) -> None:
        if not generator.promptable:
            with pytest.raises(NotImplementedError, match=r"no boxes .*2 boxes were given"):
                prompter.prompt(boxes=BOXES)
            return
        together = prompter.prompt(boxes=BOXES)
        assert len(together) == len(BOXES)
        assert together.size == (150, 225)
        assert (together.areas > 0).all()
        for index in range(len(BOXES)):
            alone = prompter.prompt(boxes=BOXES[index : index + 1])
            assert (alone.decode(0) != together.decode(index)).mean() < 1e-4
            assert alone.predicted_iou[0] == pytest.approx(together.predicted_iou[index], abs=1e-5)

    def test_a_mask_lies_in_its_box(self, generator: MaskGenerator) -> None:
        """A bright square on black; the convention of boxes is that of ``MaskSet.boxes``."""
        if not generator.promptable:
            return
        board = np.zeros((90, 150, 3), np.uint8)
        board[50:80, 20:70] = (250, 240, 200)
        masks = generator.begin(board).prompt(boxes=np.array([[20, 50, 70, 80]], np.float32))
        np.testing.assert_allclose(masks.boxes, [[20, 50, 70, 80]], atol=3)
        assert masks.areas[0] > 0.9 * 30 * 50

    def test_no_prompt_gives_no_mask(self, generator: MaskGenerator, prompter: Prompter) -> None:
        if generator.promptable:
            assert len(prompter.prompt([])) == 0
            assert len(prompter.prompt(boxes=np.zeros((0, 4), np.float32))) == 0

    @pytest.mark.parametrize(
        ("box", "what"),
        [
            ([10, 10, 226, 20], r"lies outside the image of 225 x 150 px"),
            ([float("nan"), 0, 5, 5], r"lies outside the image"),
            ([9, 3, 9, 20], "has no area"),
            ([20, 3, 9, 20], "has no area"),
        ],
    )
    def test_boxes_that_cannot_be_meant_are_refused(
        self, generator: MaskGenerator, prompter: Prompter, box: list[float], what: str
    ) -> None:
        if generator.promptable:
            with pytest.raises(ValueError, match=rf"box 1, \(x0, y0, x1, y1\) = .* {what}"):
                prompter.prompt(boxes=np.array([[0, 0, 9, 9], box], np.float32))

    def test_boxes_of_another_shape_and_beside_points_are_refused(
        self, generator: MaskGenerator, prompter: Prompter
    ) -> None:
        if generator.promptable:
            with pytest.raises(ValueError, match=r"boxes have shape \(4,\): it must be \(N, 4\)"):
                prompter.prompt(boxes=BOXES[0])
            with pytest.raises(ValueError, match="points and boxes are given"):
                prompter.prompt([CAT], boxes=BOXES)

    @pytest.mark.parametrize("points", [[[225.5, 10]], [[10, -1]], [[float("nan"), 3]]])
    def test_points_outside_the_image_are_refused(
        self, generator: MaskGenerator, prompter: Prompter, points: list[list[float]]
    ) -> None:
        if generator.promptable:
            with pytest.raises(ValueError, match=r"set 1 .* outside the image of 225 x 150 px"):
                prompter.prompt([CAT, np.array(points, np.float32)])

    @pytest.mark.parametrize("shape", [(0, 2), (2,), (2, 3)])
    def test_points_of_another_shape_are_refused(
        self, generator: MaskGenerator, prompter: Prompter, shape: tuple[int, ...]
    ) -> None:
        if generator.promptable:
            with pytest.raises(ValueError, match="set 0 of points has shape"):
                prompter.prompt([np.ones(shape, np.float32)])

    def test_what_is_no_rgb_image_is_refused(self, generator: MaskGenerator) -> None:
        for wrong in (
            np.zeros((4, 5), np.uint8),
            np.zeros((4, 5, 4), np.uint8),
            np.zeros((0, 5, 3), np.uint8),
        ):
            with pytest.raises(ValueError, match=r"RGB image of shape \(H, W, 3\)"):
                generator.begin(wrong)

    def test_one_pixel_is_an_image(self, generator: MaskGenerator) -> None:
        assert generator.begin(np.zeros((1, 1, 3), np.uint8)).everything().size == (1, 1)
