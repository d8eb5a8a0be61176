"""What every image-text encoder must do: derive a test class and give it the fixture ``encoder``."""

import pytest
import torch

from fmbseg.models.contracts import ImageTextEncoder
from fmbseg.models.registries import IMAGE_TEXT
from tests.models.photographs import photograph

PROMPTS = [
    "a photo of a cat.",
    "a photo of a very long red double-decker bus on a bridge.",
    "a photo of a cup of coffee.",
    "a photo of a rocket.",
]


def assert_unit(vectors: torch.Tensor, dim: int) -> None:
    norms = vectors.norm(dim=dim)
    torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-4)


class ImageTextContract:
    """Battery for one encoder; the fixture ``encoder`` returns it, on the CPU."""

    @pytest.fixture
    def crops(self, encoder: ImageTextEncoder) -> torch.Tensor:
        """A cat, a cup of coffee and a rocket, (3, 3, crop_size, crop_size)."""
        size = (encoder.crop_size, encoder.crop_size)
        files = ("chelsea.png", "coffee.png", "rocket.jpg")
        return torch.stack([encoder.transform(photograph(file), size=size) for file in files])

    def test_fulfils_the_protocol_and_says_what_it_is(self, encoder: ImageTextEncoder) -> None:
        assert isinstance(encoder, ImageTextEncoder)
        assert encoder.spec
        assert encoder.license
        assert encoder.crop_size % encoder.stride == 0

    def test_its_spec_makes_it_again(self, encoder: ImageTextEncoder, crops: torch.Tensor) -> None:
        again = IMAGE_TEXT.create(encoder.spec)
        assert torch.equal(again.encode_text(PROMPTS), encoder.encode_text(PROMPTS))
        assert torch.equal(again.encode_image(crops).dense, encoder.encode_image(crops).dense)

    def test_texts_are_unit_vectors_in_the_order_of_the_prompts(self, encoder: ImageTextEncoder) -> None:
        vectors = encoder.encode_text(PROMPTS)
        assert vectors.shape == (len(PROMPTS), encoder.dim)
        assert_unit(vectors, dim=1)
        for prompt, vector in zip(PROMPTS, vectors, strict=True):
            torch.testing.assert_close(encoder.encode_text([prompt])[0], vector, rtol=1e-3, atol=1e-4)

    def test_no_prompts_give_no_vectors(self, encoder: ImageTextEncoder) -> None:
        assert encoder.encode_text([]).shape == (0, encoder.dim)

    def test_a_long_prompt_is_cut_not_refused(self, encoder: ImageTextEncoder) -> None:
        assert_unit(encoder.encode_text(["a photo of a cat " * 400]), dim=1)

    def test_images_are_unit_vectors(self, encoder: ImageTextEncoder, crops: torch.Tensor) -> None:
        pooled, dense = encoder.encode_image(crops)
        cells = encoder.crop_size // encoder.stride
        assert pooled.shape == (3, encoder.dim)
        assert dense.shape == (3, encoder.dim, cells, cells)
        assert_unit(pooled, dim=1)
        assert_unit(dense, dim=1)

    def test_is_frozen_but_its_vectors_can_be_trained_on(
        self, encoder: ImageTextEncoder, crops: torch.Tensor
    ) -> None:
        texts, (pooled, dense) = encoder.encode_text(PROMPTS), encoder.encode_image(crops)
        assert [each.requires_grad for each in (texts, pooled, dense)] == [False] * 3
        scale = torch.ones(encoder.dim, requires_grad=True)
        ((texts * scale).sum() + (pooled * scale).sum()).backward()  # type: ignore[no-untyped-call]
        assert scale.grad is not None

    def test_images_of_a_batch_do_not_meet(self, encoder: ImageTextEncoder, crops: torch.Tensor) -> None:
        pooled, dense = encoder.encode_image(crops)
        for row, crop in enumerate(crops):
            alone = encoder.encode_image(crop[None])
            torch.testing.assert_close(alone.pooled[0], pooled[row], rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(alone.dense[0], dense[row], rtol=1e-3, atol=1e-4)

    def test_dense_cells_lie_where_their_pixels_are(
        self, encoder: ImageTextEncoder, crops: torch.Tensor
    ) -> None:
        """Cells of a quarter in which something changes move more than the others."""
        crop, half = crops[:1].clone(), encoder.crop_size // 2
        before = encoder.encode_image(crop).dense[0]
        cells = before.shape[1] // 2
        for top, left in ((0, half), (half, 0)):
            changed = crop.clone()
            rows, columns = slice(top, top + half), slice(left, left + half)
            changed[0, :, rows, columns] = changed[0, :, rows, columns].flip(-1) * -2
            moved = (encoder.encode_image(changed).dense[0] - before).norm(dim=0)
            inside = torch.zeros_like(moved, dtype=torch.bool)
            inside[:cells, cells:] = top == 0
            inside[cells:, :cells] = left == 0
            assert moved[inside].mean() > 1.5 * moved[~inside].mean()

    def test_other_shapes_are_refused(self, encoder: ImageTextEncoder) -> None:
        with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
            encoder.encode_image(torch.zeros(3, encoder.crop_size, encoder.crop_size))
        with pytest.raises(ValueError, match="multiples of"):
            encoder.encode_image(torch.zeros(1, 3, encoder.crop_size, encoder.crop_size + 1))

    def test_moves_between_devices(self, encoder: ImageTextEncoder) -> None:
        assert encoder.to("cpu") is encoder
        assert_unit(encoder.encode_text(PROMPTS), dim=1)


class TrainedImageTextContract(ImageTextContract):
    """The battery, and what only trained weights can show."""

    def test_images_and_texts_share_a_space(self, encoder: ImageTextEncoder, crops: torch.Tensor) -> None:
        texts = encoder.encode_text(PROMPTS)
        assert (encoder.encode_image(crops).pooled @ texts.T).argmax(dim=1).tolist() == [0, 2, 3]

    def test_dense_cells_say_what_is_where(self, encoder: ImageTextEncoder, crops: torch.Tensor) -> None:
        """A cat at the left and a cup at the right, then the other way round and turned by a quarter."""
        half = encoder.crop_size // 2 // encoder.stride * encoder.stride
        cat, cup = crops[0], crops[1]
        quarter = (encoder.crop_size - half) // 2
        beside = torch.cat([cat[:, :, quarter : quarter + half], cup[:, :, quarter : quarter + half]], dim=2)
        above = torch.cat([cup[:, quarter : quarter + half], cat[:, quarter : quarter + half]], dim=1)
        beside = torch.nn.functional.pad(beside, (0, encoder.crop_size - 2 * half))
        above = torch.nn.functional.pad(above, (0, 0, 0, encoder.crop_size - 2 * half))
        contrast = encoder.encode_text(PROMPTS)[0] - encoder.encode_text(PROMPTS)[2]
        like_cat = torch.einsum(
            "bdhw,d->bhw", encoder.encode_image(torch.stack([beside, above])).dense, contrast
        )
        cells = half // encoder.stride
        assert like_cat[0, :, :cells].mean() > like_cat[0, :, cells:].mean() + 0.05
        assert like_cat[1, cells:].mean() > like_cat[1, :cells].mean() + 0.05
