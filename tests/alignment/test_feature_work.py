"""Features that processes compute are those of this one, which then computes none."""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING

import torch

from fmbseg.alignment.distributed import Processes
from fmbseg.alignment.feature_work import DenseMap, FeatureWork, fill_on, sent_as
from fmbseg.alignment.features import FeatureCache, filled
from fmbseg.engines.engine import OnProcesses
from fmbseg.models.dense import DenseBackbone
from fmbseg.models.registries import BACKBONES
from fmbseg.progress import Progress
from tests.aligned.tiny import TinyBackbone
from tests.alignment.test_features import CPU, CountingBackbone, examples
from tests.labeling.colours import ColourEncoder

if TYPE_CHECKING:
    from pathlib import Path


class OfNoSpec(CountingBackbone):
    spec = "of-no-registry"


def test_the_features_of_a_process_are_found_and_none_is_computed_here(tmp_path: Path) -> None:
    photographs, alone, here = examples(tmp_path), OfNoSpec(), OfNoSpec()
    own = FeatureCache(alone, CPU, tmp_path / "own", 1)
    own.open(photographs)
    wanted = [own(example) for example in photographs]
    assert isinstance(sent_as(here, BACKBONES), OfNoSpec)
    assert sent_as(TinyBackbone(), BACKBONES) == "tiny-test"
    work = FeatureWork(sent_as(here, BACKBONES), None, "cpu", tmp_path / "shared")
    cache = FeatureCache(here, CPU, tmp_path / "shared", 1)
    elsewhere = partial(fill_on, OnProcesses(1), work)
    with filled(cache, photographs, "features", Progress(shown=False), Processes(), elsewhere) as kept:
        found = [kept(example) for example in photographs]
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert (here.photographs, alone.photographs) == (0, 3)


def test_dense_maps_are_made_by_workers_of_an_encoder_that_is_sent(tmp_path: Path) -> None:
    photographs, encoder = examples(tmp_path), ColourEncoder()
    encoder.crop_size = 448  # one window an image
    here = DenseBackbone(encoder, 8)
    own = FeatureCache(here, CPU, tmp_path / "own", 1)
    own.open(photographs)
    work = FeatureWork(DenseMap(encoder, 8), None, "cpu", tmp_path / "shared")
    done = work()(photographs, lambda _: None)  # as a worker does, here
    assert done == len(photographs)
    cache = FeatureCache(here, CPU, tmp_path / "shared", 1)
    assert cache.open(photographs).missing == 0
    assert all(torch.equal(cache(one), own(one)) for one in photographs)
    named = FeatureWork(DenseMap("conse", 16), None, "cpu", tmp_path / "named")
    assert pickle.loads(pickle.dumps(named)) == named
