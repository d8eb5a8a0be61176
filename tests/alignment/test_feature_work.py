"""Features that processes compute are those of this one, which then computes none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from fmbseg.alignment.distributed import Processes
from fmbseg.alignment.feature_work import FeatureWork, fill_on, sent_as
from fmbseg.alignment.features import FeatureCache, filled
from fmbseg.engines.engine import OnProcesses
from fmbseg.progress import Progress
from tests.aligned.tiny import TinyBackbone
from tests.alignment.test_features import CPU, CountingBackbone, examples

if TYPE_CHECKING:
    from pathlib import Path


class OfNoSpec(CountingBackbone):
    spec = "of-no-registry"


def test_the_features_of_a_process_are_found_and_none_is_computed_here(tmp_path: Path) -> None:
    photographs, alone, here = examples(tmp_path), OfNoSpec(), OfNoSpec()
    own = FeatureCache(alone, CPU, tmp_path / "own", 1)
    own.open(photographs)
    wanted = [own(example) for example in photographs]
    assert isinstance(sent_as(here), OfNoSpec)
    assert sent_as(TinyBackbone()) == "tiny-test"
    work = FeatureWork(sent_as(here), None, "cpu", tmp_path / "shared")
    cache = FeatureCache(here, CPU, tmp_path / "shared", 1)
    elsewhere = partial(fill_on, OnProcesses(1), work)
    with filled(cache, photographs, "features", Progress(shown=False), Processes(), elsewhere) as kept:
        found = [kept(example) for example in photographs]
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert (here.photographs, alone.photographs) == (0, 3)
