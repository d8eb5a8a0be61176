"""Crops of "segment everything": where segment_anything lays them."""

import pytest
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes

from fmbseg.models.mask_generators.crops import plan_crops
from fmbseg.models.mask_generators.settings import EverythingSettings


@pytest.mark.parametrize("size", [(480, 640), (333, 500), (97, 31)])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("factor", [1, 2])
def test_crops_and_points_are_those_of_segment_anything(
    size: tuple[int, int], layers: int, factor: int
) -> None:
    settings = EverythingSettings(crop_n_layers=layers, crop_n_points_downscale_factor=factor)
    boxes, depths = generate_crop_boxes(size, layers, 512 / 1500)
    grids = build_all_layer_point_grids(32, layers, factor)
    plans = plan_crops(size, settings)
    assert [list(plan.crop) for plan in plans] == boxes
    assert [plan.points_per_side**2 for plan in plans] == [len(grids[depth]) for depth in depths]
