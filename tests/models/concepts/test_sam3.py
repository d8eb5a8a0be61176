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
from tests.models.concepts.contract import WORDS, ConceptModelContract, counted
from tests.models.concepts.tiny import SIDE, sam3_folder, sam3_lite_text_folder
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fmbseg.models.concepts.sam3 import Sam3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sam3_folder(tmp_path_factory.mktemp("sam3"))


@pytest.fixture(scope="module")
def lite_text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sam3_lite_text_folder(tmp_path_factory.mktemp("sam3_lite_text"))


def load(folder: Path, **options: Any) -> Sam3:
    return hf_sam3(f"local-dir:{folder}", device="cpu", **options)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Sam3:
    return load(folder)


@pytest.fixture(scope="module")
def loaded_lite_text(lite_text_folder: Path) -> Sam3:
    return load(lite_text_folder)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return photograph("chelsea.png")[:150, :201]


@pytest.mark.parametrize(
    ("which", "library_class", "length", "threshold"),
    [
        ("folder", transformers.Sam3Model, 12, 0.2),
        ("lite_text_folder", transformers.Sam3LiteTextModel, 32, 0.226),
    ],
)
def test_it_gives_what_transformers_post_processing_gives(
    which: str,
    library_class: Any,
    length: int,
    threshold: float,
    image: NDArray[np.uint8],
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue(which)
    model = load(folder, min_score=threshold)
    library = library_class.from_pretrained(folder)
    library.eval()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    processor: Any = transformers.Sam3ImageProcessor(size={"height": SIDE, "width": SIDE})
    pixels = model._transform(image, (SIDE, SIDE))[None]
    tokens = tokenizer(WORDS, padding="max_length", max_length=length, return_tensors="pt")
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


def test_the_detector_is_asked_for_a_few_words_at_once(
    folder: Path, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder, words_at_once=3)
    passes = counted(monkeypatch, model, "_module.forward")
    assert len(list(model.begin(image[:40, :40]).find(WORDS))) == 5
    assert len(passes) == 2


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
    encodes, reads = "_module.get_vision_features", "_module.get_text_features"

    @pytest.fixture
    def model(self, loaded: Sam3) -> Sam3:
        return loaded


class TestSam3LiteTextContract(TestSam3Contract):
    @pytest.fixture
    def model(self, loaded_lite_text: Sam3) -> Sam3:
        return loaded_lite_text
