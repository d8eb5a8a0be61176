"""Protocols as data: the words that are asked for, and what a report must tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmbseg.evaluation.datasets import SegmentationData
from fmbseg.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from fmbseg.segment_settings import Background, KnowledgePreservation, Pamr
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabularies import benchmark_classes

if TYPE_CHECKING:
    from pathlib import Path


def data(name: str, tmp_path: Path) -> SegmentationData:
    return SegmentationData(
        name=name,
        root=tmp_path,
        split="val",
        names=tuple(benchmark_classes(name)),
        clean_names=tuple(benchmark_classes(f"{name}:clean")),
        samples=(),
        table=np.zeros(256, np.int32),
        listed_in="a test",
    )


def test_the_papers_background_is_all_stuff_words(tmp_path: Path) -> None:
    protocol = get_protocol("paper")
    voc = data("voc21", tmp_path)
    vocabulary = protocol.vocabulary(voc)
    assert len(vocabulary) == 111  # 20 classes and 91 stuff words
    assert vocabulary.names[:2] == ("aeroplane", "bicycle")
    assert vocabulary.names[-1] == "wood"
    assert vocabulary.background == frozenset(range(20, 111))
    assert vocabulary.templates == ("a photo of a {}.",)
    assert protocol.settings(voc).background == Background("words")
    assert protocol.settings(voc).refine is None


def test_stuff_words_that_are_classes_of_the_set_are_left_out(tmp_path: Path) -> None:
    for names in ("raw", "clean"):
        vocabulary = get_protocol("paper").vocabulary(data("context60", tmp_path), names)
        assert len(set(vocabulary.names)) == len(vocabulary)
        assert not {vocabulary.names[index] for index in vocabulary.background} & {"grass", "road", "wood"}


def test_sets_without_background_have_none(tmp_path: Path) -> None:
    for name in PROTOCOLS:
        stuff = data("coco_stuff171", tmp_path)
        assert len(get_protocol(name).vocabulary(stuff)) == 171
        assert get_protocol(name).settings(stuff).background == Background("none")


def test_tcls_settings(tmp_path: Path) -> None:
    voc = data("voc21", tmp_path)
    plain, refined = get_protocol("tcl"), get_protocol("tcl-pamr")
    assert plain.settings(voc).background == Background("similarity", 0.5, at_threshold=True)
    assert refined.settings(voc).background == Background("similarity", 0.4, at_threshold=True)
    assert refined.settings(voc).refine == Pamr(10, (1, 2, 4, 8, 12, 24))
    for protocol in (plain, refined):
        assert protocol.settings(voc).preserve == KnowledgePreservation(weight=0.3, center=0.25, slope=10.0)
    assert get_protocol("paper").settings(voc).preserve is None
    assert len(plain.vocabulary(voc)) == 20
    assert len(plain.templates) == 9
    windows = plain.settings(voc).windows
    assert (windows.short_side, windows.window, windows.step) == (448, 448, 224)


def test_names_raw_clean_and_from_a_file(tmp_path: Path) -> None:
    protocol, voc = get_protocol("paper"), data("voc21", tmp_path)
    clean = protocol.vocabulary(voc, "clean")
    assert clean.prompts[10] == ("dining table",)
    assert clean.names[10] == "diningtable"  # the class keeps the benchmark's name
    assert "brick wall" in clean.names
    words: dict[str, str] = {name: name for name in voc.names[1:]}
    words["puppy"] = "dog"
    (tmp_path / "words.json").write_text(json.dumps(words))
    mine = protocol.vocabulary(voc, str(tmp_path / "words.json"))
    assert mine.prompts[11] == ("dog", "puppy")
    (tmp_path / "few.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match=r"few\.txt has words for 2 classes, but voc21 has 20 besides"):
        protocol.vocabulary(voc, str(tmp_path / "few.txt"))
    with pytest.raises(ValueError, match=r"absent\.txt"):
        protocol.vocabulary(voc, str(tmp_path / "absent.txt"))


def test_every_report_tells_every_choice(tmp_path: Path) -> None:
    told: dict[str, Any] = get_protocol("tcl-pamr").describe(data("voc21", tmp_path), "clean")
    assert json.loads(json.dumps(told)) == told
    expected = {
        "name": "tcl-pamr",
        "class_count": 21,
        "prompted_words": 20,
        "background": "similarity up to 0.4",
        "threshold": 0.4,
        "names": "clean",
        "window": 448,
        "step": 224,
        "short_side": 448,
        "hubness": 0.0,
        "preserve": {"weight": 0.3, "center": 0.25, "slope": 10.0, "short_side": 448},
        "scales": [1.0],
    }
    assert {key: told[key] for key in expected} == expected
    assert told["templates"][0] == "itap of a {}."
    paper = get_protocol("paper").describe(data("voc21", tmp_path))
    assert (paper["background"], paper["threshold"]) == ("91 stuff words of COCO-Stuff", None)
    assert get_protocol("paper").describe(data("voc20", tmp_path))["background"] == "not counted"


def test_own_leaves_hubness_to_the_head(tmp_path: Path) -> None:
    voc = data("voc21", tmp_path)
    own, paper = get_protocol("own"), get_protocol("paper")
    assert (own.settings(voc).hubness, paper.settings(voc).hubness) == (None, 0.0)
    told = own.describe(voc)
    assert told["hubness"] == "as suits the head"
    changed = {"name", "about", "hubness"}
    assert all(told[key] == value for key, value in paper.describe(voc).items() if key not in changed)


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'paper'"):
        get_protocol("papers")
    with pytest.raises(ValueError, match="must define background"):
        Protocol("mine", "", ("{}",), Background("none"))
