"""The table of a reproduction: its rows beside what the paper printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import sealed
from fmbseg.escaping import markdown_table
from fmbseg.evaluation.report import percent, told_interval
from fmbseg.evaluation.table import COLUMNS, PAPER
from fmbseg.files import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.reproduce.plan import Plan
    from fmbseg.written import WrittenFiles

RESULT_FILES = ("table.json", "table.md")
PRINTED = ("MaskCLIP", "FMbSeg")
FINETUNED = (("FMbSeg, trained on COCO-Stuff", "16.25"), ("FMbSeg, fine-tuned on ADE20K", "21.57"))
SOURCE = (
    "Printed figures: Table 1 of FMbSeg (arXiv 2403.09307v2), where MaskCLIP's are quoted from TCL; those of "
    "fine-tuning from its text. In % mIoU; our intervals hold 90 % of draws of the photographs. The paper "
    "says 30 categories for Cityscapes; `cityscapes19` is TCL's protocol."
)


@dataclass(frozen=True)
class Cell:
    """A figure.

    Args:
        miou: as a share.
        interval: its ends; None where it has none.
        photographs: that it is of.
        failures: photographs that could not be read.
    """

    miou: float | None
    interval: tuple[float, float] | None
    photographs: int
    failures: int

    def told(self, *, marked: bool) -> str:
        """In percent, with the interval; with † if photographs are missing in it."""
        ends = "" if self.interval is None else f" ({told_interval(self.interval)})"
        return f"{percent(self.miou)}{ends}" + ("†" if marked or self.failures else "")


@dataclass(frozen=True)
class ReproducedTable:
    """What a reproduction found.

    Args:
        plan: that was carried out.
        cells: the figures, by the steps that measured them.
    """

    plan: Plan
    cells: Mapping[str, Cell]

    def rows(self) -> list[tuple[str, ...]]:
        """The printed rows of these sets, then those of the plan."""
        sets, names = self._sets(), list(COLUMNS)
        printed = []
        for method, figures in PAPER:
            if method in PRINTED:
                known = dict(zip(names, figures, strict=True))
                printed.append((f"{method} (printed)", *(known.get(name) or "-" for name in sets)))
        if any(step.name == "head-finetuned" for step in self.plan.steps):
            printed = [(f"{name} (printed)", figure) for name, figure in FINETUNED]
        return printed + [
            (self._name(row.name), *(self._cell(row.cells[name]) for name in sets)) for row in self.plan.rows
        ]

    def _name(self, row: str) -> str:
        """A row's name; those of other recipes and of fewer photographs cannot be taken for the paper's."""
        name = f"{self.plan.title}: {row}" if row else self.plan.title
        return name if self.plan.whole else f"{name} (not the paper's protocol)"

    def _cell(self, step: str) -> str:
        return self.cells[step].told(marked=self.plan.limit is not None)

    def _sets(self) -> list[str]:
        return list(self.plan.rows[0].cells)

    def to_markdown(self) -> str:
        """The table and where its figures are from."""
        heads = ("method", *(COLUMNS.get(name, name) for name in self._sets()))
        cut = "" if self.plan.limit is None else " † is not of the whole set."
        table = markdown_table(heads, self.rows())
        return f"{table}\n\n{SOURCE}{cut}\n"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema_version": 1,
            "recipe": self.plan.recipe,
            "limit": self.plan.limit,
            "papers_protocol": self.plan.whole,
            "source": SOURCE,
            "rows": [
                {
                    "name": row.name or self.plan.title,
                    "miou": {name: self.cells[step].miou for name, step in row.cells.items()},
                    "interval": {name: self.cells[step].interval for name, step in row.cells.items()},
                    "photographs": {name: self.cells[step].photographs for name, step in row.cells.items()},
                }
                for row in self.plan.rows
            ],
        }

    def write(self, files: WrittenFiles) -> None:
        """Write ``table.json`` and ``table.md``."""
        told = json.dumps(sealed(self.to_dict()), indent=2, ensure_ascii=False)
        files.write("table.json", encode(told + "\n"))
        files.write("table.md", encode(self.to_markdown()))
