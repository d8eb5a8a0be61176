"""What an Aligner is made of: what it was given, and for the rest what a recipe names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmbseg.aligned.config import check_backbone, check_text_encoder
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.contract_check import require_contract
from fmbseg.models.contracts import Backbone
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT

if TYPE_CHECKING:
    import torch

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes import Recipe


@dataclass
class Parts:
    """The frozen models of a training, and its settings.

    Args:
        backbone: the encoder.
        text_encoder: the model whose texts are learned; its spec until it is needed.
        settings: of the training.
        hubness: the weight that suits the head.
    """

    backbone: Backbone
    text_encoder: ImageTextEncoder | str
    settings: TrainingSettings
    hubness: float

    def loaded_text_encoder(self, device: torch.device, hub: HubOptions | None) -> ImageTextEncoder:
        """The text encoder on ``device``, loaded on first use."""
        if isinstance(self.text_encoder, str):
            self.text_encoder = create_model(IMAGE_TEXT, self.text_encoder, hub)
        self.text_encoder = self.text_encoder.to(device)
        return self.text_encoder


def loaded_backbone(backbone: Backbone | str, hub: HubOptions | None) -> Backbone:
    """The backbone itself, loaded if it is named by its spec.

    Raises:
        UnknownNameError: the registry does not know the spec.
        AssetUnavailableError: files are neither here nor available.
        ContractError: it lacks methods or attributes.
    """
    made = create_model(BACKBONES, backbone, hub) if isinstance(backbone, str) else backbone
    require_contract(made, Backbone, "the backbone")
    return made


def make_parts(
    recipe: Recipe | None,
    backbone: Backbone | str | None,
    text_encoder: ImageTextEncoder | str | None,
    settings: TrainingSettings | None,
    head: AlignmentHead | None,
    hub: HubOptions | None,
) -> Parts:
    """Load the backbone, and refuse parts that do not fit together.

    Args:
        recipe: names what is not given; ``None`` only where both models are.
        backbone: the frozen encoder, or its spec.
        text_encoder: the model whose texts are learned, or its spec.
        settings: of the training.
        head: where training starts.
        hub: how files are found.

    Raises:
        AlignedEncoderError: the head has other sizes.
        UnknownNameError: the registry does not know a spec.
        ContractError: the backbone lacks methods or attributes.
        ValueError: images smaller than a patch.
    """
    if recipe is not None:
        backbone = recipe.backbone if backbone is None else backbone
        text_encoder = recipe.image_text if text_encoder is None else text_encoder
    assert backbone is not None
    assert text_encoder is not None
    settings = settings or TrainingSettings.from_dict({} if recipe is None else recipe.training)
    made = loaded_backbone(backbone, hub)
    if isinstance(text_encoder, str):  # better to report a misspelt name now than after loading
        IMAGE_TEXT.get(text_encoder.partition(":")[0])
    if settings.image_size < made.stride:
        raise ValueError(
            f"image_size {settings.image_size} is less than one patch of {made.spec!r}, "
            f"which is {made.stride} px"
        )
    if head is not None:
        check_backbone(head.settings, made.spec, made.dim)
        if not isinstance(text_encoder, str):
            check_text_encoder(head.settings, text_encoder.spec, text_encoder.dim)
    return Parts(made, text_encoder, settings, 0.0 if recipe is None else recipe.hubness)
