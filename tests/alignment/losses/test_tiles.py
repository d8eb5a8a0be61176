import warnings

import pytest
import torch

from fmbseg.alignment.losses import tiles, tsupcon


def test_a_device_that_runs_out_of_memory_gets_half_the_block_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forward and backward pass ask for memory; blocks of more than 300 by 300 do not fit."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.nn.functional.normalize(torch.randn(700, 8, generator=generator), dim=1)
    labels = torch.randint(5, (700,), generator=generator)
    wanted, found = patches.clone().requires_grad_(), patches.clone().requires_grad_()
    torch.autograd.backward(tsupcon(wanted, labels, patches[:5]))
    sides: list[int] = []

    def scarce(self: torch.Tensor, *shape: int) -> torch.Tensor:
        sides.append(int(shape[0] ** 0.5))
        if shape[0] > 300**2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")
        return torch.empty(*shape, dtype=self.dtype)

    monkeypatch.setattr(tiles, "_sides", {})
    monkeypatch.setattr(tiles, "_told", set())
    monkeypatch.setattr(torch.Tensor, "new_empty", scarce)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            torch.autograd.backward(tsupcon(found, labels, patches[:5]))
    assert [str(each.message).partition(":")[0] for each in told] == ["cpu ran out of memory in the loss"]
    assert sides == [700, 350, 175, 175, 175, 175]
    torch.testing.assert_close(found.grad, 2 * wanted.grad)  # type: ignore[operator]


def test_what_does_not_fit_in_small_blocks_either_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_sides", {})
    monkeypatch.setattr(tiles, "_told", set())

    def never(side: int) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError(f"CUDA out of memory at {side}")

    told = pytest.warns(UserWarning, match="out of memory")
    with told, pytest.raises(torch.cuda.OutOfMemoryError, match="at 150"):
        tiles.with_tiles(never, torch.empty(600, 2))


@pytest.mark.parametrize(("gigabytes", "side"), [(0.0001, 256), (0.064, 1000), (140, 8192)])
def test_a_block_is_as_large_as_memory_has_it(gigabytes: float, side: int) -> None:
    """Four blocks of float32 take a quarter of what is free: 16 MB are four of 1,000 by 1,000."""
    assert tiles._side_for(int(gigabytes * 1e9), 4) == side


def test_other_errors_are_not_taken_for_it() -> None:
    def wrong(side: int) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        tiles.with_tiles(wrong, torch.empty(600, 2))
