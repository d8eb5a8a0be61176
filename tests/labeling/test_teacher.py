"""Stage 1 by a concept model: hand-worked labels, what is asked, what is written and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fmbseg import AlignedEncoder, LabelSet, PseudoLabeler
from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.contract_check import ContractError
from fmbseg.labeling import forecast
from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.formats.indexed_png import export_png
from fmbseg.labels.formats.yolo import export_yolo
from fmbseg.labels.record import CONCEPT_STAGE
from fmbseg.labels.sheets import contact_sheet
from fmbseg.labels.verification import verify
from fmbseg.masks import MaskSet
from fmbseg.models.contracts import Concept
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone
from tests.labeling.colours import ColourEncoder, painted
from tests.labeling.concepts import ColourConcepts, ColourPrompter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WORDS = ["red", "blue", "thing", "unicorn"]
RED, BLUE, THING, UNICORN, NONE = 0, 1, 2, 3, -1


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """One of red and green, one of blue, one of white alone."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    left, right = (slice(0, 4), slice(0, 3)), (slice(1, 3), slice(3, 5))
    Image.fromarray(painted((4, 6), red=left, green=right)).save(folder / "a.png")
    Image.fromarray(painted((4, 6), blue=right)).save(folder / "b.png")
    Image.fromarray(painted((4, 6))).save(folder / "c.png")
    return folder


def label(photographs: Path, out: Path, model: ColourConcepts | None = None) -> LabelSet:
    labeler = PseudoLabeler(teacher=model or ColourConcepts())
    return labeler.label(photographs, WORDS, out, progress=False)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


class TestLabels:
    def test_by_hand(self, photographs: Path, tmp_path: Path) -> None:
        both, blue, nothing = label(photographs, tmp_path / "out")
        # "thing" covers red and green: the smaller mask, red, lies on it, so that it keeps the green alone.
        R, T, N = RED, THING, NONE
        assert both.label_map().tolist() == [
            [R, R, R, N, N, N],
            [R, R, R, T, T, N],
            [R, R, R, T, T, N],
            [R, R, R, N, N, N],
        ]
        assert both.detected == (RED, THING)
        assert both.class_ids.tolist() == [RED, THING]
        # "blue" and "thing" claim the same mask: the better score keeps it; both are there.
        assert blue.class_ids.tolist() == [BLUE]
        assert blue.detected == (BLUE, THING)
        assert (blue.label_map() == BLUE).sum() == 4
        assert nothing.detected == ()
        assert len(nothing.masks) == 0

    def test_scores_stage_and_draw(self, photographs: Path, tmp_path: Path) -> None:
        (both, _, _) = label(photographs, tmp_path / "out")
        scores = np.array([0.9, 0.6], np.float32)
        np.testing.assert_array_equal(both.masks.predicted_iou, scores)
        np.testing.assert_array_equal(both.similarities, scores)
        assert both.masks.stability.tolist() == [1, 1]
        assert both.stages.tolist() == [CONCEPT_STAGE, CONCEPT_STAGE]
        assert both.kept.all()
        assert [points.shape for points in both.points] == [(0, 2), (0, 2)]
        assert both.features is None

    def test_the_settings_decide_who_takes_part(self, photographs: Path) -> None:
        def found(**changes: float) -> tuple[int, ...]:
            labeler = PseudoLabeler(teacher=ColourConcepts(), settings=CompetitionSettings(**changes))
            return labeler.label_image(photographs / "a.png", WORDS).detected

        assert found(min_presence=0.7) == (RED,)
        assert found(min_presence=0.95) == ()

    def test_a_semantic_map_takes_part(self, photographs: Path) -> None:
        only_maps = CompetitionSettings(min_score=0.95)
        labeler = PseudoLabeler(teacher=ColourConcepts(semantic=True), settings=only_maps)
        image = labeler.label_image(photographs / "b.png", WORDS)
        assert (image.class_ids.tolist(), image.masks.predicted_iou.tolist()) == ([BLUE], [0.5])
        without = PseudoLabeler(teacher=ColourConcepts(), settings=only_maps)
        assert len(without.label_image(photographs / "b.png", WORDS).masks) == 0


class TestWords:
    def test_each_is_asked_once_without_a_template(self, photographs: Path) -> None:
        model = ColourConcepts()
        words = Vocabulary.of({"red": "red", "crimson": "red", "blue": "blue"}, templates="simple")
        image = PseudoLabeler(teacher=model).label_image(photographs / "a.png", words)
        assert model.asked == [("red", "crimson", "blue")]
        assert model.begun == 1
        assert image.class_ids.tolist() == [0]  # two words of one class claim one mask

    def test_background_is_nothing_to_be_found(self, photographs: Path) -> None:
        model = ColourConcepts()
        words = Vocabulary(names=("background", "red"), background=frozenset({0}))
        PseudoLabeler(teacher=model).label_image(photographs / "a.png", words)
        assert model.asked == [("red",)]

    def test_known_classes_restrict_them(self, photographs: Path, tmp_path: Path) -> None:
        model = ColourConcepts()
        known = {"a.png": ["thing", "unicorn"], "b.png": []}
        labeler = PseudoLabeler(teacher=model, settings=CompetitionSettings(min_presence=0.8))
        labels = labeler.label(photographs, WORDS, tmp_path / "out", image_labels=known, progress=False)
        a, b, c = labels
        assert model.asked == [("thing", "unicorn"), ("red", "blue", "thing", "unicorn")]
        assert model.begun == 2  # of a photograph that shows nothing there is nothing to ask
        assert a.detected == (THING, UNICORN)  # that they are there is not the model's to say
        assert a.class_ids.tolist() == [THING]
        assert (a.label_map() == THING).sum() == 16
        assert (b.detected, c.detected) == ((), ())
        assert labels.manifest["image_labels"]["count"] == 2

    def test_many_tell_how_long_they_will_take(
        self, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = iter(np.arange(0, 1e6, 0.5).tolist())  # half a second a word
        monkeypatch.setattr("fmbseg.labeling.teacher.perf_counter", lambda: next(clock))
        words = [*WORDS, *(f"word {index}" for index in range(5000 - len(WORDS)))]
        labeler = PseudoLabeler(teacher=ColourConcepts())
        with pytest.warns(UserWarning, match="5000 words are asked of each of 3 photographs") as told:
            labeler.label(photographs, words, tmp_path / "out", progress=False)
        (message,) = [str(one.message) for one in told if one.category is UserWarning]
        assert "about 42 min each and 2 h in all" in message

    def test_few_tell_nothing(self, recwarn: pytest.WarningsRecorder) -> None:
        forecast.Forecast(forecast.MANY_WORDS - 1, 1000).answered(forecast.SAMPLE, 1e6)
        assert not recwarn.list


class TestPrefilter:
    """Colours are the image-text model, too: on a crop of 32 x 32 pixels it sees the mean colour."""

    WORDS = ("red", "green", "blue")

    @pytest.fixture
    def halves(self, tmp_path: Path) -> Path:
        """Photographs of two colours, each a half; of the three pairs the third colour is absent."""
        folder = tmp_path / "halves"
        folder.mkdir()
        for one, other in (("red", "green"), ("green", "blue"), ("blue", "red")):
            areas = {one: (slice(0, 64), slice(0, 64)), other: (slice(0, 64), slice(64, 128))}
            Image.fromarray(painted((64, 128), **areas)).save(folder / f"{one}-{other}.png")
        return folder

    def recall(self, keep: int, folder: Path, out: Path) -> tuple[float, ColourConcepts]:
        """What part of the classes that the teacher finds alone it still finds behind the prefilter."""
        model = ColourConcepts()
        filtered = PseudoLabeler(teacher=model, prefilter=(ColourEncoder(), keep))
        alone = PseudoLabeler(teacher=ColourConcepts()).label(folder, self.WORDS, out / "all", progress=False)
        found = filtered.label(folder, self.WORDS, out / "some", progress=False)
        pairs = [
            (len(set(a.detected) & set(b.detected)), len(a.detected))
            for a, b in zip(alone, found, strict=True)
        ]
        assert found.manifest["models"]["prefilter"] == {"image_text": "colour-test", "keep": keep}
        return sum(kept for kept, _ in pairs) / sum(there for _, there in pairs), model

    def test_its_recall(self, halves: Path, tmp_path: Path) -> None:
        recall, model = self.recall(2, halves, tmp_path)
        assert recall == 1.0
        assert sorted(model.asked) == [("green", "blue"), ("red", "blue"), ("red", "green")]
        recall, model = self.recall(1, halves, tmp_path / "one")
        assert recall == 0.5  # half of what is there
        assert [len(words) for words in model.asked] == [1, 1, 1]

    def test_known_classes_go_before_it(self, halves: Path, tmp_path: Path) -> None:
        model = ColourConcepts()
        labeler = PseudoLabeler(teacher=model, prefilter=(ColourEncoder(), 1))
        known = {path.name: ["green", "blue"] for path in halves.iterdir()}
        labeler.label(halves, self.WORDS, tmp_path / "out", image_labels=known, progress=False)
        assert model.asked == [("green", "blue")] * 3

    def test_one_image_is_filtered_too(self, halves: Path) -> None:
        model = ColourConcepts()
        labeler = PseudoLabeler(teacher=model, prefilter=(ColourEncoder(), 2))
        assert labeler.label_image(halves / "red-green.png", self.WORDS).detected == (0, 1)
        assert model.asked == [("red", "green")]

    def test_what_cannot_be_is_refused(self) -> None:
        with pytest.raises(ValueError, match="keeps 0 classes: it must be 1 or more"):
            PseudoLabeler(teacher=ColourConcepts(), prefilter=(ColourEncoder(), 0))
        with pytest.raises(ValueError, match="prefilter are for a teacher"):
            PseudoLabeler(image_text=ColourEncoder(), prefilter=(ColourEncoder(), 2))


class TestOnDisk:
    def test_the_manifest_says_who_labelled(self, photographs: Path, tmp_path: Path) -> None:
        manifest = label(photographs, tmp_path / "out").manifest
        assert manifest["models"] == {
            "teacher": "colour-concepts",
            "teacher_options": {},
            "license": "Colour Licence 1.0",
        }
        assert manifest["settings"] == {
            "min_presence": 0.5,
            "min_score": 0.3,
            "min_pixel_score": 0.3,
            "same_mask": 0.8,
        }

    def test_workers_and_shards_change_no_label(self, photographs: Path, tmp_path: Path) -> None:
        for copy in range(9):
            red, green = (slice(0, 4), slice(0, 2)), (slice(0, 2), slice(copy, copy + 1))
            Image.fromarray(painted((4, 12), red=red, green=green)).save(photographs / f"more {copy}.png")
        (photographs / "bad.jpg").write_text("no image")
        written = []
        for workers in (1, 3):
            out, labeler = tmp_path / str(workers), PseudoLabeler(teacher=ColourConcepts())
            with pytest.warns(UserWarning, match="1 of 13 photographs could not be labelled"):
                labeler.label(photographs, WORDS, out, shard_size=5, workers=workers, progress=False)
            written.append(files(out))
        assert written[0] == written[1]
        assert len([name for name in written[0] if name.startswith("shard")]) == 3

    def test_a_run_that_stopped_goes_on(self, photographs: Path, tmp_path: Path) -> None:
        label(photographs, tmp_path / "whole")

        class Stops(ColourConcepts):
            def begin(self, image: NDArray[np.uint8]) -> ColourPrompter:
                if self.begun == 2:
                    raise KeyboardInterrupt
                return super().begin(image)

        with pytest.raises(KeyboardInterrupt):
            label(photographs, tmp_path / "stopped", Stops())
        assert not list((tmp_path / "stopped").glob("shard-*"))
        model = ColourConcepts()
        label(photographs, tmp_path / "stopped", model)
        assert model.begun < 3
        assert files(tmp_path / "stopped") == files(tmp_path / "whole")

    def test_another_teacher_is_refused(self, photographs: Path, tmp_path: Path) -> None:
        label(photographs, tmp_path / "out")
        with pytest.raises(ValueError, match=r"models\.teacher is 'colour-concepts', now 'another'"):
            label(photographs, tmp_path / "out", ColourConcepts(spec="another"))
        with pytest.raises(ValueError, match=r"settings\.min_score is 0\.3, now 0\.5"):
            PseudoLabeler(teacher=ColourConcepts(), settings=CompetitionSettings(min_score=0.5)).label(
                photographs, WORDS, tmp_path / "out", progress=False
            )

    def test_it_is_whole_and_can_be_shown_and_handed_on(self, photographs: Path, tmp_path: Path) -> None:
        labels = label(photographs, tmp_path / "out")
        assert verify(tmp_path / "out", photographs=True) == []
        found = labels.statistics()
        assert found.detected == {"thing": 2, "red": 1, "blue": 1}
        assert found.count(CONCEPT_STAGE) == 3
        assert found.masks["red"]["concept"].similarity == pytest.approx(0.9)
        assert contact_sheet(labels, side=40).size[0] > 40
        export_coco(labels, tmp_path / "coco.json")
        again = import_coco(tmp_path / "coco.json", photographs, tmp_path / "again", vocabulary=WORDS)
        assert again.manifest["models"] == labels.manifest["models"]
        for one, other in zip(labels, again, strict=True):
            assert one.stages.tolist() == other.stages.tolist()
            np.testing.assert_array_equal(one.label_map(), other.label_map())
        export_png(labels, tmp_path / "png")
        assert np.asarray(Image.open(tmp_path / "png/b.png"))[1, 3] == 1 + BLUE
        export_yolo(labels, tmp_path / "yolo", copy=True)
        (of_a,) = (tmp_path / "yolo").rglob("a.txt")
        assert of_a.read_text(encoding="utf-8").count("\n") == 2


def test_a_head_learns_from_it_and_names_teacher_and_licence(photographs: Path, tmp_path: Path) -> None:
    labels = label(photographs, tmp_path / "out")
    settings = TrainingSettings(epochs=2, batch_size=2, image_size=32)
    aligner = Aligner(TinyBackbone(), ColourEncoder(), settings=settings, device="cpu")
    aligner.fit(labels, progress=False)
    aligner.encoder.save_pretrained(tmp_path / "head")
    training = AlignedEncoder.from_pretrained(
        tmp_path / "head", backbone=TinyBackbone(), text_encoder=ColourEncoder()
    ).config.training
    assert training["labels"]["models"] == {"teacher": "colour-concepts", "license": "Colour Licence 1.0"}
    page = (tmp_path / "head/README.md").read_text(encoding="utf-8")
    assert "| pseudo labels: teacher | colour-concepts |" in page
    assert "| pseudo labels: licence of the teacher | Colour Licence 1.0 |" in page


class TestRefused:
    def test_what_only_the_other_way_takes(self) -> None:
        with pytest.raises(ValueError, match="leave out image_text, mask_options, or leave out the teacher"):
            PseudoLabeler(teacher=ColourConcepts(), image_text="conse", mask_options={"threads": 1})
        with pytest.raises(ValueError, match="a teacher takes CompetitionSettings"):
            PseudoLabeler(teacher=ColourConcepts(), settings=LabelingSettings())
        with pytest.raises(ValueError, match="CompetitionSettings are for a teacher"):
            PseudoLabeler(image_text=ColourEncoder(), settings=CompetitionSettings())
        with pytest.raises(ValueError, match="teacher_options and prefilter are for a teacher"):
            PseudoLabeler(image_text=ColourEncoder(), teacher_options={"semantic": True})
        with pytest.raises(ValueError, match="teacher_options are for a spec"):
            PseudoLabeler(teacher=ColourConcepts(), teacher_options={"semantic": True})

    def test_no_concept_model(self) -> None:
        with pytest.raises(ContractError, match="the teacher is a ColourEncoder, which lacks methods: begin"):
            PseudoLabeler(teacher=ColourEncoder())  # type: ignore[arg-type]
        with pytest.raises(UnknownNameError, match="colour-concepts"):
            PseudoLabeler(teacher="colour-concept")

    def test_no_other_model_is_loaded_or_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("another model is loaded")

        monkeypatch.setattr("fmbseg.labeling.ways.make_two_models", refuse)
        labeler = PseudoLabeler(teacher="colour-concepts:x", teacher_options={"semantic": True})
        assert labeler.origin["models"] == {
            "teacher": "colour-concepts:x",
            "teacher_options": {"semantic": True},
            "license": "Colour Licence 1.0",
        }
        with pytest.raises(ValueError, match="the teacher colour-concepts:x labels: there is no other model"):
            assert labeler.encoder

    @pytest.mark.parametrize(("answers", "said"), [(1, "1"), (3, "more than 2")])
    def test_another_number_of_answers_than_words(self, answers: int, said: str, photographs: Path) -> None:
        class Miscounts(ColourConcepts):
            def begin(self, image: NDArray[np.uint8]) -> ColourPrompter:
                return Prompter(self, image, semantic=False)

        class Prompter(ColourPrompter):
            def find(self, words: Sequence[str]) -> Iterator[Concept]:
                return iter([Concept(0.0, MaskSet.empty((4, 6)), None)] * answers)

        with pytest.raises(ValueError, match=f"colour-concepts gave {said} answers to 2 words"):
            PseudoLabeler(teacher=Miscounts()).label_image(photographs / "a.png", ["red", "blue"])
