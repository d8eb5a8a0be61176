"""What a model card says of a head beyond what the head knows itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class HeadCard:
    """What a model card says that the head itself does not know.

    Args:
        license: the head's, as the Hub names licences, for example ``"apache-2.0"``.
        photographs: what it was trained on, and under which licence, in a sentence.
        limits: what else to keep in mind when using it, in a sentence or two.
        reports: what ``fmbseg eval`` measured: paths of ``report.json``, or their content.

    Raises:
        ValueError: a report does not come from ``fmbseg eval``, or covers only a part of a data set.

    Example:
        >>> HeadCard(license="cc-by-4.0").license
        'cc-by-4.0'
    """

    license: str | None = None
    photographs: str = ""
    limits: str = ""
    reports: tuple[str | Path | Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "reports", tuple(_read_report(report) for report in self.reports))

    def measured(self) -> list[Mapping[str, Any]]:
        """The reports' content."""
        return [report for report in self.reports if not isinstance(report, str | Path)]


def _read_report(report: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    where = "a report"
    content: Any = report
    if isinstance(report, str | Path):
        path = Path(report)
        path = path / "report.json" if path.is_dir() else path
        where, content = str(path), json.loads(path.read_text(encoding="utf-8"))
    parts = ("model", "data", "protocol", "figures", "measured", "shard")
    missing = [part for part in parts if part not in content] if isinstance(content, dict) else list(parts)
    if missing:
        raise ValueError(f"{where} is not what `fmbseg eval` writes: it lacks {', '.join(missing)}")
    if list(content["shard"]) != [1, 1]:
        raise ValueError(
            f"{where} is of shard {content['shard'][0]} of {content['shard'][1]}: merge the shards first, "
            "so that the card's figures are those of the whole set"
        )
    return content  # type: ignore[no-any-return]
