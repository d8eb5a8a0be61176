"""The card of a data set: names are text, whatever is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import DatasetCard

from fmbseg.escaping import terminal
from fmbseg.labels.formats.hf_datasets import datasets_card
from fmbseg.vocabulary import Vocabulary
from tests.hostile import NAMES
from tests.labels.pictures import write_labels
from tests.markdown_page import MarkdownPage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_and_not_markup(name: str, tmp_path: Path) -> None:
    labels = write_labels(tmp_path, models={"image_text": name})
    labels._vocabulary = Vocabulary.of([" ".join(name.split()), "cat"])
    content = datasets_card(labels, license=name)
    page = MarkdownPage(content.partition("\n---\n")[2])
    assert not page.kinds & {"html_block", "html_inline", "image"}
    assert page.links == ["https://arxiv.org/abs/2403.09307"]
    shown = terminal(" ".join(name.split()))
    for text in (f"2: {shown}, cat.", f"image text: {shown}", f"Photographs and labels: {shown}."):
        assert text in page.texts
    assert content.count("\n---\n") == 1
    data: Any = DatasetCard(content).data
    assert data.license == name


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    content = datasets_card(write_labels(tmp_path, models={}))
    texts = MarkdownPage(content.partition("\n---\n")[2]).texts
    assert "Not recorded." in texts
    assert any("not stated by who pushed them" in text for text in texts)


def test_of_many_classes_a_hundred_are_shown(tmp_path: Path) -> None:
    labels = write_labels(tmp_path)
    labels._vocabulary = Vocabulary.of([f"class {index}" for index in range(103)])
    texts = MarkdownPage(datasets_card(labels).partition("\n---\n")[2]).texts
    assert any(text.startswith("103: class 0, class 1, ") for text in texts)
    assert any(text.endswith("class 98, class 99, and 3 more.") for text in texts)
