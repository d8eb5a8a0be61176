from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmbseg.alignment.examples import TrainingData, TrainingDataError, training_data
from fmbseg.alignment.label_source import LabelSource, RecordedLabels
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.training_example import training_size
from fmbseg.vocabulary import Vocabulary
from tests.alignment.photographs import CAT, CUP, WORDS, Label, labelled


def no_bar(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    return items


def prepared(source: LabelSource, min_coverage: float = 0.5) -> TrainingData:
    return training_data(source, TrainingSettings(image_size=64, min_coverage=min_coverage), 8, no_bar)


def changed(source: RecordedLabels, **values: Any) -> RecordedLabels:
    """The same labels, the first record with other values."""
    first = source.records[0]
    assert isinstance(first, Label)
    return replace(source, records=(replace(first, **values), *source.records[1:]))


def test_classes_are_those_detected_and_are_numbered_anew(tmp_path: Path) -> None:
    data = prepared(labelled(tmp_path))
    assert data.vocabulary.names == ("cup", "cat", "person", "table")  # no photograph has a bathtub
    assert [set(np.unique(example.labels)) for example in data.examples] == [{-1, 1}, {0, 3}, {-1, 2}]
    chelsea = data.examples[0]  # 300 x 451
    assert chelsea.size == (64, 96)
    assert chelsea.labels.shape == (8, 12)
    # The box spans columns 45 to 405 of 451, of 12 cells 1.2 to 10.8: cells 1 and 10 are covered by 80 %.
    assert (chelsea.labels == 1).any(axis=0).tolist() == [False] + [True] * 10 + [False]


def test_aliases_templates_and_background_go_with_their_classes(tmp_path: Path) -> None:
    words = Vocabulary(
        names=("cup", "cat", "bathtub", "person", "table"),
        prompts=(("cup", "mug"), ("cat",), ("bathtub",), ("person",), ("table", "desk")),
        background=frozenset({2, 4}),
        templates=("{}",),
    )
    vocabulary = prepared(replace(labelled(tmp_path), vocabulary=words)).vocabulary
    assert vocabulary.prompts == (("cup", "mug"), ("cat",), ("person",), ("table", "desk"))
    assert vocabulary.background == {3}
    assert vocabulary.templates == ("{}",)


def test_a_photograph_without_a_labelled_patch_is_left_out_and_counted(tmp_path: Path) -> None:
    source = labelled(tmp_path)
    data = prepared(changed(source, pixels=np.full(source.records[0].size, -1, np.int32)))
    assert [Path(str(example.path)).stem for example in data.examples] == ["coffee", "astronaut"]
    assert data.unlabelled == 1
    assert "cat" in data.vocabulary.names  # it was detected, and its prototype is a wrong answer for others


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="there are no labels"):
        prepared(RecordedLabels((), WORDS, tmp_path))


def test_one_class_only(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"two classes .* 1 were detected in 1 photographs \('cat'\)"):
        prepared(labelled(tmp_path, ("chelsea",)))


def test_one_class_with_patches_only(tmp_path: Path) -> None:
    source = changed(labelled(tmp_path, ("chelsea",)), detected=(CUP, CAT))
    # 8 rows by 10 columns of cells, but the upper corners are covered by 60 % by 80 % only.
    with pytest.raises(TrainingDataError, match=r"78 of 'cat' in all: .* min_coverage \(0.5\)"):
        prepared(source)


def test_no_patch_is_covered_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source = labelled(tmp_path, ("coffee",))
    noise = rng.integers(0, 5, source.records[0].size, dtype=np.int32)
    with pytest.raises(TrainingDataError, match="0 of no class"):
        prepared(changed(source, pixels=noise, detected=(0, 1, 2, 3, 4)), min_coverage=0.9)


def test_a_missing_photograph_is_named_before_any_label_map_is_made(tmp_path: Path) -> None:
    source = changed(labelled(tmp_path), pixels="never read")
    (tmp_path / "coffee.png").unlink()
    with pytest.raises(TrainingDataError, match=r"1 of 3 photographs .*coffee.png cannot be read \(No such"):
        prepared(source)


def test_a_changed_photograph_is_named(tmp_path: Path) -> None:
    source = labelled(tmp_path)
    with (tmp_path / "astronaut.png").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TrainingDataError, match=r"1 of 3 .*astronaut.png was changed since it was labelled"):
        prepared(source)


def test_many_missing_photographs_are_counted_not_listed(tmp_path: Path) -> None:
    records = tuple(
        Label(f"{index}.png", "0" * 64, (8, 8), (index % 2,), np.zeros((8, 8), np.int32))
        for index in range(9)
    )
    with pytest.raises(TrainingDataError, match=r"9 of 9 .*4.png cannot be read .*; \.\.\.") as error:
        prepared(RecordedLabels(records, WORDS, tmp_path))
    assert "5.png" not in str(error.value)


def test_a_class_outside_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="name class 5, but their vocabulary has classes 0 to 4"):
        prepared(changed(labelled(tmp_path), detected=(1, 5)))


def test_pixels_of_a_class_that_is_not_detected(tmp_path: Path) -> None:
    source = labelled(tmp_path)
    with pytest.raises(TrainingDataError, match=r"chelsea.png has pixels of class 2 \('bathtub'\)"):
        prepared(changed(source, pixels=np.full(source.records[0].size, 2, np.int32)))


def test_a_label_map_out_of_range_names_its_photograph(tmp_path: Path) -> None:
    source = labelled(tmp_path)
    with pytest.raises(TrainingDataError, match=r"labels of chelsea.png .* 77 to 77"):
        prepared(changed(source, pixels=np.full(source.records[0].size, 77, np.int32)))


def test_the_fingerprint_follows_labels_photographs_and_words(tmp_path: Path) -> None:
    source = labelled(tmp_path)
    other_pixels = np.zeros(source.records[0].size, np.int32)
    prints = {
        labels.fingerprint
        for labels in (
            source,
            changed(source, pixels=other_pixels),
            changed(source, sha256="1" * 64),
            replace(source, vocabulary=Vocabulary.of(["mug", "cat", "bathtub", "person", "table"])),
        )
    }
    assert len(prints) == 4
    assert labelled(tmp_path).fingerprint == source.fingerprint


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    image_size=st.integers(32, 600),
    stride=st.sampled_from([8, 14, 16]),
)
def test_training_sizes_are_multiples_near_the_aspect(
    size: tuple[int, int], image_size: int, stride: int
) -> None:
    sides = training_size(size, image_size, stride)
    scale = min(image_size / min(size), 4 * image_size / max(size))
    for side, original in zip(sides, size, strict=True):
        assert side % stride == 0
        assert side >= stride
        assert abs(side - original * scale) <= stride / 2 or side == stride


def test_the_short_side_is_the_image_size() -> None:
    assert training_size((480, 640), 448, 14) == (448, 602)  # 597.3 is nearest to 43 x 14
    assert training_size((640, 480), 448, 16) == (592, 448)
