"""CLIPSeg against transformers' own forward pass of the same pixels, word by word."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody uses
import transformers
from PIL import Image

from fmbseg import PseudoLabeler
from fmbseg.labeling.competition import CompetitionSettings
from fmbseg.models.concepts.clipseg import ClipSeg, clipseg
from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.registries import CONCEPTS
from tests.models.concepts.contract import WORDS, ConceptModelContract, cut
from tests.models.concepts.tiny import clipseg_folder

if TYPE_CHECKING:
    from pathlib import Path


SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clipseg_folder(tmp_path_factory.mktemp("clipseg"))


def load(folder: Path, **options: Any) -> ClipSeg:
    return clipseg(f"local-dir:{folder}", device="cpu", **options)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> ClipSeg:
    model = create_model(CONCEPTS, f"clipseg:local-dir:{folder}", None, device="cpu")
    assert isinstance(model, ClipSeg)
    return model


def test_it_gives_what_transformers_gives(folder: Path) -> None:
    image = cut((90, 131))
    library: Any = transformers.CLIPSegForImageSegmentation.from_pretrained(folder)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    half, resized = np.float32(0.5), Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy((np.asarray(resized, np.float32) / 255 - half) / half).permute(2, 0, 1)[None]
    found = list(load(folder, words_at_once=3).begin(image).find(WORDS))
    for concept, word in zip(found, WORDS, strict=True):
        with torch.no_grad():
            logits = library.eval()(pixel_values=pixels, **tokenizer(word, return_tensors="pt")).logits
        expected = torch.sigmoid(logits)[None]
        assert concept.presence == pytest.approx(expected.max().item(), abs=1e-5)
        enlarged = F.interpolate(expected, (90, 131), mode="bilinear", align_corners=False)[0, 0]
        assert concept.semantic is not None
        np.testing.assert_allclose(concept.semantic, enlarged, atol=1e-5)
        assert len(concept.masks) == 0
    assert len({round(concept.presence, 4) for concept in found}) == len(WORDS)  # the words tell


def test_as_a_teacher_each_pixel_goes_to_the_likeliest_word(
    folder: Path, loaded: ClipSeg, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    image = cut((60, 80))
    Image.fromarray(image).save(tmp_path / "photos" / "a.png")
    settings = CompetitionSettings(min_presence=0.0, min_pixel_score=0.0)
    labeler = PseudoLabeler(teacher=f"clipseg:local-dir:{folder}", settings=settings, device="cpu")
    labels = labeler.label(tmp_path / "photos", WORDS, tmp_path / "labels", progress=False)
    (record,) = labels
    maps = np.stack([concept.semantic for concept in loaded.begin(image).find(WORDS)])  # type: ignore[misc]
    np.testing.assert_array_equal(record.label_map(), maps.argmax(axis=0))
    assert len(np.unique(record.label_map())) > 1
    assert labels.manifest["models"]["license"] == "apache-2.0"


def test_words_at_once_below_one_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="words_at_once is 0: it must be 1 or more"):
        load(folder, words_at_once=0)


@pytest.mark.parametrize(
    ("file", "key", "value", "what"),
    [
        ("config.json", "model_type", "clip", "is of model_type 'clip': 'clipseg:' is for clipseg"),
        ("preprocessor_config.json", "size", {"height": 64, "width": 32}, "states size .*: a square"),
        ("preprocessor_config.json", "size", 36, "states size 36: a square whose side is a multiple of 16"),
        ("preprocessor_config.json", "size", None, "states size None"),
    ],
)
def test_another_model_or_preprocessing_is_refused(
    folder: Path, tmp_path: Path, file: str, key: str, value: object, what: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    content = json.loads((other / file).read_text())
    (other / file).write_text(json.dumps({**content, key: value}))
    with pytest.raises(WeightsError, match=what):
        load(other)


class TestClipSegContract(ConceptModelContract):
    encodes = "_module.clip.get_image_features"
    reads = "_module.clip.get_text_features"

    @pytest.fixture
    def model(self, loaded: ClipSeg) -> ClipSeg:
        return loaded
