"""Precision and torch.compile, chosen for models that are loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fmbseg.models.loading.speed import Speed
from fmbseg.models.mask_generators.segment_anything import sam
from fmbseg.models.mask_generators.superpixels import superpixels
from tests.models.mask_generators.tiny import segment_anything_module


def test_a_compiled_sam_finds_the_same_masks_and_tells_of_its_warm_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the tracer alone: what it traced would take a minute more to turn into machine code."""
    real, calls = torch.compile, []

    def traced(function: Any, **options: Any) -> Any:
        calls.append(function)
        return real(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", traced)
    module = segment_anything_module()
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    point = [np.array([[60, 45]], np.float32)]
    generator = sam("tiny", module=module, device="cpu")
    expected = generator.begin(image).prompt(point)
    Speed(compiled=True).apply(generator)
    assert generator.begin(image).prompt(point).rles == expected.rles
    assert len(calls) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(" sam:tiny (encode)")[0] for line in told] == ["compiling", "compiled"]
    generator.begin(image)
    assert not capsys.readouterr().err


def test_a_precision_replaces_the_models_own() -> None:
    generator = sam("tiny", module=segment_anything_module(), device="cpu", precision="bf16")
    found: list[str] = []
    for speed in (Speed(), Speed("fp32")):
        speed.apply(generator)
        found.append(generator.precision)
    assert found == ["bf16", "fp32"]
    with pytest.raises(ValueError, match="precision is 'fp8'"):
        Speed("fp8")  # type: ignore[arg-type]


def test_a_model_that_cannot_be_compiled_is_used_as_it_is() -> None:
    Speed("fp32").apply(superpixels())
    with pytest.warns(UserWarning, match="superpixels has no pass that torch.compile takes"):
        Speed(compiled=True).apply(superpixels())
