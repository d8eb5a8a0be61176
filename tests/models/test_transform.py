import numpy as np
import torch
from torchvision.transforms import functional  # type: ignore[import-untyped]

from fmbseg.models.transform import PixelTransform


def test_pixels_have_the_bits_of_torchvisions_formula() -> None:
    transform = PixelTransform(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    image = np.random.default_rng(0).integers(0, 256, (16, 48, 3), dtype=np.uint8)
    image[0, :, :] = np.arange(48)[:, None]
    found = transform(image, size=(16, 48))
    expected = functional.normalize(
        functional.to_tensor(image), mean=list(transform.mean), std=list(transform.std)
    )
    assert torch.equal(found, expected)
    flipped = transform(image[:, ::-1], size=(16, 48))  # not contiguous in memory
    assert torch.equal(flipped, expected.flip(-1))
