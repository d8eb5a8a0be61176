"""The card of a label set on the Hub: what is in it, what made it, and what to mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection

_SHOWN_CLASSES = 100
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def datasets_card(labels: LabelCollection, license: str | None = None) -> str:  # noqa: A002 - the Hub's word
    """Write the card of a data set as Markdown with the Hub's metadata before it.

    Args:
        labels: that the data set holds.
        license: of the photographs and labels, as the Hub names licences.
    """
    from huggingface_hub import DatasetCardData

    count = len(labels)
    data = DatasetCardData(
        license=license,
        task_categories=["image-segmentation"],
        tags=["fmbseg", "pseudo-labels", "arxiv:2403.09307"],
        size_categories=[next((name for limit, name in _SIZES if count < limit), "1M<n<10M")],
        configs=[{"config_name": "default", "data_files": "data/*.parquet"}],
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_body(labels, count, license)}"


def _body(labels: LabelCollection, count: int, licence: str | None) -> str:
    names = labels.vocabulary.names
    shown = ", ".join(" ".join(name.split()) for name in names[:_SHOWN_CLASSES])
    more = f", and {len(names) - _SHOWN_CLASSES} more" if len(names) > _SHOWN_CLASSES else ""
    models = labels.origin.get("models", {})
    made_by = [
        f"- {role.replace('_', ' ')}: `{spec}`" for role, spec in models.items() if isinstance(spec, str)
    ]
    return f"""# Pseudo labels of {count} photographs

Made by [fmbseg](https://arxiv.org/abs/2403.09307) without a human annotation. `image` is the photograph,
`label` its class map (value = class + 1, 0 = no label), `masks` the masks: COCO run lengths, class, stage,
scores.

```python
from datasets import load_dataset

labels = load_dataset("owner/name", split="train")  # this repository's name
```

## Classes

{len(names)}: {shown}{more}.

## Made by

{chr(10).join(made_by) or "Not recorded."}

SHA-256 of the label manifest: `{labels.fingerprint}`.

## Licence

Photographs and labels: {licence or "not stated by who pushed them; the photographs are their owners'"}.

## Limits

The labels are what models say: they are wrong where these are, and miss what these do not know. Pixels
without a label may show anything.
"""
