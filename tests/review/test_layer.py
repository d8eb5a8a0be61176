"""Decisions of people about the masks of models: what becomes of them, and that none is lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmbseg.checksums import read_rows, write_rows
from fmbseg.files import DamagedFileError
from fmbseg.labels.label_set import LabelSet, save
from fmbseg.labels.record import HAND_STAGE
from fmbseg.labels.verification import verify
from fmbseg.review.session import Review
from fmbseg.unknown_name import UnknownNameError
from tests.labels.examples import assert_equal
from tests.labels.pictures import write_labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

A, B = "a.png", "deep/b.png"


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return write_labels(tmp_path)


@pytest.fixture
def anna(labels: LabelSet) -> Review:
    return Review(labels.folder, "Anna")


def corner(labels: LabelSet) -> NDArray[np.bool_]:
    mask = np.zeros(next(iter(labels)).size, np.bool_)
    mask[:5, :7] = True
    return mask


def test_without_decisions_labels_are_as_the_models_made_them(labels: LabelSet, anna: Review) -> None:
    for one, other in zip(LabelSet(labels.folder), labels, strict=True):
        assert_equal(one, other)
    assert LabelSet(labels.folder).fingerprint == labels.fingerprint
    assert str(anna.status()) == "0 of 4 photographs done, 0 begun, 4 left"


def test_each_decision_does_what_it_says(labels: LabelSet, anna: Review) -> None:
    before = next(iter(labels))
    names = labels.vocabulary.names
    anna.accept(A, "m0")
    anna.reject(A, "m1")
    anna.rename(A, "grass", "m2")
    anna.delete(A, "m3")
    drawn = anna.draw(A, corner(labels), "dog", how="brush")
    after = next(iter(LabelSet(labels.folder)))
    # Left are the accepted mask, the renamed one, the one nobody looked at, and the new one.
    assert after.class_ids.tolist() == [before.class_ids[0], 3, before.class_ids[4], 0]
    assert after.masks.rles[:3] == tuple(before.masks.rles[index] for index in (0, 2, 4))
    np.testing.assert_array_equal(after.masks.decode(3), corner(labels))
    assert after.stages.tolist() == [HAND_STAGE, HAND_STAGE, before.stages[4], HAND_STAGE]
    assert after.kept.tolist() == [True, True, before.kept[4], True]
    assert after.similarities[[0, 1, 3]].tolist() == [1, 1, 1]
    assert after.certainties[[0, 1, 3]].tolist() == [1, 1, 1]
    assert set(after.detected) >= {0, 3, int(before.class_ids[0])}
    # What people drew lies on top of all that models made.
    assert (after.label_map()[:5, :7] == 0).all()
    shown = {mask.key: (mask.name, mask.judged) for mask, _ in anna.masks(A)}
    assert shown == {
        "m0": (names[before.class_ids[0]], "accept"),
        "m2": ("grass", "rename"),
        "m4": (names[before.class_ids[4]], None),
        drawn.id: ("dog", "draw"),
    }
    others = zip(list(LabelSet(labels.folder))[1:], list(labels)[1:], strict=True)
    for one, other in others:
        assert_equal(one, other)


def test_statistics_exports_and_a_baked_set_see_them(labels: LabelSet, anna: Review, tmp_path: Path) -> None:
    anna.draw(A, corner(labels), "dog")
    corrected = LabelSet(labels.folder)
    assert corrected.statistics().masks["dog"]["hand"].masks == 1
    assert corrected.fingerprint != labels.fingerprint
    assert corrected.origin["steps"] == [{"review": corrected.layer.fingerprint}]
    assert next(len(image.masks) for image in LabelSet(labels.folder, corrected=False)) == 5
    baked = save(corrected, tmp_path / "baked")
    for one, other in zip(baked, corrected, strict=True):
        assert_equal(one, other)
    assert verify(baked.folder) == []
    assert not (tmp_path / "baked/review").exists()


def test_a_class_whose_last_mask_went_is_no_longer_found(labels: LabelSet, anna: Review) -> None:
    image = next(iter(labels))
    gone = int(image.class_ids[0])
    anna.reject(A, *(f"m{index}" for index in np.flatnonzero(image.class_ids == gone)))
    after = next(iter(LabelSet(labels.folder)))
    assert gone not in after.detected
    assert set(after.detected) == set(image.detected) - {gone}  # one without a mask from the start stays


def test_undo_takes_back_the_last_one_first(labels: LabelSet, anna: Review) -> None:
    plain = next(iter(labels))
    anna.reject(A, "m1")
    anna.draw(A, corner(labels), "dog")
    anna.done(B)
    assert anna.undo(A) is not None
    assert len(anna.record(A).masks) == 4
    last = anna.undo()
    assert last is not None
    assert (last.does, last.photograph) == ("done", B)
    anna.undo()
    assert anna.undo() is None
    assert_equal(next(iter(LabelSet(labels.folder))), plain)
    anna.accept(A, "m1")  # and on it goes
    assert next(iter(LabelSet(labels.folder))).stages[1] == HAND_STAGE


def test_a_drawn_mask_may_be_renamed_and_deleted(labels: LabelSet, anna: Review) -> None:
    drawn = anna.draw(A, corner(labels), "dog")
    anna.rename(A, "grass", drawn.id)
    assert anna.record(A).class_ids[-1] == 3
    assert anna.status().classes["grass"].drawn == 1
    anna.delete(A, drawn.id)
    assert len(anna.record(A).masks) == 5
    assert anna.status().classes == {}
    with pytest.raises(ValueError, match="has no mask 'Anna:1' any more"):
        anna.accept(A, drawn.id)


def test_several_reviewers_lose_nothing(labels: LabelSet, anna: Review) -> None:
    ben = Review(labels.folder, "Ben")
    anna.rename(A, "grass", "m0")
    ben.reject(A, "m1")
    ben.rename(A, "sofa/bed", "m0")  # the later decision about a mask counts
    image = anna.record(A)
    assert len(image.masks) == 4
    assert image.class_ids[0] == 1
    ben.undo(A)  # then the one before counts again
    assert anna.record(A).class_ids[0] == 3
    ben.accept(A, "m0")  # the name that it has now
    assert anna.record(A).class_ids[0] == 3
    assert sum(one.renamed for one in anna.status().classes.values()) == 1  # it is not the models' name
    assert ben.undo(A) is not None
    assert anna.status().reviewers == {"Anna": 1, "Ben": 1}
    assert ben.undo(A) is not None
    assert ben.undo(A) is None  # it is Anna's to take back


def test_two_tabs_of_one_reviewer_lose_nothing(labels: LabelSet) -> None:
    tabs = [Review(labels.folder, "Anna") for _ in range(2)]
    failed: list[BaseException] = []

    def work(tab: Review, name: str) -> None:
        try:
            for _ in range(15):
                tab.draw(A, corner(labels), name)
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(tab, name))
        for tab, name in zip(tabs, ("dog", "grass"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    image = tabs[0].record(A)
    assert image.class_ids.tolist()[5:].count(0) == image.class_ids.tolist()[5:].count(3) == 15
    made = [one.id for one in tabs[1].layer().decisions[A]]
    assert made == [f"Anna:{number}" for number in range(1, 31)]


def test_agreement_by_class(labels: LabelSet, anna: Review) -> None:
    names = labels.vocabulary.names
    image = next(iter(labels))
    first = names[image.class_ids[0]]
    same = [f"m{index}" for index in np.flatnonzero(image.class_ids == image.class_ids[0])]
    anna.accept(A, same[0])
    anna.reject(A, *same[1:])
    anna.draw(B, np.ones((17, 9), np.bool_), "grass", how="box")
    anna.done(B)
    status = anna.status()
    assert (status.done, status.begun, status.left) == (1, 1, 3)
    one = status.classes[first]
    assert (one.accepted, one.rejected, one.renamed) == (1, len(same) - 1, 0)
    assert one.agreement == pytest.approx(1 / len(same))
    assert (status.classes["grass"].drawn, status.classes["grass"].agreement) == (1, None)
    anna.delete(A, *same[:1])  # says nothing of whether it was right
    assert anna.status().classes.get(first, one).accepted == 0


def test_the_least_sure_come_first_and_the_finished_last(labels: LabelSet, anna: Review) -> None:
    means = {}
    for image in labels:
        known = np.where(np.isnan(image.certainties), image.similarities, image.certainties)
        sure = np.append(known, np.float32(0))[image.top_masks(kept_only=False)]
        means[image.path] = sure.mean(dtype=np.float64)
    assert anna.order() == sorted(means, key=lambda path: (means[path], path))
    first = anna.order()[0]
    anna.done(first)
    assert anna.order()[-1] == first
    assert anna.order()[:3] == [path for path in sorted(means, key=lambda path: means[path]) if path != first]


@pytest.mark.parametrize(
    ("wrong", "kind", "told"),
    [
        (lambda one: one.accept("no.png", "m0"), UnknownNameError, "no photograph 'no.png'"),
        (lambda one: one.accept(A, "m9"), ValueError, "has no mask 'm9' any more"),
        (lambda one: one.rename(A, "cow", "m0"), UnknownNameError, "no class 'cow'"),
        (lambda one: one.draw(A, np.ones((2, 2), bool), "dog"), ValueError, "it must be bool of the size"),
        (lambda one: one.draw(A, np.zeros((24, 36), bool), "dog"), ValueError, "has no pixel"),
    ],
)
def test_what_cannot_be_decided_is_not_written(anna: Review, wrong, kind, told) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(kind) as error:
        wrong(anna)
    assert told in str(error.value)
    assert not anna.layer()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".a", "a\n", "x" * 65, "a:b"])
def test_a_name_that_is_none(labels: LabelSet, name: str) -> None:
    if name == "a\n":
        assert Review(labels.folder, name).reviewer == "a"
        return
    with pytest.raises(ValueError, match="cannot be a reviewer's name"):
        Review(labels.folder, name)


def test_labels_in_object_storage_are_to_be_copied_first() -> None:
    with pytest.raises(ValueError, match=r"`fmbseg review bake s3://bucket/labels --out FOLDER` copies it"):
        Review("s3://bucket/labels", "Anna")


def test_corrections_of_other_labels_are_refused(labels: LabelSet, anna: Review, tmp_path: Path) -> None:
    anna.accept(A, "m0")
    path = labels.folder / "review/Anna.jsonl"
    rows = read_rows(path)
    write_rows(path, [{**rows[0], "manifest": "ab" * 32}])
    with pytest.raises(DamagedFileError, match=r"Anna.jsonl holds corrections of another label set"):
        LabelSet(labels.folder)
    write_rows(path, [{**rows[0], "content": "ab" * 16}])
    with pytest.raises(DamagedFileError, match=r"a.png was labelled anew since Anna corrected it"):
        list(LabelSet(labels.folder))
    assert len(list(LabelSet(labels.folder, corrected=False))) == 4
    assert [problem.file for problem in verify(labels.folder)] == ["review"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"does": "like"}, "'like' is none of accept"),
        ({"mask": 3}, "mask is no text"),
        ({"mask": None, "does": "reject"}, "reject needs mask"),
        ({"mask": "../x"}, "its mask is '../x'"),
        ({"id": "Ben:1"}, "is the decision Ben:1 of another journal"),
        ({"id": "Anna"}, "its id is 'Anna'"),
        ({"time": "now"}, "time is no text, or no number"),
        ({"extra": 1}, "unexpected keyword"),
        ({"does": "rename", "name": "cow"}, "names the class 'cow'"),
        ({"mask": "m77"}, "has no mask m77"),
        ({"does": "draw", "name": "dog", "how": "brush", "counts": "5"}, "its run lengths have 5 pixels"),
    ],
)
def test_a_line_that_is_no_decision(
    labels: LabelSet, anna: Review, change: dict[str, object], told: str
) -> None:
    anna.accept(A, "m0")
    path = labels.folder / "review/Anna.jsonl"
    (row,) = read_rows(path)
    write_rows(path, [{key: value for key, value in {**row, **change}.items() if value is not None}])
    with pytest.raises(DamagedFileError, match=told):
        list(LabelSet(labels.folder))
