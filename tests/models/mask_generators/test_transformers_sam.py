"""SAM and SAM 2 of transformers: equal to transformers' own, from pixels on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.mask_generators.torch_sam import TorchSam
from fmbseg.models.mask_generators.transformers_sam import hf_sam, hf_sam2, hf_sam_hq
from fmbseg.models.registries import MASK_GENERATORS
from tests.models.mask_generators import tiny
from tests.models.mask_generators.by_transformers import by_transformers
from tests.models.photographs import photograph

FAMILIES: dict[str, Any] = {"hf-sam": hf_sam, "hf-sam2": hf_sam2, "hf-sam-hq": hf_sam_hq}
BOXES = np.array([[60, 20, 170, 130], [0, 0, 225, 150], [10.5, 80, 60.25, 149]], np.float32)
POINTS = np.array([[110, 75], [20, 30], [180, 120], [60, 140]], np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("sams")
    return {
        "hf-sam": tiny.sam_folder(home / "sam"),
        "hf-sam2": tiny.sam2_folder(home / "sam2"),
        "hf-sam-hq": tiny.sam_folder(home / "sam-hq", high_quality=True),
    }


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    """A cat, 150 x 225 px."""
    return np.ascontiguousarray(photograph("chelsea.png")[::2, ::2][:150, :225])


def load(family: str, folder: Path, **options: Any) -> TorchSam:
    generator = FAMILIES[family](f"local-dir:{folder}", device="cpu", **options)
    assert isinstance(generator, TorchSam)
    return generator


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_from_points_and_boxes_are_those_of_transformers(
    folders: dict[str, Path], family: str, image: NDArray[np.uint8]
) -> None:
    prompter = load(family, folders[family], points_per_batch=2).begin(image)
    for prompts, masks in (
        (POINTS, prompter.prompt([point[None] for point in POINTS])),
        (BOXES, prompter.prompt(boxes=BOXES)),
    ):
        theirs, ious = by_transformers(family, folders[family], image, prompts)
        for index in range(len(prompts)):
            best = ious[index].argmax()
            assert masks.predicted_iou[index] == pytest.approx(ious[index, best], abs=1e-5)
            assert (masks.decode(index) != theirs[index, best]).mean() < 1e-3
        assert len(set(masks.rles)) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_points_beside_a_thing_are_told_as_transformers_tells_them(
    folders: dict[str, Path], family: str, image: NDArray[np.uint8]
) -> None:
    prompter = load(family, folders[family]).begin(image)
    mask = prompter.prompt_thing(POINTS[:1], POINTS[1:3])
    theirs, ious = by_transformers(family, folders[family], image, POINTS[:3], [1, 0, 0])
    best = ious[0].argmax()
    assert mask.predicted_iou[0] == pytest.approx(ious[0, best], abs=1e-5)
    assert (mask.decode(0) != theirs[0, best]).mean() < 1e-3
    assert mask.predicted_iou[0] != pytest.approx(prompter.prompt([POINTS[:3]]).predicted_iou[0], abs=1e-6)


@pytest.mark.parametrize("family", ["hf-sam", "hf-sam2"])
def test_everything_comes_from_every_candidate_of_the_grid(
    folders: dict[str, Path], family: str, image: NDArray[np.uint8]
) -> None:
    options: dict[str, Any] = {
        "points_per_side": 3,
        "predicted_iou_threshold": 0.0,
        "stability_threshold": 0.0,
        "box_nms_threshold": 1.0,
    }
    ours = load(family, folders[family], **options).begin(image).everything()
    centres = np.array([[(x + 0.5) * 75, (y + 0.5) * 50] for y in range(3) for x in range(3)], np.float32)
    theirs, ious = by_transformers(family, folders[family], image, centres)
    filled = [
        float(iou)
        for masks, row in zip(theirs, ious, strict=True)
        for mask, iou in zip(masks, row, strict=True)
        if mask.any()
    ]
    assert ours.predicted_iou.tolist() == pytest.approx(sorted(filled, reverse=True), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_spec_makes_it_again(folders: dict[str, Path], family: str, image: NDArray[np.uint8]) -> None:
    first = load(family, folders[family])
    again = MASK_GENERATORS.create(first.spec, device="cpu")
    prompts = [POINTS[:1], POINTS]
    assert again.begin(image).prompt(prompts).rles == first.begin(image).prompt(prompts).rles


def test_sam_is_not_sam_2(folders: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match="model_type 'sam2', not 'sam'"):
        load("hf-sam", folders["hf-sam2"])
    with pytest.raises(WeightsError, match="model_type 'sam', not 'sam2'"):
        load("hf-sam2", folders["hf-sam"])
    with pytest.raises(WeightsError, match="model_type 'sam', not 'sam_hq'"):
        load("hf-sam-hq", folders["hf-sam"])


def test_weights_that_do_not_fit_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["hf-sam"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"is not a checkpoint of SamModel .* \d+ missing"):
        load("hf-sam", tmp_path)
