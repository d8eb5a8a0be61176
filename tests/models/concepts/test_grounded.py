"""Detectors with mask generators against transformers: random weights, one encode, words in batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from fmbseg import PseudoLabeler
from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.masks import MaskSet
from fmbseg.models.concepts.detectors.detector import Detections, Thresholds
from fmbseg.models.concepts.grounded import Grounded, grounded
from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.errors import AssetUnavailableError, SpecError, WeightsError
from fmbseg.models.mask_generators.superpixels import Superpixels
from fmbseg.models.mask_generators.torch_sam import TorchSam
from fmbseg.models.registries import CONCEPTS
from fmbseg.unknown_name import UnknownNameError
from tests.models.concepts.contract import WORDS, ConceptModelContract, assert_same, counted
from tests.models.concepts.tiny_detectors import FAMILIES, PROCESSORS, detector_folder
from tests.models.image_text.tiny import WORDS as KNOWN
from tests.models.mask_generators.by_transformers import by_transformers
from tests.models.mask_generators.tiny import sam_folder
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.models.contracts import MaskGenerator


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("grounded")
    sam_folder(home / "sam")
    (home / "sam" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    for family in FAMILIES:
        detector_folder(home / family, family)
    return home


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    """A cat, 150 x 225 px."""
    return np.ascontiguousarray(photograph("chelsea.png")[::2, ::2][:150, :225])


def spec_of(home: Path, family: str) -> str:
    return f"local-dir:{home / family}+hf-sam:local-dir:{home / 'sam'}"


def load(home: Path, family: str, **options: Any) -> Grounded:
    return grounded(spec_of(home, family), device="cpu", **options)


class ByProcessor:
    """A detector asked for one word by transformers' own processor, model and post-processing."""

    def __init__(self, folder: Path, family: str) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        whole, pixels = (getattr(transformers, name) for name in PROCESSORS[family])
        self.processor: Any = whole(pixels.from_pretrained(folder), tokenizer)
        self.model: Any = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
        self.family = family

    def find(
        self, image: NDArray[np.uint8], word: str, threshold: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores and boxes, best first; boxes are clipped to the image, those beside it left out."""
        texts = [f"a photo of a {word}"] if self.family.startswith("owl") else [word]
        given = self.processor(images=Image.fromarray(image), text=[texts], return_tensors="pt")
        with torch.no_grad():
            output = self.model(**given)
        height, width = image.shape[:2]
        more = {"text_threshold": threshold} if "grounding" in self.family else {}
        (found,) = self.processor.post_process_grounded_object_detection(
            output, threshold=threshold, target_sizes=[(height, width)], **more
        )
        scores = found["scores"].numpy()
        boxes = found["boxes"].numpy().clip(0, [width, height, width, height])
        kept = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        if more:  # what each box is said to show: the word or a part of it, if not its full stop alone
            said = found["text_labels"]
            kept &= np.array([any(part in one for part in word.split()) for one in said], np.bool_)
        order = np.argsort(-scores[kept], kind="stable")
        return scores[kept][order], boxes[kept][order]


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_are_those_of_transformers_post_processing_and_masks_those_of_its_sam(
    home: Path, image: NDArray[np.uint8], family: str
) -> None:
    threshold = {"omdet-turbo": 0.8}.get(family, 0.35)
    nms = {"box_nms_threshold": 0.5 if family == "omdet-turbo" else 1.0}  # only its post-processing has it
    model = load(home, family, min_score=threshold, min_text_score=threshold, **nms)
    prompter, theirs = model.begin(image), ByProcessor(home / family, family)
    counts = []
    for word, concept in zip(WORDS, prompter.find(WORDS), strict=True):
        scores, corners = theirs.find(image, word, threshold)
        (boxes,) = model.boxes(prompter._encoded, [word], (150, 225))
        np.testing.assert_allclose(boxes.scores, scores, atol=1e-5)
        np.testing.assert_allclose(boxes.corners, corners, atol=225 * 1e-5)
        counts.append(len(boxes.scores))
        assert concept.semantic is None
        if len(scores):
            assert concept.presence == pytest.approx(scores[0], abs=1e-5)
            masks, ious = by_transformers("hf-sam", home / "sam", image, boxes.corners)
            chosen = masks[np.arange(len(masks)), ious.argmax(axis=1)]
            filled = chosen.any(axis=(1, 2))
            np.testing.assert_allclose(concept.masks.predicted_iou, scores[filled], atol=1e-5)
            assert (concept.masks.decode() != chosen[filled]).mean() < 1e-3
    assert 0 < sum(counts) < 5 * 16  # the thresholds tell boxes apart


@pytest.mark.parametrize("family", ["mm-grounding-dino", "owlvit"])
def test_a_batch_of_words_is_one_word_at_a_time(home: Path, image: NDArray[np.uint8], family: str) -> None:
    """Of the families that the battery below leaves out, as they are made of the same classes as others."""
    many, one = load(home, family, words_at_once=3), load(home, family, words_at_once=1)
    prompter, single = many.begin(image), one.begin(image)
    for found, expected in zip(prompter.find(WORDS), single.find(WORDS), strict=True):
        assert_same(found, expected)


def test_what_is_read_and_encoded_by_omdet_turbo_and_for_masks(
    home: Path, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(home, "omdet-turbo")
    masks = counted(monkeypatch, model, "masks.model.encode")
    reads = counted(monkeypatch, model, "_detector.module.language_backbone.forward")
    prompter = model.begin(image)
    assert not masks
    assert sum(len(concept.masks) for concept in prompter.find(WORDS * 2))
    assert len(masks) == 1
    assert len(reads) == 2 * len(WORDS)  # a word, and the task that it makes
    model.to("cpu")
    next(iter(prompter.find(["cat"])))
    assert len(reads) == 2 * len(WORDS) + 2  # features do not stay behind on another device


def test_a_prompt_of_grounding_dino_is_one_phrase_in_small_letters(
    home: Path, image: NDArray[np.uint8]
) -> None:
    prompter = load(home, "grounding-dino").begin(image)
    one, two = prompter.find(["red bus", " Red. BUS? "])
    assert one.presence == two.presence
    with pytest.raises(ValueError, match=r"'\?\.' is no text"):
        list(prompter.find(["?."]))


class FixedBoxes:
    """A detector that always finds these, whatever the word."""

    thresholds = Thresholds(0.3, 0.2, 0.5)

    def __init__(
        self, boxes: Sequence[Sequence[float]], scores: list[float], own: list[float], *, square: bool
    ) -> None:
        self.module, self.square = torch.nn.Identity(), square
        self.found = Detections(torch.tensor([boxes]), torch.tensor([scores]), torch.tensor([own]))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def detect(self, encoded: torch.Tensor, words: Sequence[str]) -> Detections:
        return Detections(*(one.expand(len(words), *one.shape[1:]) for one in self.found))

    def forget(self) -> None:
        pass


class Fill:
    """A mask generator that fills boxes, but none to the right of x = 60."""

    spec, promptable, license = "fill", True, "MIT"

    def __init__(self) -> None:
        self.begun = 0

    def begin(self, image: NDArray[np.uint8]) -> Fill:
        self.begun += 1
        self.size = image.shape[:2]
        return self

    def prompt(self, points: Any = (), *, boxes: NDArray[np.float32] | None = None) -> MaskSet:
        assert boxes is not None
        masks = np.zeros((len(boxes), *self.size), np.bool_)
        for mask, (left, top, right, bottom) in zip(masks, boxes.round().astype(int), strict=True):
            mask[top:bottom, left : min(right, 60)] = True
        return MaskSet.from_masks(masks, np.full(len(boxes), 0.5), np.full(len(boxes), 0.75))

    def everything(self) -> MaskSet:
        raise NotImplementedError


def filled(detector: FixedBoxes, **options: Any) -> Grounded:
    def processed(images: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        return {"pixel_values": images[None].float()}

    return Grounded("grounded:fixed", "MIT", detector, processed, Fill(), device="cpu", **options)


IMAGE = np.zeros((40, 80, 3), np.uint8)


def test_thresholds_nms_and_clipping_by_hand() -> None:
    boxes = [
        [0.25, 0.5, 0.25, 0.5],  # 10, 10, 30, 30
        [0.25, 0.5, 0.25, 0.48],  # the same but for a pixel: IoU 0.96, and a lower score
        [0.0, 0.0, 0.5, 0.5],  # -20, -10, 20, 10: clipped
        [0.9, 0.5, 0.1, 0.5],  # to the right of 60: its mask is empty
        [0.5, 0.5, 0.5, 0.5],  # not of the word itself
        [0.6, 0.5, 0.1, 0.5],  # a score that is not enough
    ]
    detector = FixedBoxes(
        boxes, [0.6, 0.5, 0.8, 0.4, 0.95, 0.3], [0.6, 0.5, 0.8, 0.4, 0.2, 0.3], square=False
    )
    (found,) = filled(detector).begin(IMAGE).find(["cat"])
    assert found.presence == pytest.approx(0.8)
    assert found.masks.boxes.tolist() == [[0, 0, 20, 10], [10, 10, 30, 30]]
    assert found.masks.predicted_iou.tolist() == pytest.approx([0.8, 0.6])
    assert found.masks.stability.tolist() == [0.75, 0.75]
    (all_boxes,) = (
        filled(detector, min_score=0.0, min_text_score=0.0, box_nms_threshold=1.0).begin(IMAGE).find(["cat"])
    )
    assert all_boxes.presence == pytest.approx(0.95)
    assert len(all_boxes.masks) == 5  # the empty one is no instance


def test_boxes_of_a_square_frame_are_fractions_of_the_longer_side_and_none_lies_in_the_padding() -> None:
    detector = FixedBoxes(
        [[0.25, 0.25, 0.25, 0.25], [0.5, 0.8, 0.2, 0.2]], [0.6, 0.9], [0.6, 0.9], square=True
    )
    (found,) = filled(detector).begin(IMAGE).find(["cat"])
    assert found.presence == pytest.approx(0.6)
    assert found.masks.boxes.tolist() == [[10, 10, 30, 30]]


def test_a_word_without_boxes_is_absent_and_costs_no_masks() -> None:
    for scores in ([0.1], []):
        detector = FixedBoxes([[0.5, 0.5, 0.5, 0.5]][: len(scores)], scores, scores, square=False)
        if not scores:
            detector.found = Detections(torch.zeros(1, 0, 4), torch.zeros(1, 0), torch.zeros(1, 0))
        model = filled(detector, min_text_score=0.0)
        found = list(model.begin(IMAGE).find(["cat", "sofa"]))
        assert [concept.presence for concept in found] == pytest.approx([scores[0] if scores else 0.0] * 2)
        assert [len(concept.masks) for concept in found] == [0, 0]
        assert isinstance(model.masks, Fill)
        assert model.masks.begun == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("words_at_once", 0), ("min_score", 1.5), ("min_text_score", -0.1), ("box_nms_threshold", 2)],
)
def test_options_outside_their_range(name: str, value: float) -> None:
    detector = FixedBoxes([[0.5] * 4], [0.5], [0.5], square=False)
    with pytest.raises(ValueError, match=f"{name} is {value}: it must"):
        filled(detector, **{name: value})


def test_a_mask_generator_that_takes_no_boxes_is_refused(home: Path) -> None:
    masks: MaskGenerator = Superpixels()
    detector = FixedBoxes([[0.5] * 4], [0.5], [0.5], square=False)
    with pytest.raises(ValueError, match="superpixels takes no boxes: name a promptable mask generator"):
        Grounded("grounded:fixed", "MIT", detector, None, masks, device="cpu")


def test_a_photograph_that_is_a_line_is_refused_by_its_size(home: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot take a photograph of 3000 x 1 px \(width x height\)"):
        load(home, "grounding-dino").begin(np.zeros((1, 3000, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "error", "what"),
    [
        ("a/b", SpecError, "names no mask generator: write grounded:DETECTOR[+]MASKS, for example"),
        ("a/b+hf-sum:c/d", UnknownNameError, "there is no mask generator 'hf-sum'"),
        ("+mobilesam", SpecError, "names no model"),
        ("local-dir:/no/such+hf-sam:local-dir:{sam}", AssetUnavailableError, "there is no folder /no/such"),
        ("local-dir:{sam}+hf-sam:local-dir:{sam}", WeightsError, "of model_type 'sam': 'grounded:' is for"),
    ],
)
def test_names_that_lead_nowhere_are_refused(
    home: Path, name: str, error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        grounded(name.format(sam=home / "sam"))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ({"image_mean": None}, "nothing says which preprocessing"),
        ({"size": None}, "states no size of the pixels"),
    ],
)
def test_preprocessing_that_is_not_stated_is_refused(
    home: Path, tmp_path: Path, damage: dict[str, Any], what: str
) -> None:
    copied(home / "owlvit", tmp_path)
    stated = json.loads((tmp_path / "preprocessor_config.json").read_text()) | damage
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    with pytest.raises(WeightsError, match=what):
        grounded(f"local-dir:{tmp_path}+hf-sam:local-dir:{home / 'sam'}")


def test_a_tokenizer_that_is_damaged_and_weights_that_do_not_fit_are_refused(
    home: Path, tmp_path: Path
) -> None:
    copied(home / "owlvit", tmp_path)
    name = f"local-dir:{tmp_path}+hf-sam:local-dir:{home / 'sam'}"
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match=r"tokenizer\.json cannot be read") as caught:
        grounded(name)
    assert "\n" not in str(caught.value)
    copied(home / "owlvit", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"not a checkpoint of OwlViTForObjectDetection .* \d+ missing"):
        grounded(name)


def copied(source: Path, target: Path) -> None:
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


def test_it_is_in_the_registry_with_the_licences_of_both(home: Path, tmp_path: Path) -> None:
    model = create_model(CONCEPTS, f"grounded:{spec_of(home, 'owlv2')}", None, device="cpu")
    assert isinstance(model, Grounded)
    assert model.spec == f"grounded:{spec_of(home, 'owlv2')}"
    assert model.license == "apache-2.0"
    assert isinstance(model.masks, TorchSam)
    assert model.options == {"min_score": 0.1, "min_text_score": 0.0, "box_nms_threshold": 0.8}
    plus = tmp_path / "a+b"
    plus.mkdir()
    copied(home / "owlv2", plus)
    (plus / "README.md").write_text("---\nlicense: mit\n---\n")
    options: dict[str, Any] = {"device": "cpu", "mask_options": {"points_per_batch": 2}}
    other = grounded(f"local-dir:{plus}+hf-sam:local-dir:{home / 'sam'}", **options)
    assert other.license == "mit AND apache-2.0"
    assert other.options["mask_options"] == {"points_per_batch": 2}


def test_as_a_teacher_by_its_spec(home: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(photograph("chelsea.png")[:60, :80]).save(tmp_path / "photos" / "a.png")
    settings = CompetitionSettings(min_presence=0.1, min_score=0.1, min_pixel_score=0.1)
    labeler = PseudoLabeler(teacher=f"grounded:{spec_of(home, 'owlvit')}", settings=settings, device="cpu")
    labels = labeler.label(tmp_path / "photos", ["cat", "sofa"], tmp_path / "labels", progress=False)
    (record,) = labels
    assert record.detected == (0, 1)
    assert len(record.masks)
    assert labels.manifest["models"]["teacher"] == f"grounded:{spec_of(home, 'owlvit')}"
    assert labels.manifest["models"]["license"] == "apache-2.0"


def test_every_word_of_the_tests_is_known_to_the_tokenizers() -> None:
    assert {part for word in WORDS for part in word.split()} <= set(KNOWN)


@pytest.fixture(scope="module")
def models(home: Path) -> dict[str, Grounded]:
    thresholds = {"grounding-dino": 0.5, "owlv2": 0.5, "omdet-turbo": 0.9}
    return {family: load(home, family, min_score=score) for family, score in thresholds.items()}


class TestGroundingDinoContract(ConceptModelContract):
    encodes = "_detector.module.model.backbone.forward"  # texts are fused with each photograph

    @pytest.fixture
    def model(self, models: dict[str, Grounded]) -> Grounded:
        return models["grounding-dino"]


class TestOwlv2Contract(ConceptModelContract):
    encodes = "_detector.module.image_embedder"
    reads = "_detector.module.base_model.get_text_features"

    @pytest.fixture
    def model(self, models: dict[str, Grounded]) -> Grounded:
        return models["owlv2"]


class TestOmDetTurboContract(ConceptModelContract):
    encodes = "_detector.module.encoder.forward"

    @pytest.fixture
    def model(self, models: dict[str, Grounded]) -> Grounded:
        return models["omdet-turbo"]
