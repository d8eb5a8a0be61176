"""Query points on maps made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses

from fmbseg.labeling.point_prompts import query_points

SIZE = (200, 600)  # two rows and three columns of cells of 100 x 200 pixels


def angles(*degrees: float) -> torch.Tensor:
    """Unit vectors of the plane in two rows of three cells, (2, 2, 3)."""
    radians = torch.tensor(degrees).deg2rad().reshape(2, 3)
    return torch.stack([radians.cos(), radians.sin()])


def test_the_best_cells_in_order_by_hand() -> None:
    dense = angles(80, 10, 50, 20, 90, 0)
    along_x, along_y = query_points(dense, torch.eye(2), [0, 1], SIZE, points_per_class=3)
    # Class 0 lies at 0 degrees: the cells of 0, 10 and 20 degrees; centres as (x, y).
    assert along_x.tolist() == [[500, 150], [300, 50], [100, 150]]
    assert along_y.tolist() == [[300, 150], [100, 50], [500, 50]]
    assert along_x.dtype == np.float32


def test_only_detected_classes_in_their_order() -> None:
    dense = angles(80, 10, 50, 20, 90, 0)
    prototypes = torch.eye(2)[[1, 0, 1]]
    points = query_points(dense, prototypes, [2, 1], SIZE, points_per_class=1)
    assert [one.tolist() for one in points] == [[[300, 150]], [[500, 150]]]


def test_five_by_default_and_all_cells_of_a_smaller_map() -> None:
    dense = angles(80, 10, 50, 20, 90, 0)
    assert query_points(dense, torch.eye(2), [0], SIZE)[0].shape == (5, 2)
    (all_of_them,) = query_points(dense, torch.eye(2), [0], SIZE, points_per_class=50)
    assert all_of_them.shape == (6, 2)
    assert len({tuple(point) for point in all_of_them.tolist()}) == 6


@pytest.mark.parametrize(("size", "grid"), [((37, 91), (5, 3)), ((1, 1), (7, 7)), ((1, 5000), (7, 64))])
def test_points_lie_inside_and_are_the_most_similar(size: tuple[int, int], grid: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    dense = F.normalize(torch.randn(6, *grid, generator=random), dim=0)
    prototypes = F.normalize(torch.randn(4, 6, generator=random), dim=1)
    height, width = size
    points = query_points(dense, prototypes, [1, 3], size)
    for index, own in zip([1, 3], points, strict=True):
        assert (own > 0).all()
        assert (own < [width, height]).all()
        cells = [(int(y / height * grid[0]), int(x / width * grid[1])) for x, y in own.tolist()]
        similarity = np.einsum("dhw,d->hw", dense.numpy(), prototypes[index].numpy())
        found = [similarity[cell] for cell in cells]
        assert found == pytest.approx(sorted(similarity.ravel(), reverse=True)[:5], abs=1e-6)
