from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.utils.transforms import ResizeLongestSide

from fmbseg.models.contracts import MaskGenerator
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.mask_generators.candidates import Candidates
from fmbseg.models.mask_generators.mobilesam import mobilesam
from fmbseg.models.mask_generators.onnx_sam import OnnxSam, WeightsDecoder
from fmbseg.models.registries import MASK_GENERATORS
from tests.models.mask_generators.contract import MaskGeneratorContract
from tests.models.photographs import photograph

# The thresholds of the defaults are SAM ViT-H's; on the few points of these tests less strict ones find more.
SETTINGS: dict[str, Any] = {"points_per_side": 4, "predicted_iou_threshold": 0.7, "stability_threshold": 0.8}


@pytest.fixture(scope="session")
def quick(mobilesam_files: tuple[Path, Path]) -> OnnxSam:
    return mobilesam(**SETTINGS)


class TestMobileSam(MaskGeneratorContract):
    @pytest.fixture
    def generator(self, quick: OnnxSam) -> MaskGenerator:
        return quick


class ByHand:
    """MobileSAM called as its files ask for, apart from the code under test."""

    def __init__(self, files: tuple[Path, Path], image: NDArray[np.uint8]) -> None:
        encoder, self.decoder = (
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in files
        )
        self.height, self.width = image.shape[:2]
        self.scale = 1024 / max(self.height, self.width)
        height, width = int(self.height * self.scale + 0.5), int(self.width * self.scale + 0.5)
        resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        padded = np.zeros((1, 3, 1024, 1024), np.float32)
        normal = (resized - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
        padded[0, :, :height, :width] = normal.transpose(2, 0, 1)
        self.embedding = encoder.run(None, {"input": padded})[0]
        self.ratio = np.array([width / self.width, height / self.height])

    def logits(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        coordinates = np.concatenate([points * self.ratio, [[0, 0]]]).astype(np.float32)
        labels = np.array([1] * len(points) + [-1], np.float32)
        masks, ious, _ = self.decoder.run(
            ["masks", "iou_predictions", "low_res_masks"],
            {
                "image_embeddings": self.embedding,
                "point_coords": coordinates[None],
                "point_labels": labels[None],
                "mask_input": np.zeros((1, 1, 256, 256), np.float32),
                "has_mask_input": np.zeros(1, np.float32),
                "orig_im_size": np.array([self.height, self.width], np.float32),
            },
        )
        return masks[0, 0], float(ious[0, 0])


def test_prompts_are_those_of_the_graph_called_by_hand(
    quick: OnnxSam, mobilesam_files: tuple[Path, Path]
) -> None:
    image = photograph("chelsea.png")
    hand, prompter = ByHand(mobilesam_files, image), quick.begin(image)
    five = np.array([[220, 150], [250, 160], [190, 140], [160, 200], [300, 190]], np.float32)
    for points in (five[:1], five[:2], five):
        logits, iou = hand.logits(points)
        mask = prompter.prompt([points])
        assert mask.predicted_iou[0] == pytest.approx(iou, abs=1e-4)
        stability = (logits > 1).sum() / (logits > -1).sum()
        assert mask.stability[0] == pytest.approx(stability, abs=1e-3)
        # Full size is reached in float32 by two libraries: a few pixels on the edge may round otherwise.
        assert (mask.decode(0) != (logits > 0)).mean() < 1e-4


class PredictorByHand:
    """What segment_anything's own mask generator needs of a predictor, answered by :class:`ByHand`."""

    def __init__(self, files: tuple[Path, Path]) -> None:
        self.files = files
        self.transform = ResizeLongestSide(1024)
        self.device = torch.device("cpu")
        self.model = SimpleNamespace(mask_threshold=0.0)

    def set_image(self, image: NDArray[np.uint8]) -> None:
        self.hand = ByHand(self.files, image)

    def reset_image(self) -> None:
        del self.hand

    def predict_torch(self, points: torch.Tensor, labels: torch.Tensor, **options: Any) -> tuple[Any, ...]:
        # The generator moves its points into the frame; by hand they are wanted in pixels of the image.
        answers = [self.hand.logits((one.numpy() / self.hand.ratio).astype(np.float32)) for one in points]
        masks = torch.stack([torch.from_numpy(logits) for logits, _ in answers])[:, None]
        return masks, torch.tensor([[iou] for _, iou in answers]), None


def test_everything_is_that_of_segment_anythings_own_generator(
    quick: OnnxSam, mobilesam_files: tuple[Path, Path]
) -> None:
    image = photograph("coffee.png")
    sam = SimpleNamespace(image_encoder=SimpleNamespace(img_size=1024), device=torch.device("cpu"))
    generator = SamAutomaticMaskGenerator(
        sam, points_per_side=4, pred_iou_thresh=0.7, stability_score_thresh=0.8, points_per_batch=5
    )
    generator.predictor = PredictorByHand(mobilesam_files)
    theirs = generator.generate(image)
    ours = quick.begin(image).everything()
    assert len(ours) == len(theirs) > 3
    for index, record in enumerate(theirs):
        assert ours.predicted_iou[index] == pytest.approx(record["predicted_iou"], abs=1e-4)
        assert (ours.decode(index) != record["segmentation"]).mean() < 1e-4


@pytest.mark.parametrize(
    "options", [{"sampling": "cover"}, {"sampling": "adaptive", "max_share": 0.5}], ids=str
)
def test_the_cat_is_found_with_fewer_prompts(
    options: dict[str, Any], mobilesam_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent, decode = [], WeightsDecoder.decode

    def count(decoder: WeightsDecoder, points: NDArray[np.float32], **named: Any) -> Candidates:
        spent.append(len(points))
        return decode(decoder, points, **named)

    monkeypatch.setattr(WeightsDecoder, "decode", count)
    generator = MASK_GENERATORS.create("mobilesam", **SETTINGS, **options)
    masks = generator.begin(photograph("chelsea.png")).everything()
    cat = masks.decode(int(masks.areas.argmax()))
    assert cat[150, 220]
    assert 0.4 < cat.mean() < 0.95
    assert set(spent) == {1}
    assert len(spent) <= 10  # of 16


def test_the_number_of_threads_does_not_change_the_masks(
    quick: OnnxSam, mobilesam_files: tuple[Path, Path]
) -> None:
    image = photograph("chelsea.png")
    point = [np.array([[220, 150]], np.float32)]
    single = mobilesam(threads=1, hub=HubOptions(local_files_only=True)).begin(image).prompt(point)
    every = quick.begin(image).prompt(point)
    assert (single.decode(0) != every.decode(0)).mean() < 1e-4


def test_settings_are_checked(mobilesam_files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="threads is 0"):
        mobilesam(threads=0)
    with pytest.raises(ValueError, match="points_per_side is 0"):
        mobilesam(points_per_side=0)
