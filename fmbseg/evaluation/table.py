"""Runs beside the paper's Table 1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.checksums import read_sealed_json
from fmbseg.escaping import markdown_table
from fmbseg.evaluation.journal import RunError
from fmbseg.evaluation.report import REPORT_FILE, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = {
    "voc21": "PV-21",
    "voc20": "PV-20",
    "context59": "PC-59",
    "coco_object80": "CO-80",
    "coco_stuff171": "CS-171",
    "cityscapes19": "City",
    "ade20k150": "ADE",
}
"""The table's columns by the data set's name."""

# mIoU in percent as printed in FMbSeg's Table 1 (arXiv 2403.09307v2); "" where it has none. The cell of CaR
# on ADE is missing in the source; SAM-CLIP's row has one too few and is placed as the text reads.
PAPER = (
    ("GroupViT", ("50.4", "79.7", "18.7", "27.5", "15.3", "11.1", "9.2")),
    ("MaskCLIP", ("38.8", "74.9", "23.6", "20.6", "16.4", "12.6", "9.8")),
    ("ReCo", ("25.1", "57.7", "19.9", "31.6", "14.8", "21.1", "11.2")),
    ("TCL", ("55.0", "83.2", "33.9", "31.6", "22.4", "24.0", "17.1")),
    ("CLIP-S4", ("", "", "33.6", "", "22.1", "", "")),
    ("SCCLIP", ("59.1", "", "30.4", "", "22.4", "", "")),
    ("CLIP-DIY", ("59.0", "", "30.4", "", "", "", "")),
    ("CaR", ("67.6", "", "30.5", "36.6", "", "", "")),
    ("SAM-CLIP", ("60.6", "", "29.2", "", "31.5", "", "17.1")),
    ("FMbSeg", ("67.73", "85.65", "42.72", "57.63", "29.88", "28.37", "16.25")),
)
NOTE = (
    "The rows to FMbSeg are the paper's, in % mIoU: GroupViT to TCL as TCL reports them (TCL with PAMR), the "
    "others as their papers do. The paper says 30 categories for Cityscapes; TCL's protocol has 19. A run "
    "with † is not of the whole set, or left images out."
)


@dataclass(frozen=True)
class TableRow:
    """One run's place in the table.

    Args:
        method: what was measured and how.
        data: the set's name.
        cell: its mIoU in percent, with † if it is not of the whole set.
    """

    method: str
    data: str
    cell: str

    @classmethod
    def read(cls, path: Path) -> TableRow:
        """Read the report of a run.

        Args:
            path: the run's folder, or its ``report.json``.

        Raises:
            RunError: there is none.
        """
        file = path / REPORT_FILE if path.is_dir() else path
        try:
            report = read_sealed_json(file)
            data, protocol = report["data"], report["protocol"]
            whole = report["measured"] == data["of"] and report["part"] == [1, 1]
            model = report["model"]
            method = f"{_name(model)}, {protocol['name']}"
            cell = percent(report["figures"]["miou"]) + ("" if whole else "†")
            return cls(method, data["name"], cell)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is not a finished run: {file} cannot be read ({error}). The same `fmbseg eval` "
                "writes it again from what was measured"
            ) from error


def _name(model: Mapping[str, Any]) -> str:
    """A method by its spec; a head by its backbone and its weights, wherever they were."""
    if "method" in model:
        return str(model["method"])
    digest = model.get("head_sha256") or model["file_sha256"]
    recipe = f" @{model['settings of']}" if "settings of" in model else ""
    return f"{model['backbone']} {digest[:8]}{recipe}"


def table(folders: Iterable[str | Path]) -> str:
    """The paper's Table 1 with a row for each method that was run, in Markdown.

    Runs of one head with one protocol share a row; sets that the paper lacks get columns of their own.

    Args:
        folders: of the runs, or their ``report.json`` files.

    Raises:
        RunError: a folder without a report, or two runs of one head, protocol and set.
    """
    rows: dict[str, dict[str, str]] = {}
    columns = dict(COLUMNS)
    for folder in folders:
        run = TableRow.read(Path(folder))
        cells = rows.setdefault(run.method, {})
        if run.data in cells:
            raise RunError(f"{folder}: {run.method} on {run.data} is there twice; name one of the runs")
        cells[run.data] = run.cell
        columns.setdefault(run.data, run.data)
    extra = [""] * (len(columns) - len(COLUMNS))
    papers = [(method, *cells, *extra) for method, cells in PAPER]
    ours = [(method, *(cells.get(name, "") for name in columns)) for method, cells in rows.items()]
    filled = [[cell or "-" for cell in row] for row in (*papers, *ours)]
    return f"{markdown_table(('method', *columns.values()), filled)}\n\n{NOTE}\n"
