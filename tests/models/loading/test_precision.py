"""Autocast: on accelerators only, in the type that was asked for."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from fmbseg.models.loading.precision import Precision, autocast


@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16", "bf16"])
def test_a_cpu_computes_in_float32_whatever_is_asked_for(precision: Precision) -> None:
    with autocast(torch.device("cpu"), precision):
        product = torch.full((1, 1), 1 + 2**-20) @ torch.ones(1, 1)
    assert product.dtype == torch.float32
    assert product.item() == 1 + 2**-20


@pytest.mark.parametrize(
    ("precision", "able", "expected"),
    [
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float16),
        ("fp16", True, torch.float16),
        ("bf16", False, torch.bfloat16),
        ("fp32", True, None),
    ],
)
def test_an_accelerator_computes_in_the_type_that_is_asked_for_and_else_in_what_it_has(
    precision: Precision, able: bool, expected: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: able)

    def record(device: str, dtype: torch.dtype) -> Any:
        asked.append((device, dtype))
        return nullcontext()

    monkeypatch.setattr(torch, "autocast", record)
    with autocast(torch.device("cuda", 1), precision):
        pass
    assert asked == ([] if expected is None else [("cuda", expected)])
