"""SAM 3 against transformers' own post-processing: random weights, one encode, words in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from fmbseg import PseudoLabeler
from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.models.concepts.sam3 import hf_sam3
from fmbseg.models.contracts import ConceptModel
from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.registries import CONCEPTS
from tests.models.concepts.contract import ConceptModelContract
from tests.models.concepts.tiny import SIDE, sam3_folder
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.models.concepts.sam3 import Sam3
    from fmbseg.models.contracts import Concept

METHODS = {"vision": "get_vision_features", "text": "get_text_features", "detector": "forward"}
WORDS = ["cat", "red bus", "coffee cup", "rocket", "a very long sofa"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sam3_folder(tmp_path_factory.mktemp("sam3"))


def load(folder: Path, **options: Any) -> Sam3:
    return hf_sam3(f"local-dir:{folder}", device="cpu", **options)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return photograph("chelsea.png")[:150, :201]


def assert_same(one: Concept, other: Concept, tolerance: float = 1e-5) -> None:
    assert one.presence == pytest.approx(other.presence, abs=tolerance)
    np.testing.assert_allclose(one.masks.predicted_iou, other.masks.predicted_iou, atol=tolerance)
    assert one.semantic is not None
    assert other.semantic is not None
    np.testing.assert_allclose(one.semantic, other.semantic, atol=tolerance)
    differing = (one.masks.decode() != other.masks.decode()).mean() if len(one.masks) else 0
    assert differing < 1e-3  # ties at the threshold


def test_it_gives_what_transformers_post_processing_gives(folder: Path, image: NDArray[np.uint8]) -> None:
    threshold = 0.2
    model = load(folder, min_score=threshold)
    library: Any = transformers.Sam3Model.from_pretrained(folder)
    library.eval()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    processor: Any = transformers.Sam3ImageProcessor(size={"height": SIDE, "width": SIDE})
    pixels = model._transform(image, (SIDE, SIDE))[None]
    tokens = tokenizer(WORDS, padding="max_length", max_length=12, return_tensors="pt")
    found = list(model.begin(image).find(WORDS))
    assert len(found) == len(WORDS)
    counts = []
    for index, concept in enumerate(found):
        with torch.no_grad():
            output = library(
                pixel_values=pixels,
                input_ids=tokens["input_ids"][index : index + 1],
                attention_mask=tokens["attention_mask"][index : index + 1],
            )
        (instances,) = processor.post_process_instance_segmentation(
            output, threshold=threshold, target_sizes=[image.shape[:2]]
        )
        (semantic,) = processor.post_process_semantic_segmentation(
            output, target_sizes=[image.shape[:2]], return_segmentation_scores=True
        )
        assert concept.presence == pytest.approx(output.presence_logits.sigmoid().item(), abs=1e-5)
        order = instances["scores"].argsort(descending=True, stable=True)
        np.testing.assert_allclose(concept.masks.predicted_iou, instances["scores"][order], atol=1e-5)
        expected = instances["masks"][order].numpy().astype(bool)
        assert (concept.masks.decode() != expected).mean() < 1e-3 if len(expected) else not len(concept.masks)
        assert concept.semantic is not None
        np.testing.assert_allclose(concept.semantic, semantic["segmentation_scores"][0], atol=1e-5)
        counts.append(len(expected))
    assert len(set(counts)) > 1  # the threshold tells instances apart
    assert len({round(concept.presence, 4) for concept in found}) > 1  # and the model words


def test_a_batch_of_words_is_one_word_at_a_time_and_the_photograph_is_encoded_once(
    folder: Path, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = load(folder, words_at_once=1), load(folder, words_at_once=3)
    calls = {"vision": 0, "text": 0, "detector": 0}
    for name, method in METHODS.items():
        original = getattr(many._module, method)

        def counted(*args: Any, _name: str = name, _original: Any = original, **given: Any) -> Any:
            calls[_name] += 1
            return _original(*args, **given)

        monkeypatch.setattr(many._module, method, counted)
    expected = list(one.begin(image).find(WORDS))
    prompter = many.begin(image)
    for found, wanted in zip(prompter.find(WORDS), expected, strict=True):
        assert_same(found, wanted)
    assert calls == {"vision": 1, "text": 5, "detector": 2}
    list(many.begin(image).find(WORDS))
    assert calls == {"vision": 2, "text": 5, "detector": 4}  # words are read once


def test_words_are_asked_a_few_at_a_time(folder: Path, image: NDArray[np.uint8]) -> None:
    taken = []

    class Words(list[str]):
        def __iter__(self) -> Any:
            for word in super().__iter__():
                taken.append(word)
                yield word

    found = load(folder, words_at_once=2).begin(image).find(Words(["cat"] * 1000))
    next(found)
    assert len(taken) == 2


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (150, 201)])
def test_any_size(folder: Path, image: NDArray[np.uint8], size: tuple[int, int]) -> None:
    (found,) = (
        load(folder, min_score=0.0).begin(np.ascontiguousarray(image[: size[0], : size[1]])).find(["cat"])
    )
    assert found.masks.size == (min(size[0], 150), min(size[1], 201))
    assert found.semantic is not None
    assert found.semantic.shape == found.masks.size
    assert found.semantic.dtype == np.float32
    assert 0 <= found.semantic.min() <= found.semantic.max() <= 1
    assert len(found.masks) == 10
    assert (np.diff(found.masks.predicted_iou) <= 0).all()


@pytest.mark.parametrize(
    ("word", "what"), [("cat " * 40, "tokens, and .* reads 12"), ("  ", "it has no token")]
)
def test_words_that_cannot_be_read_are_named(
    folder: Path, image: NDArray[np.uint8], word: str, what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        list(load(folder).begin(image).find(["cat", word]))


def test_it_is_in_the_registry_and_fulfils_the_contract(folder: Path) -> None:
    model = create_model(CONCEPTS, f"hf-sam3:local-dir:{folder}", None, device="cpu")
    assert isinstance(model, ConceptModel)
    assert model.spec == f"hf-sam3:local-dir:{folder}"
    assert "sam" in model.license.lower()


@pytest.mark.parametrize(("name", "value"), [("words_at_once", 0), ("min_score", 1.5)])
def test_options_outside_their_range(folder: Path, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}: it must"):
        load(folder, **{name: value})


def test_another_kind_of_model_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = (tmp_path / "config.json").read_text().replace('"model_type": "sam3"', '"model_type": "sam2"')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(WeightsError, match="is of model_type 'sam2'"):
        load(tmp_path)


def test_as_a_teacher_by_its_spec(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(photograph("chelsea.png")[:60, :80]).save(tmp_path / "photos" / "a.png")
    settings = CompetitionSettings(min_presence=0.0, min_score=0.2, min_pixel_score=0.2)
    labeler = PseudoLabeler(teacher=f"hf-sam3:local-dir:{folder}", settings=settings, device="cpu")
    labels = labeler.label(tmp_path / "photos", ["cat", "sofa"], tmp_path / "labels", progress=False)
    (record,) = labels
    assert record.detected == (0, 1)
    assert len(record.masks)
    assert labels.manifest["models"]["teacher"] == f"hf-sam3:local-dir:{folder}"
    assert labels.manifest["models"]["license"] == "sam-license"


class TestSam3Contract(ConceptModelContract):
    @pytest.fixture
    def model(self, folder: Path) -> Sam3:
        return load(folder)
