"""The battery for every kind of method, and what each does of its own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.torch import load_file

from fmbseg.method import TakesClasses
from fmbseg.methods import ModelPool, load_method
from fmbseg.methods.dense import DenseMethod
from fmbseg.methods.dense_protocols import SCLIP_BACKGROUND, DenseProtocol
from fmbseg.methods.load import check_method
from fmbseg.models.image_text.towers import TowerState, TransformerTower
from fmbseg.models.loading.errors import SpecError
from fmbseg.segment_settings import SegmentSettings
from fmbseg.unknown_name import UnknownNameError
from fmbseg.vocabulary import Vocabulary
from tests.labeling import concepts
from tests.methods.contract import IMAGE, PLAIN, WORDS, MethodContract, asked, loaded, recipe
from tests.methods.tiny import ASKED, save_head
from tests.models.image_text.formulas import ClipTower
from tests.models.image_text.tiny import VIT, open_clip_folder
from tests.models.image_text.tiny import WORDS as WORDS_OF_TINY

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

assert concepts, recipe  # their import registers what the tests name
pytestmark = pytest.mark.usefixtures("recipe")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_head(tmp_path_factory.mktemp("heads") / "head")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_clip_folder(tmp_path_factory.mktemp("clip") / "vit", VIT)


class TestHead(MethodContract):
    @pytest.fixture
    def spec(self, head: Path) -> str:
        return str(head)


class TestHeadWithARecipesSettings(MethodContract):
    @pytest.fixture
    def spec(self, head: Path) -> str:
        return f"{head}@colours"


@pytest.mark.parametrize(
    "spec",
    [
        *("dense:counted-colours", "stage1:colours", "stage1:colours@1.1", "stage1:colours@1.2+labels"),
        *("concept:colour-concepts", "concept:colour-concepts@labels"),
    ],
)
class TestOthers(MethodContract):
    pass


def test_methods_that_share_models_share_what_these_compute(head: Path) -> None:
    pool = ModelPool(device="cpu")
    specs = ["dense:counted-colours", "stage1:colours", "stage1:colours@1.1", f"{head}@colours", str(head)]
    alone: list[dict[str, int]] = []
    for spec in specs:
        ASKED.clear()
        asked(loaded(spec))
        alone.append(dict(ASKED))
    image = IMAGE.copy()
    ASKED.clear()
    for spec in specs:
        loaded(spec, pool).segment(image, WORDS, settings=PLAIN)
    assert ASKED["images"] == ASKED["everything"] == 1
    assert ASKED["crops"] < sum(one.get("crops", 0) for one in alone[:3])
    again = loaded("stage1:colours", pool)
    ASKED.clear()
    again.segment(image, WORDS, settings=PLAIN)
    assert not ASKED  # all was known
    assert again.saved_seconds > 0
    again.segment(IMAGE.copy(), WORDS, settings=PLAIN)
    assert ASKED["images"] == 1  # another image
    assert again.saved_seconds == 0


def test_one_stage_does_not_pay_for_the_other() -> None:
    for spec, left_out in (("stage1:colours@1.1", "everything"), ("stage1:colours@1.2", "prompts")):
        ASKED.clear()
        asked(loaded(spec))
        assert ASKED["images"] == 1
        assert not ASKED[left_out]


def test_image_level_labels_replace_the_presence_step() -> None:
    method = loaded("stage1:colours@labels")
    assert isinstance(method, TakesClasses)
    told = method.segment_known(IMAGE, WORDS, (1, 2), settings=PLAIN)
    assert set(np.unique(told.labels)) <= {-1, 1, 2}  # not red, although half of it is
    assert method.describe()["image-level labels"] == "those of the ground truth"
    # Words that mean background are known by name where other rules leave them out.
    words = Vocabulary(("sky", "red", "green"), background=frozenset({0}))
    by_softmax = SegmentSettings(certainty=0.0, hubness=0.0)
    named = method.segment_known(IMAGE, words, (2,), settings=by_softmax)
    assert set(np.unique(named.labels)) <= {0, 2}


@pytest.mark.parametrize("variant", ["maskclip", "sclip", "clearclip", "naclip"])
def test_the_class_map_of_a_variant_is_that_of_its_formula(clip: Path, variant: str) -> None:
    native = DenseProtocol("native", "one crop", variant=variant, short_side=32)
    pool = ModelPool(device="cpu")
    method = DenseMethod(f"open_clip:local-dir:{clip}", pool, native)
    colours = np.random.default_rng(0).integers(0, 2, (4, 4, 3), dtype=np.uint8) * 255
    image = np.repeat(np.repeat(colours, 8, axis=0), 8, axis=1)
    words = Vocabulary.of([f"{one} {two}" for one in WORDS_OF_TINY for two in WORDS_OF_TINY if one < two])
    labels = method.segment(image, words, settings=PLAIN).labels

    model = pool.image_text(f"open_clip:local-dir:{clip}?dense={variant}")
    weights = load_file(clip / "open_clip_model.safetensors")
    visual = {
        name.removeprefix("visual."): tensor for name, tensor in weights.items() if name.startswith("visual.")
    }
    cells = ClipTower(visual, heads=2).dense(model.transform(image, (32, 32)), variant)
    texts = model.encode_text([f"a photo of a {word}." for word in words]).double()
    similarity = (texts @ cells.T).reshape(len(words), 4, 4)
    expected = np.empty((32, 32), np.int64)
    for y in range(32):
        for x in range(32):
            expected[y, x] = int(_bilinear(similarity, (y + 0.5) / 8 - 0.5, (x + 0.5) / 8 - 0.5).argmax())
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(labels, expected)


def test_dense_maps_of_one_model_share_its_encode(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    see = TransformerTower.see

    def counted(self: TransformerTower, pixels: torch.Tensor) -> TowerState:
        seen[self.positions] += len(pixels)
        return see(self, pixels)

    monkeypatch.setattr(TransformerTower, "see", counted)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)

    def labels(variant: str, side: int | None, pool: ModelPool) -> NDArray[np.int32]:
        protocol = DenseProtocol(variant, variant, variant, 64, side)
        method = DenseMethod(f"open_clip:local-dir:{clip}", pool, protocol)
        return method.segment(image, WORDS, settings=PLAIN).labels

    own, larger = {"as they are": 15}, {"to the side": 2, "by a factor": 2}  # crops
    for side, once in ((None, own), (64, larger)):
        pool = ModelPool(device="cpu")
        seen.clear()
        variants = ("maskclip", "sclip", "naclip")
        together = [labels(variant, side, pool) for variant in variants]
        assert seen == once
        for variant, found in zip(variants, together, strict=True):
            np.testing.assert_array_equal(found, labels(variant, side, ModelPool(device="cpu")))


def _bilinear(grid: torch.Tensor, y: float, x: float) -> torch.Tensor:
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = int(y), int(x)
    below, right = min(top + 1, grid.shape[1] - 1), min(left + 1, grid.shape[2] - 1)
    upper = (1 - (x - left)) * grid[:, top, left] + (x - left) * grid[:, top, right]
    lower = (1 - (x - left)) * grid[:, below, left] + (x - left) * grid[:, below, right]
    return (1 - (y - top)) * upper + (y - top) * lower


def test_a_papers_protocol_brings_its_windows_templates_and_background(clip: Path) -> None:
    method = loaded(f"dense:open_clip:local-dir:{clip}@sclip")
    told = method.describe()
    assert told["image_text"].endswith("?crop_size=224&dense=sclip")
    assert told["instead"]["windows"] == "224 px, step 112 px"
    assert told["instead"]["resolution"].startswith("short side 336 px")
    assert told["instead"]["templates"].count(";") == 79
    words = Vocabulary(("cat", "sofa", "grass"), background=frozenset({2}))
    assert isinstance(method, DenseMethod)
    asked_for = method._words(words, counts=True)
    assert asked_for.names == ("cat", "sofa", *SCLIP_BACKGROUND)
    assert len(asked_for.background) == len(SCLIP_BACKGROUND)
    result = method.segment(IMAGE[:8, :8], words, settings=SegmentSettings(certainty=0.0))
    assert result.confidence is not None
    assert (result.labels[result.confidence < 0.1] == 0).all()


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        ("stage1:ofline", UnknownNameError, "did you mean 'offline'"),
        ("stage1:colours@1.3", UnknownNameError, "there is no part"),
        ("dense:counted-colours@sclp", UnknownNameError, "did you mean 'sclip'"),
        ("dense:", SpecError, "name an image-text model"),
        ("dense:counted-colours@sclip", SpecError, "one dense map, which no protocol changes"),
        ("dense:open_clip:x?dense=value@sclip", SpecError, "the protocol says dense; leave it out"),
        ("me/head@ofline", UnknownNameError, "there is no recipe .ofline."),
        ("stage1:sam3@1.1", ValueError, "names and cuts in one step"),
        ("concept:colour-concepts@1.1", UnknownNameError, "there is no part"),
    ],
)
def test_bad_specs_are_refused(spec: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        load_method(spec, ModelPool(device="cpu"))
    if error is UnknownNameError:
        with pytest.raises(error, match=told):
            check_method(spec)  # before anything is loaded
