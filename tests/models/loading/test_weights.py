"""Files of weights: what is read, what is refused, and that no code of a file runs."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.loading.weights import fit, read_state_dict

LINE = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}


@pytest.mark.parametrize("wrapped", [LINE, {"state_dict": LINE}, {"model": LINE}])
def test_tensors_by_name_are_found_in_pickles(wrapped: dict[str, Any], tmp_path: Path) -> None:
    torch.save(wrapped, tmp_path / "a.pth")
    assert sorted(read_state_dict(tmp_path / "a.pth")) == ["bias", "weight"]


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(LINE, tmp_path / "a.safetensors")
    assert torch.equal(read_state_dict(tmp_path / "a.safetensors")["weight"], LINE["weight"])


class Touch:
    """Unpickled by Python, it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_no_code_of_a_pickle_runs(tmp_path: Path) -> None:
    torch.save({"weight": Touch(str(tmp_path / "ran"))}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth is not a file of plain tensors .* would run code"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 torn zip", b"\x00" * 4096])
def test_what_is_no_checkpoint_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=str(path)):
        read_state_dict(path)


def test_what_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds list, not tensors by name"):
        read_state_dict(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="there is no file"):
        read_state_dict(tmp_path / "b.pth")


def test_what_does_not_fit_is_listed() -> None:
    state = {"weight": torch.ones(1, 3), "scale": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"1 missing \(bias\); 1 unknown \(scale\); 1 of another shape"):
        fit(torch.nn.Linear(2, 1), state, Path("a.pth"), "a line")


def test_what_fits_is_loaded() -> None:
    line = torch.nn.Linear(2, 1)
    fit(line, LINE, Path("a.pth"), "a line")
    assert line(torch.tensor([2.0, 3.0])).item() == 5.0
