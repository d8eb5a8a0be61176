"""The card of a label set on the Hub: what it contains, how it was made, and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.escaping import markdown, markdown_code

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection

_SHOWN_CLASSES = 100
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_TEMPLATE = Path(__file__).with_name("templates") / "data_card.md"


def datasets_card(labels: LabelCollection, license: str | None = None) -> str:  # noqa: A002 - the Hub's word
    """Write the card of a data set as Markdown, preceded by the Hub's metadata.

    Args:
        labels: the labels in the data set.
        license: of the photographs and labels, as the Hub names licences.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    count = len(labels)
    data = DatasetCardData(
        license=license,
        task_categories=["image-segmentation"],
        tags=["fmbseg", "pseudo-labels", "arxiv:2403.09307"],
        size_categories=[next((name for limit, name in _SIZES if count < limit), "1M<n<10M")],
        configs=[{"config_name": "default", "data_files": "data/*.parquet"}],
    )
    models = labels.origin.get("models", {})
    card = DatasetCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        text=markdown,
        code=markdown_code,
        count=count,
        names=labels.vocabulary.names,
        most=_SHOWN_CLASSES,
        models=[(role.replace("_", " "), spec) for role, spec in models.items() if isinstance(spec, str)],
        fingerprint=labels.fingerprint,
        license=license,
    )
    return f"{card.content}\n"
