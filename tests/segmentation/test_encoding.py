"""What an image-text model sees of an encoded image, where the device's memory is short."""

import numpy as np
import pytest
import torch

from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.segmentation.encoding import SecondView
from fmbseg.segmentation.reduction import EncodedImage
from tests.segmentation.test_segmenter import SeeingImageText


def test_crops_that_do_not_fit_the_device_are_halved_and_that_is_said_once() -> None:
    class Small(SeeingImageText):
        def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
            if len(crops) > 2:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super().encode_image(crops)

    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    encoded = EncodedImage(image, torch.zeros(3, 48, 64), torch.zeros(16, 6, 8))
    expected = SecondView(SeeingImageText(), short_side=48, batch_size=8).of(encoded)
    assert expected.shape == (16, 6, 8)
    view = SecondView(Small(), short_side=48, batch_size=8)
    with pytest.warns(UserWarning, match="too little memory for 6 images at once: from here on 3") as told:
        found = [view.of(encoded) for _ in range(2)]
    assert len(told) == 1
    for one in found:
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-6)
