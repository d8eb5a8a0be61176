"""The model card of a head: what it says beyond what the head knows, and its page, from a template."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.escaping import markdown, markdown_code, markdown_table
from fmbseg.models.catalog import find_card
from fmbseg.models.loading.spec_options import revision_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from huggingface_hub import ModelCardData

    from fmbseg.aligned.config import AlignedConfig


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
    parts = ("model", "data", "protocol", "figures", "measured", "part")
    missing = [name for name in parts if name not in content] if isinstance(content, dict) else list(parts)
    if missing:
        raise ValueError(f"{where} is not what `fmbseg eval` writes: it lacks {', '.join(missing)}")
    if list(content["part"]) != [1, 1]:
        raise ValueError(
            f"{where} is of part {content['part'][0]} of {content['part'][1]}: merge the parts first, "
            "so that the card's figures are those of the whole set"
        )
    return content  # type: ignore[no-any-return]


TAGS = ("open-vocabulary", "semantic-segmentation", "annotation-free", "fmbseg", "arxiv:2403.09307")
_METRICS = {
    "miou": "mean_iou",
    "pixel_accuracy": "accuracy",
    "mean_accuracy": "mean_accuracy",
    "boundary_iou": "boundary_iou",
}
_SHOWN_CLASSES = 100
_NOT_STATED = "not stated"
_TEMPLATE = Path(__file__).with_name("templates") / "model_card.md"


def render_card(config: AlignedConfig, head_sha256: str, card: HeadCard, repo: str | None = None) -> str:
    """Write the card of a head as Markdown, headed by the Hub's metadata.

    Args:
        config: of the head.
        head_sha256: of its weights, as :meth:`AlignedEncoder.describe` gives it.
        card: what the head does not know.
        repo: the ``owner/name`` that it will have, if known.

    Raises:
        AlignedEncoderError: a report is about another head.
    """
    from huggingface_hub import ModelCard

    reports = card.measured()
    for report in reports:
        measured = report["model"].get("head_sha256")
        if measured != head_sha256:
            raise AlignedEncoderError(
                f"the report of {report['data']['name']} was measured with the head {measured}, "
                f"but this one is {head_sha256}: evaluate this head, or leave the report out"
            )
    models = (
        find_card("backbone", config.backbone),
        find_card("image-text encoder", config.text_encoder),
    )
    page = ModelCard.from_template(
        _metadata(card, reports, repo),
        template_path=str(_TEMPLATE),
        text=markdown,
        code=markdown_code,
        table=markdown_table,
        python=json.dumps,
        shell=shlex.quote,
        config=config,
        card=card,
        repo=repo or "owner/name",
        extras=",".join(sorted({model.extra for model in models if model is not None and model.packages})),
        most=_SHOWN_CLASSES,
        training=_training(config, card),
        reports=[_measured(report) for report in reports],
        licences=_licences(config, card),
        versions=[
            ("frozen encoder's revision", revision_of(config.backbone) or "none named"),
            ("text encoder's revision", revision_of(config.text_encoder) or "none named"),
            *config.versions.items(),
        ],
    )
    return f"{page.content}\n"


def _metadata(card: HeadCard, reports: Sequence[Mapping[str, Any]], repo: str | None) -> ModelCardData:
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
    return ModelCardData(
        language=None,
        license=card.license,
        library_name="fmbseg",
        pipeline_tag="image-segmentation",
        tags=list(TAGS),
        model_name=name if results else None,
        eval_results=results or None,
    )


def _training(config: AlignedConfig, card: HeadCard) -> list[tuple[str, object]]:
    labels, settings = config.training.get("labels", {}), config.training.get("settings", {})
    rows: list[tuple[str, object]] = []
    if "photographs" in labels:
        rows.append(("photographs", labels["photographs"]))
    if card.photographs:
        rows.append(("which they are", card.photographs))
    rows += _label_models(labels)
    if "fingerprint" in labels:
        rows.append(("fingerprint of the labels", labels["fingerprint"]))
    # Sorted by name: a head that was saved and loaded again has the same card.
    rows += [(name.replace("_", " "), value) for name, value in sorted(settings.items())]
    losses = [record["loss"] for record in config.training.get("history", ()) if "loss" in record]
    if losses:
        rows.append(("loss, first and last epoch", f"{losses[0]:.3f}, {losses[-1]:.3f}"))
    rows += _selection(config.training)
    if rows and config.transform is not None:
        rows.append(("pixels", f"mean {config.transform.mean}, std {config.transform.std}"))
    return rows


def _selection(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What cross-validation chose, if it did."""
    kept, chosen = training.get("kept", {}).get("selection"), training.get("selection")
    if kept:
        return [("kept after cross-validation", kept["told"])]
    return [("epochs, by cross-validation", f"{chosen['epochs']}: {chosen['told']}")] if chosen else []


def _label_models(labels: Mapping[str, Any]) -> list[tuple[str, str]]:
    models = labels.get("models", {})
    roles = {"image_text": "image text", "mask_generator": "mask generator"}
    roles |= {"teacher": "teacher", "license": "licence of the teacher"}
    return [(f"pseudo labels: {role}", models[key]) for key, role in roles.items() if models.get(key)]


def _measured(report: Mapping[str, Any]) -> tuple[Any, Any, int, int, list[tuple[str, str]]]:
    figures = [
        (name.replace("_", " "), f"{100 * value:.2f} %")
        for name, value in report["figures"].items()
        if value is not None
    ]
    failed = len(report.get("failures", ()))
    return report["data"], report["protocol"], report["measured"], failed, figures


def _licences(config: AlignedConfig, card: HeadCard) -> list[tuple[str, str, str]]:
    labels = _label_models(config.training.get("labels", {}))
    return [
        ("this head", "the files of this repository", card.license or f"{_NOT_STATED} by its authors"),
        ("frozen encoder", config.backbone, config.backbone_license or _NOT_STATED),
        ("text encoder", config.text_encoder, config.text_license or _NOT_STATED),
        *((role, spec, "its own; not part of this") for role, spec in labels),
        ("photographs of the training", card.photographs or _NOT_STATED, "their own; not part of this"),
        ("fmbseg", "the library", "Apache-2.0"),
    ]
