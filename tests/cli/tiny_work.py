"""Work for workers that are to know the tiny models: importing this module registers them."""

from __future__ import annotations

from fmbseg.cli.segment_work import SegmentWork
from tests.aligned import tiny

MODELS = (tiny.TinyBackbone, tiny.TinyImageText)


class TinySegmentWork(SegmentWork):
    """Segments with them."""
