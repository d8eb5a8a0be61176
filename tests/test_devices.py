"""Which device is chosen, on machines that are pretended, and what is said where it cannot compute."""

from __future__ import annotations

import pytest
import torch

from fmbseg.devices import DeviceError, device_name, find_device, is_out_of_memory, lack_of_device

MISSING_ON_MPS = (
    "The operator 'aten::_linalg_solve_ex.result' is not currently implemented for the MPS device. If you "
    "want this op to be considered for addition please comment on https://github.com/pytorch/pytorch/issues/141287"
    " and mention use-case, that resulted in missing op as well as commit hash "
    "2236df1770800ffea5697b11b0bb0d910b2e59e1. As a temporary fix, you can set the environment variable "
    "`PYTORCH_ENABLE_MPS_FALLBACK=1` to use the CPU as a fallback for this op. WARNING: this will be slower "
    "than running natively on MPS."
)
"""As PyTorch words it (aten/src/ATen/mps/MPSFallback.mm)."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without accelerator, to which a test may add some."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


def test_the_best_that_is_there_computes(machine: pytest.MonkeyPatch) -> None:
    assert find_device() == find_device("auto") == torch.device("cpu")
    machine.setattr(torch.xpu, "device_count", lambda: 1)
    assert find_device().type == "xpu"
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device().type == "mps"
    machine.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device() == torch.device("cuda")
    assert find_device("cuda:1") == torch.device("cuda:1")
    assert find_device(torch.device("cpu")).type == "cpu"


@pytest.mark.parametrize("wanted", ["cuda:2", "mps", "gpu", "hpu", "", torch.device("xpu")])
def test_what_is_not_there_is_refused_with_what_is(
    machine: pytest.MonkeyPatch, wanted: str | torch.device
) -> None:
    machine.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError) as refused:
        find_device(wanted)
    assert str(refused.value) == (
        f"there is no device {str(wanted)!r}: here are cuda:0, cuda:1, cpu; auto takes the best"
    )


def test_an_operator_that_a_device_lacks_is_named_with_the_way_round_it() -> None:
    told = str(lack_of_device(NotImplementedError(MISSING_ON_MPS)))
    assert "'aten::_linalg_solve_ex.result' for MPS" in told
    assert "PYTORCH_ENABLE_MPS_FALLBACK=1" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 18.0 GB). Tried to allocate 1 GB."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), False),
        (NotImplementedError("a subclass has to say how"), False),
        (MemoryError(), False),
    ],
)
def test_a_full_device_is_told_from_other_errors(error: Exception, full: bool) -> None:
    assert is_out_of_memory(error) == full
    lack = lack_of_device(error)
    assert (lack is not None and "out of memory" in str(lack)) == full


def test_a_device_is_called_by_its_name(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.cuda, "get_device_name", lambda device: f"Pretended {device.index}")
    assert device_name(torch.device("cuda:1")) == "cuda:1 (Pretended 1)"
    assert device_name(torch.device("cpu")) == "cpu"
