"""Blocks are found where they stand, and what is wrong in one that cannot run is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.blocks import Block, blocks_of, check, run

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """Text.

```python
one = 1
```

=== "A tab"

    ```python title="Needs the Hub: checked, not run"
    from fmbseg import Aligner
    ```
"""


def test_blocks_are_found_with_their_lines_and_needs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert blocks_of(page) == [
        Block(page, 4, "one = 1\n", ""),
        Block(page, 10, "from fmbseg import Aligner\n", "Needs the Hub: checked, not run"),
    ]


def test_a_fence_with_another_word_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python skip\n1\n```\n")
    with pytest.raises(ValueError, match="line 1: only title="):
        blocks_of(page)


def test_a_failing_block_points_to_its_line(tmp_path: Path) -> None:
    block = Block(tmp_path / "page.md", 7, "one = 1\nassert one == 2\n", "")
    with pytest.raises(AssertionError) as caught:
        run([block])
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(tmp_path / "page.md"), 8)


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("from fmbseg import Aligner\nAligner(backbone='x').fit(labels).save_pretrained('y')", None),
        ("import not_installed_at_all\nnot_installed_at_all.anything(1)", None),
        ("from fmbseg import Alinger", "line 1: fmbseg has no Alinger"),
        ("from fmbseg import Aligner\nAligner(backbon='x')", "line 2: Aligner: got an unexpected keyword"),
        ("from fmbseg import Aligner\na = Aligner()\na.fitt(1)", "line 3: Aligner has no fitt"),
        ("from fmbseg import Aligner\nAligner().fit()", "line 2: Aligner().fit: missing a required argument"),
        ("from fmbseg import LabelSet\nLabelSet('a', 'b', 0.5, 'd')", "line 2: LabelSet: too many"),
    ],
)
def test_what_cannot_run_is_checked(tmp_path: Path, code: str, wrong: str | None) -> None:
    found = check(Block(tmp_path / "page.md", 1, code, "Needs more"))
    assert len(found) == (wrong is not None)
    assert wrong is None or wrong in found[0]
