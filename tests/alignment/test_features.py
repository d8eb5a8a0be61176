import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from fmbseg.alignment.features import FeatureCache, check_grid, feature_gigabytes
from fmbseg.alignment.training_example import TrainingExample
from fmbseg.images import ImageError, load_image
from tests.aligned.tiny import TinyBackbone
from tests.alignment.photographs import labelled

CPU = torch.device("cpu")


class CountingBackbone(TinyBackbone):
    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[tuple[int, ...]] = []

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.encoded.append(tuple(pixels.shape))
        return super().encode(pixels)

    @property
    def photographs(self) -> int:
        return sum(shape[0] for shape in self.encoded if shape[-2:] != (32, 32))  # 32 x 32 is the probe


def examples(
    folder: Path, sizes: Sequence[tuple[int, int]] = ((48, 72), (48, 72), (40, 40))
) -> list[TrainingExample]:
    source = labelled(folder, side=64)
    return [
        TrainingExample(
            source.photograph_of(record),
            record.sha256,
            size,
            np.zeros((size[0] // 8, size[1] // 8), np.int16),
        )
        for record, size in zip(source, sizes, strict=False)
    ]


def filled(
    backbone: TinyBackbone,
    photographs: list[TrainingExample],
    folder: Path,
    max_gb: float = 1,
    batch_size: int | None = None,
) -> list[torch.Tensor]:
    cache = FeatureCache(backbone, CPU, folder, max_gb, batch_size=batch_size)
    plan = cache.open(photographs)
    if plan.kept:
        assert set(cache.fill(photographs)) == set(photographs)
    features = [cache(example) for example in photographs]
    cache.close()
    return features


def test_they_are_the_backbones_to_float16(tmp_path: Path) -> None:
    backbone, photographs = TinyBackbone(), examples(tmp_path)
    for features, example in zip(filled(backbone, photographs, tmp_path / "f"), photographs, strict=True):
        expected = backbone.encode(backbone.transform(load_image(example.path), example.size)[None])
        assert features.dtype == torch.float32
        assert torch.equal(features, expected.half().float())


def test_photographs_of_one_size_share_a_pass_and_nothing_else_changes(tmp_path: Path) -> None:
    photographs, together = examples(tmp_path), CountingBackbone()
    features = filled(together, photographs, tmp_path / "f", batch_size=4)
    assert [shape for shape in together.encoded if shape[-1] != 32] == [(2, 3, 48, 72), (1, 3, 40, 40)]
    for found, example in zip(features, photographs, strict=True):
        cache = FeatureCache(TinyBackbone(), CPU, tmp_path / "g", 0)
        torch.testing.assert_close(found, cache(example), rtol=0, atol=1e-3)  # a step of float16


def test_over_the_budget_the_batches_that_come_next_are_computed_together(tmp_path: Path) -> None:
    photographs, backbone = examples(tmp_path), CountingBackbone()
    alone = FeatureCache(TinyBackbone(), CPU, tmp_path / "f", 0)
    cache = FeatureCache(backbone, CPU, tmp_path / "f", 0, batch_size=4)
    assert not cache.open(photographs).kept
    first, second, third = photographs
    for batches in ([[third, first, second], [second]], [[second, first]]):
        cache.expect(batches)
        backbone.encoded.clear()
        for example in (example for batch in batches for example in batch):
            torch.testing.assert_close(cache(example), alone(example), rtol=0, atol=1e-3)
        shapes = [shape[0] for shape in backbone.encoded if shape[-1] == 72]
        assert shapes == ([2, 1] if len(batches) == 2 else [2])
    cache.expect([[first, second, third]])
    cache(first)
    assert torch.equal(cache(first), alone(first))  # again, though nobody said so
    cache.close()  # with photographs left that were read ahead


def test_a_photograph_that_cannot_be_read_stops_the_work_and_those_before_it_are_kept(tmp_path: Path) -> None:
    photographs = examples(tmp_path)
    Path(str(photographs[2].path)).write_bytes(b"no image")
    cache = FeatureCache(TinyBackbone(), CPU, tmp_path / "f", 1)
    cache.open(photographs)
    with pytest.raises(ImageError, match=f"{photographs[2].path.name} is not an image"):
        list(cache.fill(photographs))
    cache.close()
    backbone = CountingBackbone()
    filled(backbone, photographs[:2], tmp_path / "f")
    assert backbone.photographs == 0


def test_they_are_computed_once_for_all_runs(tmp_path: Path) -> None:
    photographs = examples(tmp_path)
    first, second = CountingBackbone(), CountingBackbone()
    features = filled(first, photographs, tmp_path / "f")
    again = filled(second, photographs, tmp_path / "f")
    assert (first.photographs, second.photographs) == (3, 0)
    assert all(torch.equal(one, other) for one, other in zip(features, again, strict=True))


def test_a_cache_does_not_change_them(tmp_path: Path) -> None:
    photographs = examples(tmp_path)
    kept = filled(TinyBackbone(), photographs, tmp_path / "f")
    computed = filled(TinyBackbone(), photographs, tmp_path / "g", max_gb=0)
    assert all(torch.equal(one, other) for one, other in zip(kept, computed, strict=True))
    assert not (tmp_path / "g").exists()


def test_another_size_or_photograph_is_another_entry(tmp_path: Path) -> None:
    photographs, backbone = examples(tmp_path), CountingBackbone()
    filled(backbone, photographs[:1], tmp_path / "f")
    larger = TrainingExample(
        photographs[0].path, photographs[0].sha256, (56, 80), np.zeros((7, 10), np.int16)
    )
    assert filled(backbone, [larger], tmp_path / "f")[0].shape == (1, 24, 7, 10)
    filled(backbone, photographs[:2], tmp_path / "f")
    assert backbone.photographs == 3


def test_other_weights_under_the_same_spec_are_noticed(tmp_path: Path) -> None:
    photographs = examples(tmp_path)
    filled(TinyBackbone(), photographs, tmp_path / "f")
    retrained = CountingBackbone()
    retrained.weight = retrained.weight.flip(0)
    features = filled(retrained, photographs, tmp_path / "f")
    assert retrained.photographs == 3
    expected = retrained.encode(
        retrained.transform(load_image(photographs[0].path), photographs[0].size)[None]
    )
    assert torch.equal(features[0], expected.half().float())
    # The first weights still find what is theirs.
    first = CountingBackbone()
    filled(first, photographs, tmp_path / "f")
    assert first.photographs == 0


def test_the_plan_says_how_much_before_anything_is_computed(tmp_path: Path) -> None:
    photographs, backbone = examples(tmp_path), CountingBackbone()
    bytes_needed = 2 * 24 * (6 * 9 + 6 * 9 + 5 * 5)
    plan = FeatureCache(backbone, CPU, tmp_path / "f", 1).open(photographs)
    assert plan.gigabytes == pytest.approx(bytes_needed / 1e9)
    assert plan.missing == pytest.approx(bytes_needed / 1e9)
    assert plan.kept
    assert f"kept in {plan.folder}" in str(plan)
    assert backbone.photographs == 0

    filled(backbone, photographs[:1], tmp_path / "f")
    plan = FeatureCache(backbone, CPU, tmp_path / "f", 1).open(photographs)
    assert plan.missing == pytest.approx((bytes_needed - 2 * 24 * 54) / 1e9)


def test_over_the_budget_they_are_recomputed_and_it_says_so(tmp_path: Path) -> None:
    photographs, backbone = examples(tmp_path), CountingBackbone()
    cache = FeatureCache(backbone, CPU, tmp_path / "f", 5e-6)
    plan = cache.open(photographs)
    assert not plan.kept
    assert "6.38e-06 GB (float16), more than the budget of 5e-06 GB (cache_gb)" in str(plan)
    assert "computed again in every epoch" in str(plan)
    for _ in range(2):
        cache(photographs[0])
    assert backbone.photographs == 2


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    photographs = examples(tmp_path)
    features = filled(TinyBackbone(), photographs, tmp_path / "f")
    (part,) = (tmp_path / "f").glob("*/*.f16")
    part.write_bytes(b"\0" * part.stat().st_size)
    backbone = CountingBackbone()
    with pytest.warns(UserWarning, match="computed again"):
        again = filled(backbone, photographs, tmp_path / "f")
    assert backbone.photographs == 3
    assert all(torch.equal(one, other) for one, other in zip(features, again, strict=True))


@pytest.mark.parametrize("damage", ["flip", "cut", "text", "remove"])
def test_where_nobody_knows_whose_features_they_are_all_are_computed_again(
    tmp_path: Path, damage: str
) -> None:
    photographs = examples(tmp_path)
    features = filled(TinyBackbone(), photographs, tmp_path / "f")
    (probe,) = (tmp_path / "f").glob("*/probe.npy")
    content = bytearray(probe.read_bytes())
    content[200] ^= 4
    if damage == "remove":
        probe.unlink()
    else:
        probe.write_bytes({"flip": bytes(content), "cut": bytes(content[:90]), "text": b"1 2 3"}[damage])
    backbone = CountingBackbone()
    with pytest.warns(UserWarning, match=r"probe.npy is .* The features beside it are computed again"):
        again = filled(backbone, photographs, tmp_path / "f")
    assert backbone.photographs == 3
    assert all(torch.equal(one, other) for one, other in zip(features, again, strict=True))
    later = CountingBackbone()
    filled(later, photographs, tmp_path / "f")
    assert later.photographs == 0


def test_values_beyond_float16_name_the_photograph(tmp_path: Path) -> None:
    photographs, backbone = examples(tmp_path), TinyBackbone()
    backbone.weight *= 1e6
    with pytest.raises(ValueError, match=r"'tiny-test' for .*chelsea.png are not finite in float16"):
        filled(backbone, photographs, tmp_path / "f")


_COUNTED = """
import os, sys
from pathlib import Path
import torch
from fmbseg.alignment.feature_store import FeatureStore
from fmbseg.alignment.features import FeatureCache
from tests.aligned.tiny import TinyBackbone
from tests.alignment.test_features import examples

torch.set_num_threads(2)
torch.ones(2**20).sum()  # PyTorch starts its threads
threads, read, write = [], FeatureStore.read, FeatureStore.write

def counted(inner):
    def call(*given):
        threads.append(len(os.listdir("/proc/self/task")))
        return inner(*given)
    return call

photograph = examples(Path(sys.argv[1]), sizes=((352, 352),))
cache = FeatureCache(TinyBackbone(), torch.device("cpu"), Path(sys.argv[1]) / "f", 1)
cache.open(photograph)
FeatureStore.read, FeatureStore.write = counted(read), counted(write)
list(cache.fill(photograph))
print(*threads[-2:])
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells of threads")
def test_the_thread_that_keeps_them_takes_no_cores_from_the_backbone(tmp_path: Path) -> None:
    """A team of PyTorch's threads for each of ours would keep all of them waiting for cores."""
    command = [sys.executable, "-c", _COUNTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before == after


def test_another_revision_is_another_entry(tmp_path: Path) -> None:
    """The same weights under two revisions: nothing is read across, though it would fit."""
    photographs = examples(tmp_path)
    for revision in ("main", "v2"):
        backbone = CountingBackbone()
        backbone.spec = f"hf:owner/name?revision={revision}"
        filled(backbone, photographs, tmp_path / "f")
        assert backbone.photographs == 3
    assert len(list((tmp_path / "f").iterdir())) == 2


def test_the_size_of_cocos_features_is_known_beforehand() -> None:
    """118,287 photographs of 37 x 37 patches with 1,024 channels of two bytes."""
    square = feature_gigabytes([(518, 518)] * 118_287, image_size=518, stride=14, dim=1024)
    assert square == pytest.approx(118_287 * 37 * 37 * 1024 * 2 / 1e9)
    assert 325 < square < 335
    wide = feature_gigabytes([(480, 640)], image_size=448, stride=16, dim=10)
    assert wide == pytest.approx(28 * 37 * 10 * 2 / 1e9)


def test_a_backbone_whose_grid_is_another_is_named_with_both() -> None:
    backbone = TinyBackbone()
    check_grid(backbone, (48, 72), CPU)
    backbone.dim = 32
    with pytest.raises(ValueError, match=r"grid of 6 x 8 patches.*\(1, 32, 6, 8\).*gives \(1, 24, 6, 8\)"):
        check_grid(backbone, (48, 64), CPU)
