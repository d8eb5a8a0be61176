import pytest
import torch

from fmbseg.models.backbones.efficientnet_lite import (
    EfficientNetLite2,
    efficientnet_lite2_classes,
    efficientnet_lite_classes,
)
from fmbseg.models.contracts import Backbone
from fmbseg.models.efficientnet_lite import LITE0, LITE1, load_classifier
from tests.models.backbones.contract import BackboneContract
from tests.models.photographs import photograph


class TestEfficientNetLite2(BackboneContract):
    @pytest.fixture
    def backbone(self, efficientnet: EfficientNetLite2) -> Backbone:
        return efficientnet


class TestWithClasses(BackboneContract):
    @pytest.fixture
    def backbone(self) -> Backbone:
        return efficientnet_lite2_classes()


def test_the_classes_are_the_roots_of_the_classifiers_probabilities(efficientnet: EfficientNetLite2) -> None:
    backbone = efficientnet_lite2_classes()
    pixels = backbone.transform(photograph("coffee.png"), size=(64, 96))[None]
    features = backbone.encode(pixels)
    assert features.shape == (1, backbone.dim, 4, 6) == (1, 1472, 4, 6)
    torch.testing.assert_close(features[:, :472], efficientnet.encode(pixels))
    model = load_classifier()
    cells = model.forward_features(pixels)[0].flatten(1).T  # 2 x 3 of stride 32
    roots = (1000 * model.classifier(cells).softmax(dim=1)).sqrt()
    # In a row of three cells up-sampled by 2, the second of six is a quarter of the way from first to second.
    torch.testing.assert_close(
        features[0, 472:, 0, 1], 0.75 * roots[0] + 0.25 * roots[1], rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(roots.square().mean(dim=1), torch.ones(6))


class TestWithClassesOfThreeNetworks(BackboneContract):
    @pytest.fixture
    def backbone(self) -> Backbone:
        return efficientnet_lite_classes()


def test_each_network_says_what_its_classifier_says() -> None:
    backbone = efficientnet_lite_classes()
    pixels = backbone.transform(photograph("coffee.png"), size=(32, 32))[None]  # one cell of stride 32
    features = backbone.encode(pixels)
    assert features.shape == (1, backbone.dim, 2, 2) == (1, 3472, 2, 2)
    torch.testing.assert_close(features[:, :1472], efficientnet_lite2_classes().encode(pixels))
    for start, network in ((1472, LITE1), (2472, LITE0)):
        probabilities = load_classifier(network)(pixels).softmax(dim=1)[0]
        expected = (1000 * probabilities).sqrt()[:, None, None].expand(-1, 2, 2)
        torch.testing.assert_close(features[0, start : start + 1000], expected, rtol=1e-3, atol=1e-4)


def stages_of_the_whole_classifier(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Strides 16 and 32, block by block through the classifier, not through timm's feature extractor."""
    model = load_classifier()
    features = model.bn1(model.conv_stem(pixels))
    maps = []
    for block in model.blocks:
        features = block(features)
        maps.append(features)
    return maps[4], maps[6]


@pytest.mark.parametrize("size", [(64, 96), (48, 80)])  # even and odd multiples of 16
def test_joins_strides_16_and_32_cell_by_cell(efficientnet: EfficientNetLite2, size: tuple[int, int]) -> None:
    pixels = efficientnet.transform(photograph("coffee.png"), size=size)[None]
    fine, coarse = stages_of_the_whole_classifier(pixels)
    features = efficientnet.encode(pixels)
    torch.testing.assert_close(features[:, :120], fine)
    # Bilinear by 2, by hand: the first cell repeats, then they mix 3:1 and 1:3.
    top = coarse[0, :, 0]
    expected = [top[:, 0], 0.75 * top[:, 0] + 0.25 * top[:, 1], 0.25 * top[:, 0] + 0.75 * top[:, 1]]
    torch.testing.assert_close(features[0, 120:, 0, :3], torch.stack(expected, dim=1))
