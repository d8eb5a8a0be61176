"""What every backbone must do: derive a test class and give it the fixture ``backbone``."""

import json
from typing import Any

import pytest
import torch

from fmbseg.models.backbones.frozen import FrozenBackbone
from fmbseg.models.contracts import Backbone
from fmbseg.models.loading.precision import DTYPES
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

    def test_its_spec_makes_it_again_after_a_way_through_text(
        self, backbone: Backbone, pixels: torch.Tensor
    ) -> None:
        saved = json.dumps({"backbone": {"spec": backbone.spec}})
        again = BACKBONES.create(json.loads(saved)["backbone"]["spec"])
        assert again.spec == backbone.spec
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

    def test_no_parameter_can_be_trained(self, backbone: Backbone) -> None:
        assert isinstance(backbone, FrozenBackbone)  # so are all of fmbseg's own
        assert not any(parameter.requires_grad for parameter in backbone.network.parameters())
        assert not backbone.network.training

    def test_encoding_twice_gives_the_same(self, backbone: Backbone, pixels: torch.Tensor) -> None:
        first = backbone.encode(pixels)
        backbone.encode(torch.rand(1, 3, 3 * backbone.stride, 2 * backbone.stride))  # another grid between
        assert torch.equal(backbone.encode(pixels), first)

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
        # Where coarser maps are joined, a cell of the coarsest covers two by two.
        reach = 2 if isinstance(backbone, FrozenBackbone) and len(backbone.facts.layers) > 1 else 1
        corner = moved[slice(reach) if rows == "top" else slice(-reach, None)]
        corner = corner[:, slice(reach) if columns == "left" else slice(-reach, None)]
        assert corner.max() == moved.max()

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


class PrecisionContract(BackboneContract):
    """Beside the contract, what the families that compute in half precision must do."""

    def with_options(self, backbone: Backbone, **options: Any) -> FrozenBackbone:
        made = BACKBONES.create(backbone.spec, **options)
        assert isinstance(made, FrozenBackbone)
        return made

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_half_precision_gives_nearly_the_same_in_float32(
        self, backbone: Backbone, pixels: torch.Tensor, precision: str
    ) -> None:
        if precision == "fp16" and backbone.spec.endswith("swinv2"):  # it divides by lengths that vanish
            with pytest.raises(ValueError, match="NaN in fp16: take precision=bf16"):
                self.with_options(backbone, precision=precision)
            return
        half = self.with_options(backbone, precision=precision)
        assert {parameter.dtype for parameter in half.network.parameters()} == {DTYPES[precision]}
        features, expected = half.encode(pixels), backbone.encode(pixels)
        assert features.dtype == torch.float32
        assert torch.cosine_similarity(features.flatten(), expected.flatten(), dim=0) > 0.99
        assert not torch.equal(features, expected)
        assert f"precision={precision}" in half.spec


class NetworkContract(PrecisionContract):
    """Beside these, what the families with options of the network must do."""

    def test_layers_are_joined_in_order(self, backbone: Backbone, pixels: torch.Tensor) -> None:
        assert isinstance(backbone, FrozenBackbone)
        last = backbone.facts.depth - 1
        both = self.with_options(backbone, layers=(last - 1, -1))
        singly = [self.with_options(backbone, layers=layer) for layer in (last - 1, last)]
        assert both.facts.layers == (last - 1, last)
        assert both.dim == sum(one.dim for one in singly)
        joined, first = both.encode(pixels), singly[0].encode(pixels)
        torch.testing.assert_close(joined[:, : singly[0].dim], first)
        if singly[1].stride == both.stride:
            torch.testing.assert_close(joined[:, singly[0].dim :], singly[1].encode(pixels))

    def test_a_spec_with_options_makes_it_again(self, backbone: Backbone, pixels: torch.Tensor) -> None:
        chosen = self.with_options(backbone, layers=(0,), size=6 * backbone.stride, precision="bf16")
        again = BACKBONES.create(chosen.spec)
        assert isinstance(again, FrozenBackbone)
        assert again.facts == chosen.facts
        assert again.native_size >= again.stride
        size = (4 * chosen.stride, 4 * chosen.stride)
        image = torch.nn.functional.interpolate(pixels, size)
        assert torch.equal(again.encode(image), chosen.encode(image))

    def test_layers_that_are_not_there_are_refused(self, backbone: Backbone) -> None:
        with pytest.raises(ValueError, match="has no layer 99"):
            self.with_options(backbone, layers=(99,))
