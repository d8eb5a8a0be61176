"""What every backbone must do: derive a test class and give it the fixture ``backbone``."""

import pytest
import torch

from fmbseg.models.contracts import Backbone
from fmbseg.models.registries import BACKBONES
from tests.models.photographs import photograph


class BackboneContract:
    """Battery for one backbone; the fixture ``backbone`` returns it, on the CPU."""

    @pytest.fixture
    def pixels(self, backbone: Backbone) -> torch.Tensor:
        """A real photograph of 4 x 6 cells, (1, 3, H, W)."""
        size = (4 * backbone.stride, 6 * backbone.stride)
        return backbone.transform(photograph("chelsea.png"), size=size)[None]

    def test_fulfils_the_protocol_and_says_what_it_is(self, backbone: Backbone) -> None:
        assert isinstance(backbone, Backbone)
        assert backbone.spec
        assert backbone.license
        assert backbone.native_size % backbone.stride == 0

    def test_its_spec_makes_it_again(self, backbone: Backbone, pixels: torch.Tensor) -> None:
        again = BACKBONES.create(backbone.spec)
        assert torch.equal(again.encode(pixels), backbone.encode(pixels))

    @pytest.mark.parametrize("cells", [(2, 2), (3, 5), (5, 2)])
    def test_grid_has_one_cell_a_stride(self, backbone: Backbone, cells: tuple[int, int]) -> None:
        pixels = torch.rand(2, 3, cells[0] * backbone.stride, cells[1] * backbone.stride)
        features = backbone.encode(pixels)
        assert features.shape == (2, backbone.dim, *cells)
        assert features.dtype == torch.float32
        assert features.isfinite().all()

    def test_is_frozen_but_its_features_can_be_trained_on(
        self, backbone: Backbone, pixels: torch.Tensor
    ) -> None:
        features = backbone.encode(pixels)
        assert not features.requires_grad
        weight = torch.ones(backbone.dim, requires_grad=True)
        torch.einsum("bchw,c->", features, weight).backward()  # type: ignore[no-untyped-call]
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, features.sum(dim=(0, 2, 3)))

    def test_images_of_a_batch_do_not_meet(self, backbone: Backbone, pixels: torch.Tensor) -> None:
        both = torch.cat([pixels, pixels.flip(3)])
        singly = torch.cat([backbone.encode(one[None]) for one in both])
        torch.testing.assert_close(backbone.encode(both), singly, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(("rows", "columns"), [("top", "right"), ("bottom", "left")])
    def test_cells_lie_where_their_pixels_are(
        self, backbone: Backbone, pixels: torch.Tensor, rows: str, columns: str
    ) -> None:
        stride = backbone.stride
        changed = pixels.clone()
        vertical = slice(0, stride) if rows == "top" else slice(-stride, None)
        horizontal = slice(0, stride) if columns == "left" else slice(-stride, None)
        changed[..., vertical, horizontal] += 1.0
        moved = (backbone.encode(changed) - backbone.encode(pixels))[0].norm(dim=0)
        corner = moved[0 if rows == "top" else -1, 0 if columns == "left" else -1]
        assert corner == moved.max()

    def test_odd_sides_are_refused_by_name(self, backbone: Backbone) -> None:
        with pytest.raises(ValueError, match=f"multiples of {backbone.stride} px"):
            backbone.encode(torch.zeros(1, 3, backbone.stride, backbone.stride + 1))

    def test_other_shapes_are_refused(self, backbone: Backbone) -> None:
        with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
            backbone.encode(torch.zeros(3, backbone.stride, backbone.stride))
        with pytest.raises(ValueError, match="floating point"):
            backbone.encode(torch.zeros(1, 3, backbone.stride, backbone.stride, dtype=torch.uint8))

    def test_moves_between_devices(self, backbone: Backbone) -> None:
        assert backbone.to("cpu") is backbone
        assert backbone.to(torch.device("cpu")) is backbone
