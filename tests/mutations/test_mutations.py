"""A hundred damages and more with a fixed seed; ``python -m tests.mutations`` makes thousands."""

from __future__ import annotations

import pytest

from tests.mutations.trials import run, table


@pytest.mark.long
def test_damage_is_told_or_mended_and_never_believed() -> None:
    rows = run(133, seed=1)
    faults = [fault for row in rows for fault in row.faults]
    assert not faults, "\n\n".join([table(rows), *faults])
