"""Selections, draws and merges of labels, and what is written of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmbseg.labels.label_set import LabelSet, save
from fmbseg.labels.merged import merge
from fmbseg.labels.record import EVERYTHING_STAGE, HAND_STAGE, POINT_STAGE
from fmbseg.labels.selection import draw_lots
from fmbseg.labels.verification import verify
from fmbseg.labels.writer import LabelWriter
from fmbseg.unknown_name import UnknownNameError
from tests.labels.examples import assert_equal, boxes, empty_record, manifest, record

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    """Records of three masks (classes 4, 1, 4; stages 1.1, 1.1, 1.2; predicted IoU 0.7, 0.825, 0.95)."""
    with LabelWriter(tmp_path / "labels", manifest(3)) as writer:
        for one in (record("0.jpg"), empty_record("1.jpg"), record("2.jpg")):
            writer.append(one)
    return LabelSet(tmp_path / "labels")


class TestFilter:
    def test_a_stage_alone(self, labels: LabelSet) -> None:
        pointed, everything = labels.stage(POINT_STAGE), labels.stage(EVERYTHING_STAGE)
        assert [image.class_ids.tolist() for image in pointed] == [[4, 1], [], [4, 1]]
        assert [image.class_ids.tolist() for image in everything] == [[4], [], [4]]
        assert [image.path for image in pointed] == ["0.jpg", "1.jpg", "2.jpg"]
        for found, whole in zip(labels.stage(POINT_STAGE, EVERYTHING_STAGE), labels, strict=True):
            assert_equal(found, whole)

    def test_every_column_follows(self, labels: LabelSet) -> None:
        first = next(iter(labels.filter(min_predicted_iou=0.8, min_area=0.3)))
        whole = next(iter(labels))
        assert_equal(first, whole.select(np.array([False, False, True])))
        assert first.points[0].shape == (0, 2)

    @pytest.mark.parametrize(
        ("wanted", "classes"),
        [
            ({"min_predicted_iou": 0.825}, [1, 4]),
            ({"min_stability": 0.3}, [4]),
            ({"min_similarity": 0.1}, [4, 4]),  # 0.1 is kept as float32, which is a little more
            ({"min_area": 8 / 24}, [4, 4]),
            ({"max_area": 8 / 24}, [1, 4]),
            ({"kept_only": True}, [4, 1]),
            ({"classes": ["b"]}, [1]),
            ({"stages": [HAND_STAGE]}, []),
        ],
    )
    def test_thresholds_are_inclusive(
        self, labels: LabelSet, wanted: dict[str, float], classes: list[int]
    ) -> None:
        assert next(iter(labels.filter(**wanted))).class_ids.tolist() == classes  # type: ignore[arg-type]

    def test_classes_that_are_left_out_are_not_detected(self, labels: LabelSet) -> None:
        assert [image.detected for image in labels.filter(classes=["b"])] == [(1,), (), (1,)]

    def test_what_cannot_be_is_refused(self, labels: LabelSet) -> None:
        with pytest.raises(ValueError, match="min_predicted_iou is 88: it must be from 0 to 1"):
            labels.filter(min_predicted_iou=88)
        with pytest.raises(ValueError, match=r"stages is \[13\]: it must be one or more of 11 \(1\.1\)"):
            labels.stage(13)
        with pytest.raises(ValueError, match=r"stages is \[\]"):
            labels.stage()
        with pytest.raises(UnknownNameError, match="bee"):
            labels.filter(classes=["bee"])


class TestResample:
    def test_the_draw_of_labelling_comes_back(self, labels: LabelSet) -> None:
        again = labels.resample(0.0)
        assert [image.kept.tolist() for image in again] == [[True, True, False], [], [True, True, False]]
        assert [image.kept.tolist() for image in labels.resample(1.0)] == [[True] * 3, [], [True] * 3]

    def test_it_is_the_seeded_draw_over_the_path(self, tmp_path: Path) -> None:
        masks = boxes(*[(0, 0, 1, 1 + index % 5) for index in range(8)])
        many = record(
            "d/e.jpg",
            masks,
            class_ids=np.ones(8, np.int32),
            stages=np.array([POINT_STAGE] * 2 + [EVERYTHING_STAGE] * 6, np.int8),
            similarities=np.zeros(8, np.float32),
            kept=np.ones(8, np.bool_),
            points=(np.zeros((0, 2), np.float32),) * 8,
        )
        with LabelWriter(tmp_path, manifest(1)) as writer:
            writer.append(many)
        (found,) = LabelSet(tmp_path).resample(0.5, seed=3)
        assert found.kept.tolist() == [True, True, *draw_lots(6, "d/e.jpg", fraction=0.5, seed=3)]
        assert found.kept.sum() == 5

    def test_a_fraction_outside_is_refused(self, labels: LabelSet) -> None:
        with pytest.raises(ValueError, match=r"fraction is 75: it must be from 0 to 1"):
            labels.resample(75)


def test_fingerprints_tell_changes_apart(labels: LabelSet) -> None:
    changed = [
        labels,
        labels.stage(POINT_STAGE),
        labels.stage(EVERYTHING_STAGE),
        labels.resample(0.5),
        labels.resample(0.5, seed=1),
        labels.stage(POINT_STAGE).resample(0.5),
        labels.filter(classes=["a"]),
    ]
    assert len({one.fingerprint for one in changed}) == len(changed)
    assert labels.stage(POINT_STAGE).fingerprint == labels.stage(POINT_STAGE).fingerprint


class TestSave:
    def test_a_change_is_written_with_how_it_was_made(self, labels: LabelSet, tmp_path: Path) -> None:
        changed = labels.stage(POINT_STAGE).resample(0.5, seed=2)
        saved = save(changed, tmp_path / "out", shard_size=2)
        for found, wanted in zip(saved, changed, strict=True):
            assert_equal(found, wanted)
        assert verify(saved.folder) == []
        assert saved.root == labels.root
        written = json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert written["steps"] == [
            {"filter": {"stages": [11]}},
            {"resample": {"fraction": 0.5, "seed": 2, "stage": 12}},
        ]
        assert written["models"] == labels.manifest["models"]
        assert written["source"] == changed.fingerprint

    def test_a_stopped_one_goes_on_and_another_is_refused(self, labels: LabelSet, tmp_path: Path) -> None:
        whole = save(labels.resample(0.5), tmp_path / "out", shard_size=1)
        shard = whole.folder / "shard-00001.parquet"
        before = shard.read_bytes()
        shard.unlink()
        save(labels.resample(0.5), tmp_path / "out", shard_size=1)
        assert shard.read_bytes() == before
        with pytest.raises(ValueError, match="another configuration: source is"):
            save(labels.resample(0.25), tmp_path / "out", shard_size=1)
        with pytest.raises(ValueError, match="shard_size is 0"):
            save(labels, tmp_path / "no", shard_size=0)


class TestMerge:
    def other(self, folder: Path, root: str, names: list[str], *paths: str) -> LabelSet:
        words = {
            "names": names,
            "prompts": [[name] if name != "a" else ["a", "alpha"] for name in names],
            "background": [],
            "templates": ["a photo of a {}."],
        }
        with LabelWriter(folder, manifest(len(paths), vocabulary=words, root=root)) as writer:
            for path in paths:
                writer.append(record(path))
        return LabelSet(folder)

    def test_photographs_and_classes_of_both(self, labels: LabelSet, tmp_path: Path) -> None:
        more = self.other(tmp_path / "more", "/elsewhere/deep", ["x", "e", "y", "z", "a"], "9.jpg")
        merged = merge(labels, more)
        assert merged.vocabulary.names == ("a", "b", "c", "d", "e", "x", "y", "z")
        assert merged.vocabulary.prompts[0] == ("a", "alpha")
        assert merged.root == Path("/")
        assert len(merged) == 4
        paths = [Path(str(merged.image_path(image))).as_posix() for image in merged]
        assert paths == [f"/photographs/{n}.jpg" for n in range(3)] + ["/elsewhere/deep/9.jpg"]
        last = list(merged)[-1]
        assert [merged.vocabulary.names[index] for index in last.class_ids] == ["a", "e", "a"]
        assert last.detected == (0, 4)
        saved = save(merged, tmp_path / "saved")
        for found, wanted in zip(saved, merged, strict=True):
            assert_equal(found, wanted)
        assert verify(saved.folder) == []

    def test_models_are_those_that_agree(self, labels: LabelSet, tmp_path: Path) -> None:
        with LabelWriter(
            tmp_path / "more", manifest(1, models={"image_text": "conse", "mask_generator": "mobilesam"})
        ) as writer:
            writer.append(record("9.jpg"))
        merged = merge(labels, LabelSet(tmp_path / "more"))
        assert merged.origin["models"] == {"image_text": "conse"}
        assert len(merged.origin["merged"]) == 2

    def test_no_teacher_and_no_licence_is_lost(self, labels: LabelSet, tmp_path: Path) -> None:
        parts = []
        for number, (teacher, licence) in enumerate([("sam3", "SAM License"), ("other", "SAM License")]):
            models = {"teacher": teacher, "license": licence}
            with LabelWriter(tmp_path / teacher, manifest(1, models=models)) as writer:
                writer.append(record(f"{7 + number}.jpg"))
            parts.append(LabelSet(tmp_path / teacher))
        merged = merge(labels, *parts)
        assert merged.origin["models"] == {"teacher": "sam3, other", "license": "SAM License"}

    def test_a_photograph_of_two_sets(self, labels: LabelSet, tmp_path: Path) -> None:
        more = self.other(tmp_path / "more", "/photographs", list("abcde"), "2.jpg", "3.jpg")
        with pytest.raises(ValueError, match=r"/photographs/2\.jpg is in two of the label sets"):
            list(merge(labels, more))
        first = merge(labels.stage(EVERYTHING_STAGE), more, repeated="first")
        assert [(image.path, len(image.masks)) for image in first] == [
            ("0.jpg", 1),
            ("1.jpg", 0),
            ("2.jpg", 1),
            ("3.jpg", 3),
        ]
        assert len(first) == 4
        with pytest.raises(ValueError, match="repeated is 'last': it must be one of refuse, first"):
            merge(labels, more, repeated="last")
        with pytest.raises(ValueError, match="no labels to merge"):
            merge()

    def test_templates_that_differ_are_refused(self, labels: LabelSet, tmp_path: Path) -> None:
        words = {**manifest(1)["vocabulary"], "templates": ["{}"]}
        with LabelWriter(tmp_path / "more", manifest(1, vocabulary=words)) as writer:
            writer.append(record("9.jpg"))
        with pytest.raises(ValueError, match="different templates"):
            merge(labels, LabelSet(tmp_path / "more"))


class TestCertainty:
    """Masks of classes 4, 1, 4 with certainties 0.75, unknown, 0.25; presence of class 4 is 0.75."""

    @pytest.fixture
    def shown(self, tmp_path: Path) -> LabelSet:
        given = manifest(2, settings={"certainty": 0.5})
        with LabelWriter(tmp_path / "shown", given) as writer:
            for one in (record("0.jpg"), record("2.jpg")):
                writer.append(one)
        return LabelSet(tmp_path / "shown")

    @staticmethod
    def classes(labels: LabelCollection) -> list[int]:
        (found,) = {tuple(image.class_ids.tolist()) for image in labels}
        return list(found)

    def test_what_is_certain_is_shown_and_everything_is_kept(self, shown: LabelSet, tmp_path: Path) -> None:
        assert self.classes(shown) == [4, 1]
        assert self.classes(shown.certain(0)) == self.classes(shown.whole) == [4, 1, 4]
        assert self.classes(LabelSet(shown.folder, certainty=0.8)) == [1]
        assert shown.statistics().detected == {"b": 2, "e": 2}
        assert shown.certain(0.8).statistics().detected == {"b": 2}
        saved = save(shown, tmp_path / "saved")
        assert (self.classes(saved), self.classes(saved.whole)) == ([4, 1], [4, 1, 4])

    def test_what_was_chosen_is_trained_on_and_saved(self, shown: LabelSet, tmp_path: Path) -> None:
        sure = shown.certain(0.8)
        assert self.classes(sure.whole) == [1]
        assert self.classes(save(sure, tmp_path / "saved").whole) == [1]
        assert shown.whole.fingerprint == shown.fingerprint != sure.fingerprint
        assert sure.origin["steps"] == [{"certainty": 0.8}]

    def test_derived_labels_do_the_same(self, shown: LabelSet, labels: LabelSet, tmp_path: Path) -> None:
        large = shown.filter(min_area=0.2)
        assert self.classes(large) == [4]
        assert self.classes(large.whole) == [4, 4]
        assert self.classes(large.certain(0.1)) == [4, 4]
        assert self.classes(large.certain(0.8).whole) == []
        both = merge(shown, labels.filter(classes=["b"]), repeated="first")
        assert [image.class_ids.tolist() for image in both] == [[4, 1], [4, 1], []]
        saved = save(both, tmp_path / "both")
        assert [image.class_ids.tolist() for image in saved] == [[4, 1], [4, 1], []]
        assert [image.class_ids.tolist() for image in saved.whole] == [[4, 1, 4], [4, 1, 4], []]

    def test_a_certainty_is_a_share(self, shown: LabelSet) -> None:
        for wrong in (1.5, -0.1, True):
            with pytest.raises(ValueError, match=r"certainty is .*: it must be a number from 0 to 1"):
                shown.certain(wrong)
