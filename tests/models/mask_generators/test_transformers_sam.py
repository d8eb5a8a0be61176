"""SAM and SAM 2 of transformers: equal to transformers' own, from pixels on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import transformers
from numpy.typing import NDArray
from PIL import Image

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.mask_generators.torch_sam import TorchSam
from fmbseg.models.mask_generators.transformers_sam import hf_sam, hf_sam2, hf_sam_hq
from fmbseg.models.registries import MASK_GENERATORS
from tests.models.mask_generators import tiny
from tests.models.photographs import photograph

FAMILIES: dict[str, Any] = {"hf-sam": hf_sam, "hf-sam2": hf_sam2, "hf-sam-hq": hf_sam_hq}
CLASSES = {"hf-sam": "SamModel", "hf-sam2": "Sam2Model", "hf-sam-hq": "SamHQModel"}
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


def by_hand(
    family: str, folder: Path, image: NDArray[np.uint8], prompts: NDArray[np.float32]
) -> tuple[Any, Any]:
    """Masks (N, 3, H, W) and IoUs (N, 3) of N points or boxes by transformers' model and post-processing."""
    height, width = image.shape[:2]
    inner = (128, 128) if family == "hf-sam2" else (85, 128)  # 150 * 128 / 225 = 85.3
    resized = Image.fromarray(image).resize(inner[::-1], Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.asarray(resized) / np.float32(255)).permute(2, 0, 1)
    pixels = (pixels - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor([0.2, 0.25, 0.3])[
        :, None, None
    ]
    pixels = F.pad(pixels, (0, 128 - inner[1], 0, 128 - inner[0]))[None]
    model = getattr(transformers, CLASSES[family]).from_pretrained(folder).eval()
    scale = torch.tensor([inner[1] / width, inner[0] / height])
    given: dict[str, torch.Tensor] = (
        {"input_boxes": (torch.from_numpy(prompts) * scale.repeat(2))[None]}
        if prompts.shape[1] == 4
        else {
            "input_points": (torch.from_numpy(prompts) * scale)[None, :, None],
            "input_labels": torch.ones(1, len(prompts), 1, dtype=torch.int),
        }
    )
    with torch.no_grad():
        output = model(pixel_values=pixels, multimask_output=True, **given)
    if family != "hf-sam2":
        processor: Any = transformers.SamImageProcessor(pad_size={"height": 128, "width": 128})
        masks = processor.post_process_masks(output.pred_masks, [(height, width)], [inner])
    else:
        sam2: Any = transformers.Sam2ImageProcessor()
        masks = sam2.post_process_masks(output.pred_masks, [(height, width)])
    return masks[0].numpy(), output.iou_scores[0].numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_from_points_and_boxes_are_those_of_transformers(
    folders: dict[str, Path], family: str, image: NDArray[np.uint8]
) -> None:
    prompter = load(family, folders[family], points_per_batch=2).begin(image)
    for prompts, masks in (
        (POINTS, prompter.prompt([point[None] for point in POINTS])),
        (BOXES, prompter.prompt(boxes=BOXES)),
    ):
        theirs, ious = by_hand(family, folders[family], image, prompts)
        for index in range(len(prompts)):
            best = ious[index].argmax()
            assert masks.predicted_iou[index] == pytest.approx(ious[index, best], abs=1e-5)
            assert (masks.decode(index) != theirs[index, best]).mean() < 1e-3
        assert len(set(masks.rles)) > 1


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
    theirs, ious = by_hand(family, folders[family], image, centres)
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
