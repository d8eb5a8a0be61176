"""A segmentation's measures and files, read back with Pillow and pycocotools."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools import mask as coco

from fmbseg.images import load_image
from fmbseg.results import Segmentation, Similarities, TopClasses
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ("cat", "dog", "sofa")
LABELS = np.array([[0, 0, -1, 2], [0, 2, 2, 2]], dtype=np.int32)
MAPS = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=8), elements={"min_value": -1, "max_value": 2}
)


def segmentation(**changes: Any) -> Segmentation:
    scores = np.where(LABELS == 0, 0.5, 0.25).astype(np.float32)
    parts: dict[str, Any] = {"labels": LABELS, "scores": scores, "names": NAMES, "image": None}
    return Segmentation(**(parts | changes))


def test_areas_and_masks_by_hand() -> None:
    result = segmentation()
    assert result.areas == {"cat": 3, "dog": 0, "sofa": 4}
    assert result.mask("cat").tolist() == [[True, True, False, False], [True, False, False, False]]
    assert not result.mask("dog").any()


def test_unknown_class_offers_a_near_miss() -> None:
    with pytest.raises(KeyError, match=r"there is no class 'sofas'; did you mean 'sofa'\?"):
        segmentation().mask("sofas")


@given(MAPS)
def test_masks_part_the_labelled_pixels(labels: NDArray[np.int32]) -> None:
    result = Segmentation(labels, np.ones(labels.shape, dtype=np.float32), NAMES)
    stacked = np.stack([result.mask(name) for name in NAMES])
    np.testing.assert_array_equal(stacked.sum(axis=0), labels >= 0)
    assert list(result.areas.values()) == stacked.sum(axis=(1, 2)).tolist()


def test_png_holds_positions_and_255_for_none(tmp_path: Path) -> None:
    segmentation().to_png(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as png:
        assert png.mode == "P"
        np.testing.assert_array_equal(np.asarray(png), np.where(LABELS < 0, 255, LABELS))
        colours = np.asarray(png.convert("RGB"))
    assert colours[0, 0].tolist() == [128, 0, 0]
    assert colours[0, 2].tolist() == [0, 0, 0]


def test_png_holds_255_classes_and_no_more(tmp_path: Path) -> None:
    labels = np.arange(-1, 255, dtype=np.int32).reshape(16, 16)
    names = tuple(f"class {index}" for index in range(256))
    Segmentation(labels, np.ones((16, 16), dtype=np.float32), names[:255]).to_png(tmp_path / "full.png")
    with Image.open(tmp_path / "full.png") as png:
        np.testing.assert_array_equal(np.asarray(png).ravel(), [255, *range(255)])
        colours = np.asarray(png.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) == 256


def test_png_of_more_classes_has_sixteen_bits(tmp_path: Path) -> None:
    labels = np.arange(-1, 255, dtype=np.int32).reshape(16, 16)
    names = tuple(f"class {index}" for index in range(256))
    Segmentation(labels, np.ones((16, 16), dtype=np.float32), names).to_png(tmp_path / "wide.png")
    with Image.open(tmp_path / "wide.png") as png:
        np.testing.assert_array_equal(np.asarray(png).ravel(), [65_535, *range(255)])
    many = tuple(map(str, range(65_536)))
    over = Segmentation(labels, np.ones((16, 16), dtype=np.float32), many)
    with pytest.raises(ValueError, match=r"at most 65535 classes, this has 65536.*savez"):
        over.to_png(tmp_path / "over.png")
    assert not (tmp_path / "over.png").exists()


def test_a_png_of_the_users_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"mine\.png exists, and fmbseg did not write it"):
        segmentation().to_png(tmp_path / "mine.png")
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
    for labels in (LABELS, np.zeros_like(LABELS)):  # one's own is replaced
        segmentation(labels=labels).to_png(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as png:
        assert not np.asarray(png).any()


def test_coco_annotations_by_hand() -> None:
    annotations = json.loads(json.dumps(segmentation().to_coco(image_id=7)))
    assert [entry["id"] for entry in annotations] == [1, 2]
    assert [entry["category_id"] for entry in annotations] == [1, 3]
    assert {entry["image_id"] for entry in annotations} == {7}
    assert [entry["area"] for entry in annotations] == [3, 4]
    assert [entry["bbox"] for entry in annotations] == [[0, 0, 2, 2], [1, 0, 3, 2]]
    for entry, label in zip(annotations, (0, 2), strict=True):
        np.testing.assert_array_equal(coco.decode(entry["segmentation"]), label == LABELS)


def test_nothing_labelled_is_no_annotation() -> None:
    assert segmentation(labels=np.full_like(LABELS, -1)).to_coco() == []


def test_supervision_or_how_to_get_it() -> None:
    try:
        import supervision  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ModuleNotFoundError:
        with pytest.raises(ImportError, match="pip install supervision"):
            segmentation().to_supervision()
        return
    detections = segmentation().to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert detections.class_id.tolist() == [0, 2]
    assert detections.xyxy.tolist() == [[0, 0, 2, 2], [1, 0, 4, 2]]
    assert detections.confidence.tolist() == [0.5, 0.25]
    assert detections["class_name"].tolist() == ["cat", "sofa"]
    np.testing.assert_array_equal(detections.mask[1], LABELS == 2)
    assert len(segmentation(labels=np.full_like(LABELS, -1)).to_supervision()) == 0


def test_plot_without_legend_has_the_images_size_and_hatches_what_is_unknown() -> None:
    image = np.full((12, 12, 3), 90, dtype=np.uint8)
    labels = np.zeros((12, 12), dtype=np.int32)
    labels[:, 6:] = labels[:, 3] = -1
    result = Segmentation(labels, np.ones(labels.shape, dtype=np.float32), NAMES, image)
    picture = np.asarray(result.plot(legend=False))
    assert picture.shape == (12, 12, 3)
    # Where row and column add up to 14 lies a dark line: 0.35 x 90. A sliver is not hatched.
    assert picture[8, 6].tolist() == [32, 32, 32]
    assert picture[11, 3].tolist() == [90, 90, 90]
    # 0.45 x 90 + 0.55 x (255, 0, 0), rounded
    assert picture[0, 0].tolist() == [181, 40, 40]


def test_plot_without_image_paints_the_map() -> None:
    picture = np.asarray(segmentation().plot(legend=False))
    assert picture[0].tolist() == [[255, 0, 0], [255, 0, 0], [0, 0, 0], [0, 68, 255]]


def test_plot_shrinks_labels_without_inventing_classes() -> None:
    labels = np.kron(np.array([[0, 2]]), np.ones((60, 50), dtype=int))
    result = Segmentation(labels.astype(np.int32), np.ones(labels.shape, dtype=np.float32), NAMES)
    picture = np.asarray(result.plot(max_side=30, legend=False))
    assert picture.shape == (18, 30, 3)
    assert {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} == {(255, 0, 0), (0, 68, 255)}
    assert result.plot(max_side=1000, legend=False).size == (100, 60)


def test_legend_names_only_what_is_there_largest_first() -> None:
    labels = np.full((300, 300), 2, dtype=np.int32)
    labels[:5, :5] = 0
    result = Segmentation(labels, np.ones(labels.shape, dtype=np.float32), NAMES)
    legend = np.asarray(result.plot())[:, 300:]
    rows = {
        colour: np.flatnonzero((legend == colour).all(axis=2).any(axis=1))
        for colour in [(255, 0, 0), (0, 255, 255), (0, 68, 255)]
    }
    assert rows[0, 255, 255].size == 0
    assert rows[0, 68, 255].max() < rows[255, 0, 0].min()


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scores \(2, 2\)"):
        segmentation(scores=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"image \(4, 2, 3\)"):
        segmentation(image=np.zeros((4, 2, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"go from -1 to 2.* and 1, the last of the 2 names"):
        segmentation(names=NAMES[:2])
    with pytest.raises(ValueError, match="go from -2"):
        segmentation(labels=LABELS - 1)
    with pytest.raises(ValueError, match="float64"):
        segmentation(labels=LABELS.astype(float))


def test_real_annotation_survives_png_and_coco(shared_data: Path, tmp_path: Path) -> None:
    path = sorted((shared_data / "coco" / "images").glob("*.jpg"))[0]
    with Image.open(shared_data / "coco" / "masks" / f"{path.stem}.png") as png:
        truth = np.asarray(png).astype(np.int32)
    labels = np.where((truth == 0) | (truth == 255), -1, truth - 1)
    names = Vocabulary.of("coco_object80").names
    result = Segmentation(labels, np.ones(labels.shape, dtype=np.float32), names, load_image(path))
    result.to_png(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as png:
        np.testing.assert_array_equal(np.asarray(png), np.where(labels < 0, 255, labels))
    again = np.full_like(labels, -1)
    for entry in result.to_coco():
        again[coco.decode(entry["segmentation"]).astype(bool)] = entry["category_id"] - 1
    np.testing.assert_array_equal(again, labels)
    rows, columns = np.indices(labels.shape)
    between = (labels < 0) & ((rows + columns) % 12 >= 4)  # the lines of the hatching
    assert (np.asarray(result.plot(legend=False))[between] == load_image(path)[between]).all()


def test_geojson_has_exact_areas_and_the_mean_score() -> None:
    found = json.loads(json.dumps(segmentation().to_geojson()))
    assert found["type"] == "FeatureCollection"
    told = [feature["properties"] for feature in found["features"]]
    assert told == [
        {"class": "cat", "index": 0, "area": 3, "score": 0.5},
        {"class": "sofa", "index": 2, "area": 4, "score": 0.25},
    ]
    for feature in found["features"]:
        assert feature["geometry"]["type"] == "MultiPolygon"
        area = sum(
            (x0 * y1 - x1 * y0) / 2
            for rings in feature["geometry"]["coordinates"]
            for ring in rings
            for (x0, y0), (x1, y1) in itertools.pairwise(ring)
        )
        assert area == feature["properties"]["area"]


def test_background_is_drawn_as_the_image() -> None:
    image, large = np.full((12, 24, 3), 200, np.uint8), np.kron(LABELS, np.ones((6, 6), np.int32))
    plain, with_background = (
        Segmentation(large, np.ones((12, 24), np.float32), names, image, background)
        for names, background in ((NAMES, "none"), (("background", "dog", "sofa"), "words"))
    )
    assert not (np.asarray(plain.plot(legend=False))[large == 0] == 200).all()
    drawn = np.asarray(with_background.plot(legend=False))
    assert (drawn[large == 0] == 200).all()
    assert with_background.unknown == 36
    assert not (drawn[large == -1] == 200).all()  # hatched
    assert not (drawn[large == 2] == 200).all()
    # Its name is not in the legend either: the picture is narrower than with three names.
    assert with_background.plot().width < plain.plot().width + 200


def test_beside_the_truth() -> None:
    image = np.full((2, 4, 3), 200, np.uint8)
    truth = np.array([[0, 0, 0, -1], [-1, 2, 2, 1]])
    picture = np.asarray(segmentation(image=image).compare(truth))
    assert (picture[:2, :4] == 200).all()
    assert (picture[:2, 4:10] == 255).all()  # six pixels between them
    assert np.array_equal(picture[:2, 20:24], np.asarray(segmentation(image=image).plot(legend=False)))
    assert (picture[:2, 10:14][truth < 0] == 200).all()  # what the truth does not say is no unknown
    shown = segmentation(image=image, labels=truth.astype(np.int32))
    drawn = np.asarray(shown.plot(legend=False))
    assert np.array_equal(picture[:2, 10:14][truth >= 0], drawn[truth >= 0])
    with pytest.raises(ValueError, match=r"truth is \(1, 4\), the result \(2, 4\)"):
        segmentation().compare(truth[:1])
    with pytest.raises(ValueError, match="truth goes from -1 to 3: allowed are -1"):
        segmentation().compare(np.full((2, 4), 3) - np.array([0, 0, 0, 4]))


def test_without_similarities_there_is_no_heat_map() -> None:
    with pytest.raises(ValueError, match="made without its similarities"):
        segmentation().heatmap("cat")


def test_what_is_printed_is_short_and_names_the_largest_classes() -> None:
    labels = np.repeat(np.arange(-1, 8, dtype=np.int32), [1, 1, 2, 3, 4, 5, 6, 7, 11])[None]
    names = tuple("abcdefgh")
    similarities = Similarities(np.ones((2, 3, 4), np.float32), np.ones((8, 2), np.float32), names)
    top = TopClasses(labels[None], np.ones((1, 1, 40), np.float32))
    result = Segmentation(labels, np.ones((1, 40), np.float32), names, similarities=similarities, top=top)
    shares = "h 27.5%, g 17.5%, f 15.0%, e 12.5%, d 10.0%, c 7.5%, 2 more, no class 2.5%"
    assert repr(result) == f"Segmentation(40 x 1 pixels: {shares})"
    assert repr(similarities) == "Similarities(8 words on (3, 4) cells)"
    assert repr(top) == "TopClasses(1, 1, 40)"
    assert repr(Segmentation(np.zeros((0, 4), np.int32), np.ones((0, 4), np.float32), ("a",))) == (
        "Segmentation(4 x 0 pixels: nothing)"
    )
