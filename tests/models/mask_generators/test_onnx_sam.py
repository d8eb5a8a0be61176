"""Pairs of ONNX graphs: MobileSAM's by path, files that are none, and graphs that give all four masks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fmbseg.models.loading.errors import WeightsError
from fmbseg.models.mask_generators.mobilesam import mobilesam
from fmbseg.models.mask_generators.onnx_sam import GraphDecoder, onnx_sam
from fmbseg.models.mask_generators.sam_frame import SamFrame
from fmbseg.models.registries import MASK_GENERATORS

POINT = [np.array([[30.0, 20.0]], np.float32)]


def test_a_pair_named_by_its_paths_is_the_same_model(mobilesam_files: tuple[Path, Path]) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 20:40] = 250
    encoder, decoder = mobilesam_files
    pair = MASK_GENERATORS.create(f"onnx-sam:{encoder},{decoder}", threads=1)
    assert pair.spec == f"onnx-sam:{encoder},{decoder}"
    known = mobilesam(threads=1)
    assert pair.begin(image).prompt(POINT).rles == known.begin(image).prompt(POINT).rles


@pytest.mark.parametrize("name", ["a.onnx", ",b.onnx", "a.onnx,"])
def test_what_is_no_pair_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no pair"):
        onnx_sam(name)


def test_missing_files_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file .*encoder"):
        onnx_sam(f"{tmp_path}/encoder.onnx,{tmp_path}/decoder.onnx")


@pytest.mark.parametrize("name", ["../a.onnx,/b.onnx", "/a.onnx,../b.onnx", "/a/../a.onnx,/b.onnx"])
def test_paths_that_climb_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"leads through '\.\.'"):
        onnx_sam(name)


def test_files_cut_short_and_swapped_are_refused(mobilesam_files: tuple[Path, Path], tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    decoder = mobilesam_files[1]
    short = tmp_path / "short.onnx"
    short.write_bytes(decoder.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"short\.onnx cannot be read"):
        onnx_sam(f"{short},{decoder}", threads=1).begin(image)
    with pytest.raises(WeightsError, match="it is not a SAM encoder"):
        onnx_sam(f"{decoder},{decoder}", threads=1).begin(image)


class FourMasks:
    """A session of a graph that was exported to return the single mask and the three candidates."""

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        assert outputs == ["low_res_masks", "iou_predictions"]
        assert inputs["point_labels"].tolist() == [[1, -1]]
        assert inputs["mask_input"].shape == (1, 1, 16, 16)
        masks = np.stack([np.full((16, 16), value, np.float32) for value in (9, 1, 2, 3)])[None]
        return [masks, np.array([[0.99, 0.1, 0.2, 0.3]], np.float32)]


def test_of_four_masks_the_three_candidates_are_taken() -> None:
    session: Any = FourMasks()
    decoder = GraphDecoder(session, SamFrame((8, 8), side=64), np.zeros((1, 256, 4, 4), np.float32))
    logits, ious = decoder.decode(np.array([[[3, 3]], [[5, 5]]], np.float32))
    assert logits[:, :, 0, 0].tolist() == [[1, 2, 3], [1, 2, 3]]
    assert ious[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
