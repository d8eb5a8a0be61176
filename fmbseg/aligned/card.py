"""The model card of a head: what people read on its page, and what the Hub's search reads of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.aligned.card_text import card_body
from fmbseg.aligned.config import AlignedEncoderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.aligned.config import AlignedConfig

TAGS = ("open-vocabulary", "semantic-segmentation", "annotation-free", "fmbseg", "arxiv:2403.09307")
_METRICS = {
    "miou": "mean_iou",
    "pixel_accuracy": "accuracy",
    "mean_accuracy": "mean_accuracy",
    "boundary_iou": "boundary_iou",
}


@dataclass(frozen=True)
class HeadCard:
    """What a model card says that the head itself does not know.

    Args:
        license: of the head, as the Hub names licences, for example ``"apache-2.0"``.
        photographs: that it was trained on, and under which licence they are, in a sentence.
        limits: what else to mind when using it, in a sentence or two.
        reports: what ``fmbseg eval`` measured: paths of ``report.json``, or their content.

    Raises:
        ValueError: a report that is not one of ``fmbseg eval``, or of a part of a data set.

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


def render_card(config: AlignedConfig, head_sha256: str, card: HeadCard, repo: str | None = None) -> str:
    """Write the card of a head as Markdown with the Hub's metadata before it.

    Args:
        config: of the head.
        head_sha256: of its weights, as :meth:`AlignedEncoder.describe` gives it.
        card: what the head does not know.
        repo: ``owner/name`` that it will have, if that is known.

    Raises:
        AlignedEncoderError: a report of another head.
    """
    reports = card.measured()
    for report in reports:
        measured = report["model"].get("head_sha256")
        if measured != head_sha256:
            raise AlignedEncoderError(
                f"the report of {report['data']['name']} was measured with the head {measured}, "
                f"but this one is {head_sha256}: evaluate this head, or leave the report out"
            )
    body = card_body(config, card, reports, repo)
    return f"---\n{_metadata(card, reports, repo)}---\n\n{body}"


def _metadata(card: HeadCard, reports: list[Mapping[str, Any]], repo: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="image-segmentation",
            task_name="Open-vocabulary semantic segmentation",
            dataset_type=report["data"]["name"],
            dataset_name=f"{report['data']['name']}, {report['measured']} images",
            dataset_split=report["data"]["split"],
            dataset_config=f"protocol {report['protocol']['name']}, {report['protocol']['names']} names",
            metric_type=kind,
            metric_value=report["figures"][name],
        )
        for report in reports
        for name, kind in _METRICS.items()
        if report["figures"].get(name) is not None
    ]
    name = (repo or "aligned-head").rpartition("/")[2]
    data = ModelCardData(
        language=None,
        license=card.license,
        library_name="fmbseg",
        pipeline_tag="image-segmentation",
        tags=list(TAGS),
        model_name=name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml() + "\n"


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
