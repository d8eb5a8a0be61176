"""SAM of segment-anything: equal to the package's own predictor and automatic mask generator."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import MaskDecoder
from segment_anything.utils.transforms import ResizeLongestSide

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.mask_generators.segment_anything import LeanSegmentAnything, sam
from fmbseg.models.mask_generators.torch_sam import TorchSam
from fmbseg.models.registries import MASK_GENERATORS
from tests.models.mask_generators.tiny import segment_anything_module
from tests.models.photographs import photograph

# The predicted IoU of random weights is spread widely; at these, part of the masks pass each filter.
THRESHOLDS: dict[str, Any] = {"predicted_iou_threshold": 0.4, "stability_threshold": 0.83}


@pytest.fixture(scope="module")
def module() -> Any:
    return segment_anything_module()


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    """A cat, 150 x 225 px."""
    return np.ascontiguousarray(photograph("chelsea.png")[::2, ::2][:150, :225])


def test_masks_from_points_are_those_of_sam_predictor(module: Any, image: NDArray[np.uint8]) -> None:
    predictor = SamPredictor(module)
    predictor.set_image(image)
    prompter = sam("tiny", module=module, device="cpu").begin(image)
    one, five = [[110, 75]], [[110, 75], [20, 30], [180, 120], [60, 140], [200, 10]]
    for points in ([one, five, one, five]), ([five] * 3):
        prompts = [np.array(each, np.float32) for each in points]
        masks = prompter.prompt(prompts)
        for index, each in enumerate(prompts):
            theirs, ious, _ = predictor.predict(each, np.ones(len(each)), multimask_output=True)
            assert masks.predicted_iou[index] == pytest.approx(float(ious.max()), abs=1e-5)
            assert (masks.decode(index) != theirs[ious.argmax()]).mean() < 1e-4
            assert 0 < masks.areas[index] < 150 * 225


def test_masks_from_boxes_and_from_points_beside_a_thing_are_those_of_sam_predictor(
    module: Any, image: NDArray[np.uint8]
) -> None:
    """By its own decoder and by the leaner one: a class derived of SAM's decoder is used as it is."""
    boxes = np.array([[60, 20, 170, 130], [0, 0, 225, 150], [10.5, 80, 60.25, 149]], np.float32)
    lean = segment_anything_module()
    lean.mask_decoder.__class__ = MaskDecoder
    for one in (module, lean):
        predictor = SamPredictor(one)
        predictor.set_image(image)
        generator = sam("tiny", module=one, device="cpu", points_per_batch=2)
        assert isinstance(generator.model, LeanSegmentAnything) is (one is lean)
        masks = generator.begin(image).prompt(boxes=boxes)
        for index, box in enumerate(boxes):
            theirs, ious, _ = predictor.predict(box=box, multimask_output=True)
            assert masks.predicted_iou[index] == pytest.approx(float(ious.max()), abs=1e-5)
            assert (masks.decode(index) != theirs[ious.argmax()]).mean() < 1e-3
            assert 0 < masks.areas[index] < 150 * 225
        assert len(set(masks.rles)) == 3
        points = np.array([[110, 75], [20, 30], [180, 120]], np.float32)
        theirs, ious, _ = predictor.predict(points, np.array([1, 0, 0]), multimask_output=True)
        mask = generator.begin(image).prompt_thing(points[:1], points[1:])
        assert mask.predicted_iou[0] == pytest.approx(float(ious.max()), abs=1e-5)
        assert (mask.decode(0) != theirs[ious.argmax()]).mean() < 1e-3


@pytest.mark.parametrize(("layers", "downscale"), [(0, 1), (1, 1), (1, 2)])
def test_everything_is_that_of_the_automatic_mask_generator(
    module: Any, image: NDArray[np.uint8], layers: int, downscale: int
) -> None:
    theirs = SamAutomaticMaskGenerator(
        module,
        points_per_side=8,
        points_per_batch=24,
        pred_iou_thresh=0.4,
        stability_score_thresh=0.83,
        crop_n_layers=layers,
        crop_n_points_downscale_factor=downscale,
        output_mode="binary_mask",
    ).generate(image)
    generator = sam(
        "tiny",
        module=module,
        device="cpu",
        points_per_side=8,
        points_per_batch=24,
        crop_n_layers=layers,
        crop_n_points_downscale_factor=downscale,
        **THRESHOLDS,
    )
    ours = generator.begin(image).everything()
    assert len(ours) == len(theirs) > 2
    assert layers == 0 or len({tuple(one["crop_box"]) for one in theirs}) > 1
    by_score = sorted(theirs, key=lambda one: -one["predicted_iou"])
    for index, one in enumerate(by_score):
        assert ours.predicted_iou[index] == pytest.approx(one["predicted_iou"], abs=1e-5)
        assert ours.stability[index] == pytest.approx(one["stability_score"], abs=1e-3)
        assert ours.areas[index] == pytest.approx(one["area"], abs=3)
        assert (ours.decode(index) != one["segmentation"]).mean() < 1e-4


def test_thresholds_of_nothing_let_every_mask_pass(module: Any, image: NDArray[np.uint8]) -> None:
    """At 0, the package filters nothing, not even a predicted IoU below 0; empty masks we leave out."""
    options: dict[str, Any] = {
        "points_per_side": 3,
        "predicted_iou_threshold": 0,
        "stability_threshold": 0,
        "box_nms_threshold": 1,
    }
    masks = sam("tiny", module=module, device="cpu", **options).begin(image).everything()
    generator = SamAutomaticMaskGenerator(
        module, points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    theirs = [one for one in generator.generate(image) if one["area"]]
    assert len(masks) == len(theirs) > 9


def test_areas_are_filtered_as_fractions_of_the_image(module: Any, image: NDArray[np.uint8]) -> None:
    options: dict[str, Any] = {"points_per_side": 6, "box_nms_threshold": 1.0, **THRESHOLDS}
    every = sam("tiny", module=module, device="cpu", **options).begin(image).everything()
    low, high = np.quantile(every.areas / image[..., 0].size, [0.25, 0.75])
    bounds: dict[str, Any] = {"min_area": float(low), "max_area": float(high)}
    some = sam("tiny", module=module, device="cpu", **options, **bounds).begin(image).everything()
    fraction = every.areas / image[..., 0].size
    assert 0 < len(some) == ((fraction >= low) & (fraction <= high)).sum() < len(every)


def test_the_packages_own_resize_of_tensors_reads_the_wrong_axes() -> None:
    """Why only its encoder and decoders are used: of a batch (1, 3, 40, 60) it takes 1 x 3 for the size."""
    resized = ResizeLongestSide(120).apply_image_torch(torch.zeros(1, 3, 40, 60))
    assert tuple(resized.shape[2:]) == (40, 120)  # 80 x 120 would be right
    assert ResizeLongestSide(120).apply_image(np.zeros((40, 60, 3), np.uint8)).shape == (80, 120, 3)


def test_a_module_is_frozen(module: Any) -> None:
    generator = sam("tiny", module=module, device="cpu")
    assert generator.spec == "sam:tiny"
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert generator.promptable


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_x@a.pth", "there is no type of SAM 'vit_x'"),
        ("vit_b", "names no checkpoint"),
        ("vit_b@", "names no checkpoint"),
        ("vit_b@/no/such.pth", r"there is no file /no/such\.pth"),
        ("vit_b@../such.pth", r"leads through '\.\.': name the file or folder by its whole path"),
    ],
)
def test_names_that_lead_nowhere_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MASK_GENERATORS.create(f"sam:{name}")


def test_a_checkpoint_of_another_type_is_told_apart(tmp_path: Path) -> None:
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 1280)}, tmp_path / "h.pth")
    with pytest.raises(WeightsError, match=r"h\.pth is not a checkpoint of SAM vit_b .*the width of vit_h"):
        sam(f"vit_b@{tmp_path / 'h.pth'}")


def test_a_checkpoint_is_loaded_strictly(
    module: Any, image: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small model stands for ViT-B in the package's registry, so that the test is quick."""
    state = module.state_dict()
    torch.save(state, tmp_path / "b.pth")
    monkeypatch.setitem(sam_model_registry, "vit_b", lambda: segment_anything_module(seed=1))
    spec = f"sam:vit_b@{tmp_path / 'b.pth'}"
    prompts = [np.array([[110, 75]], np.float32)]
    expected = sam("tiny", module=module, device="cpu").begin(image).prompt(prompts)
    assert MASK_GENERATORS.create(spec, device="cpu").begin(image).prompt(prompts).rles == expected.rles
    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(mask_decoder\.iou_token\.weight\)"):
        MASK_GENERATORS.create(spec)


@pytest.mark.parametrize("kept", [0, 100, -1000])
def test_a_checkpoint_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "short.pth").write_bytes(content[:kept])
    with pytest.raises(WeightsError, match=r"short\.pth"):
        sam(f"vit_b@{tmp_path / 'short.pth'}")


def test_it_says_what_it_was_made_with(module: Any) -> None:
    generator = sam("tiny", module=module, device="cpu", points_per_side=8, sampling="cover")
    assert generator.options == {"points_per_side": 8, "sampling": "cover"}
    assert sam("tiny", module=module, device="cpu").options == {}


def test_photographs_of_any_sizes_are_encoded_together_and_fewer_where_memory_is_short(
    module: Any, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [image, image[:, :100], image[:60], image[::2, ::2], image[20:]]
    generator = sam("tiny", module=module, device="cpu")
    singly = [generator.begin(one).prompt([np.array([[40, 30]], np.float32)]) for one in images]
    assert generator.images_at_once == 1
    sizes: list[int] = []
    real = generator.model.encode

    def small(pixels: torch.Tensor) -> list[Any]:
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return real(pixels)

    monkeypatch.setattr(generator.model, "encode", small)
    monkeypatch.setattr(TorchSam, "images_at_once", property(lambda self: self._most))
    with pytest.warns(UserWarning, match="4 photographs at once do not fit cpu's memory, so 2 are") as told:
        together = generator.begin_all(images)
    assert sizes == [4, 2, 2, 1]
    assert len(told) == 1
    for prompter, expected in zip(together, singly, strict=True):
        masks = prompter.prompt([np.array([[40, 30]], np.float32)])
        assert (masks.decode(0) != expected.decode(0)).mean() < 1e-3
        assert masks.size == expected.size
    monkeypatch.setattr(generator, "_most", 1)
    monkeypatch.setattr(generator.model, "encode", lambda _: small(torch.zeros(3, 3, 8, 8)))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        generator.begin(image)


def test_everything_is_decoded_for_several_photographs_together_and_for_fewer_where_memory_is_short(
    image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module = _build_sam(8, 1, 1, [0]).eval()
    options: dict[str, Any] = {"predicted_iou_threshold": 0.0, "stability_threshold": 0.0, "max_share": 1.0}
    options |= {"points_per_side": 2, "points_per_batch": 2, "sampling": "adaptive"}
    generator = sam("tiny", module=module, device="cpu", **options)
    images = [image, image[20:, :100]]
    singly = [generator.begin(one).everything() for one in images]
    assert all(len(masks) for masks in singly)
    asked: list[int] = []
    real = generator.model.decode_several  # type: ignore[attr-defined]

    def small(embeddings: list[Any], points: torch.Tensor) -> Any:
        asked.append(len(embeddings))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    monkeypatch.setattr(TorchSam, "images_at_once", property(lambda self: self._most))
    for decode in (real, small):
        monkeypatch.setattr(generator.model, "decode_several", decode)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")  # so that a second warning would be seen
            found = [prompter.everything() for prompter in generator.begin_all(images)]
        for masks, expected in zip(found, singly, strict=True):
            assert len(masks) == len(expected)
            np.testing.assert_allclose(masks.predicted_iou, expected.predicted_iou, atol=1e-4)
            assert (masks.decode() != expected.decode()).mean() < 1e-3
    assert len(told) == 1
    assert "prompts of 2 photographs at once do not fit cpu's memory, so those of 1" in str(told[0].message)
    assert asked == [2]
