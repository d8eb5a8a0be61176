"""AlignedEncoder: a frozen backbone whose patches speak the language of a text encoder."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.aligned.config import AlignedConfig, AlignedEncoderError, check_backbone
from fmbseg.aligned.saved import SavedHead
from fmbseg.aligned.sharing import Shareable
from fmbseg.contract_check import require_contract
from fmbseg.devices import Device, find_device
from fmbseg.models.contracts import Backbone
from fmbseg.models.loading.create import create_model
from fmbseg.models.loading.hub_files import for_heads_and_models
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from fmbseg.models.transform import PixelTransform
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.aligned.prototypes import Prototypes
    from fmbseg.certainty import HeadCertainty
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.vocabulary import VocabularySource


class AlignedEncoder(Shareable):
    """Pixels to a grid of unit vectors in the text space, and words to unit vectors in the same space.

    Args:
        backbone: the frozen encoder.
        head: maps the backbone's patches to the text space; put in evaluation mode.
        text_encoder: the model of that text space; a spec is loaded when words are first encoded.
        prototypes: text vectors of the training's classes, so that their words need no text encoder.
        hubness: the weight that suits the head (see :class:`~fmbseg.segment_settings.SegmentSettings`).
        certainty: how likely its words are right, by their scores; saved with it.
        training: how the head was trained, as JSON values; saved with it.
        hub: how files of a text encoder that is yet to be loaded are found.

    Raises:
        AlignedEncoderError: the head's sizes do not fit the backbone or the text encoder.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: AlignmentHead,
        text_encoder: ImageTextEncoder | str,
        *,
        prototypes: Prototypes | None = None,
        hubness: float = 0.0,
        certainty: HeadCertainty | None = None,
        training: Mapping[str, Any] | None = None,
        hub: HubOptions | None = None,
    ) -> None:
        self.backbone = backbone
        self.head = head.eval()
        self.prototypes = prototypes
        self._text_encoder = text_encoder
        self.hub = hub
        self.config = AlignedConfig(
            backbone=backbone.spec,
            stride=backbone.stride,
            text_encoder=text_encoder if isinstance(text_encoder, str) else text_encoder.spec,
            text_dim=head.settings.out_dim if isinstance(text_encoder, str) else text_encoder.dim,
            head=head.settings,
            transform=backbone.transform if isinstance(backbone.transform, PixelTransform) else None,
            backbone_license=str(backbone.license),
            text_license="" if isinstance(text_encoder, str) else str(text_encoder.license),
            vocabulary=None if prototypes is None else prototypes.vocabulary,
            hubness=hubness,
            certainty=certainty,
            training=training or {},
        )
        check_backbone(head.settings, backbone.spec, backbone.dim)
        if hubness and prototypes is None:
            raise AlignedEncoderError(
                f"hubness {hubness:g} is measured against the words of the training: give their prototypes"
            )
        if prototypes is not None and prototypes.vectors.shape[1] != self.dim:
            raise AlignedEncoderError(
                f"the prototypes have {prototypes.vectors.shape[1]} dimensions, "
                f"but the head maps to {self.dim}"
            )

    @property
    def transform(self) -> PixelTransform:
        """Turns an RGB image into the pixels that :meth:`encode` takes."""
        return self.backbone.transform

    @property
    def stride(self) -> int:
        """Pixels between the cells of the grid."""
        return self.backbone.stride

    @property
    def dim(self) -> int:
        """Dimensions of the text space."""
        return self.head.settings.out_dim

    @property
    def hubness(self) -> float:
        """The weight that suits the head (see :class:`~fmbseg.segment_settings.SegmentSettings`)."""
        return self.config.hubness

    @property
    def certainty(self) -> HeadCertainty | None:
        """How likely its words are right, by their scores; None if not measured."""
        return self.config.certainty

    @property
    def device(self) -> torch.device:
        """Where the head is and results are."""
        return self.head.project.weight.device

    @property
    def text_encoder(self) -> ImageTextEncoder:
        """The text encoder, loaded on first use.

        Raises:
            AlignedEncoderError: it has another dimension than the head.
        """
        if isinstance(self._text_encoder, str):
            self.text_encoder = create_model(IMAGE_TEXT, self._text_encoder, self.hub).to(self.device)
        assert not isinstance(self._text_encoder, str)
        return self._text_encoder

    @text_encoder.setter
    def text_encoder(self, loaded: ImageTextEncoder) -> None:
        if loaded.dim != self.dim:
            raise AlignedEncoderError(
                f"the text encoder {self.config.text_encoder!r} has {loaded.dim} dimensions, but the head "
                f"maps to {self.dim}: it is not the model that the head was trained with"
            )
        self._text_encoder = loaded

    def to(self, device: torch.device | str) -> AlignedEncoder:
        """Move every part that is loaded to ``device`` and return self."""
        self.backbone = self.backbone.to(device)
        self.head.to(device)
        if not isinstance(self._text_encoder, str):
            self._text_encoder = self._text_encoder.to(device)
        return self

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode pixels (B, 3, H, W), H and W multiples of ``stride``, to unit vectors (B, D, h, w)."""
        aligned: torch.Tensor = self.head(self.backbone.encode(pixels.to(self.device)).float())
        return aligned

    @torch.no_grad()
    def encode_text(self, vocabulary: VocabularySource) -> torch.Tensor:
        """Encode K classes to unit vectors (K, D), without the text encoder where all are prototypes."""
        wanted = Vocabulary.of(vocabulary)
        known = None if self.prototypes is None else self.prototypes.of(wanted)
        vectors = embed_vocabulary(self.text_encoder, wanted) if known is None else known
        return vectors.to(self.device)

    def describe(self) -> dict[str, Any]:
        """Describe what this encoder is made of, as JSON values; equal only for equal heads."""
        return {
            "backbone": self.config.backbone,
            "text_encoder": self.config.text_encoder,
            "head_sha256": self.to_save().digest(),
            "hubness": self.hubness,
        }

    def with_training(self, training: Mapping[str, Any]) -> AlignedEncoder:
        """The same encoder with another account of how it was trained."""
        other = copy.copy(self)
        other.config = replace(self.config, training=training)
        return other

    def to_save(self) -> SavedHead:
        """What :meth:`save_pretrained` writes: the head and its prototypes, the frozen models by spec."""
        return SavedHead(self.config, self.head, self.prototypes)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        backbone: Backbone | str | None = None,
        text_encoder: ImageTextEncoder | str | None = None,
        device: Device = None,
        hub: HubOptions | None = None,
    ) -> AlignedEncoder:
        """Load a head from a folder or the Hub; the registry makes the frozen models.

        Only the head's files and the weights of the frozen models are read. A head from the Hub may name
        only models on the Hub; others are refused unless you name them yourself.

        Args:
            source: a folder that :meth:`save_pretrained` wrote; or, where there is no such folder, a head
                that comes with the package (``"offline"``) or ``owner/name`` of a repository on the Hub.
            revision: of that repository: a branch, a tag or a commit; the main branch if not given.
            token: for a private repository; the one of ``hf auth login`` if not given.
            cache_dir: folder for the Hub's files, if not the client's own.
            local_files_only: never use the network.
            backbone: an instance or a spec to use instead of the one that the head names.
            text_encoder: an instance or a spec to use instead of the one that the head names.
            device: where to put it; by default the best there is.
            hub: how files of the frozen models are found; by default like those of the head. Their revisions
                are part of their specs.

        Raises:
            AlignedEncoderError: a file is missing or damaged, the schema is unknown, a tensor has a wrong
                shape or NaN, or a model has another size or normalisation than the head was trained on.
            AssetUnavailableError: files of the head or the backbone are neither here nor available.
            UntrustedSpecError: a head from the Hub names a model that reads files of this machine.
            UnknownNameError: the registry does not know a spec.
            DeviceError: there is no such device.
        """
        on = find_device(device)
        of_head, of_models = for_heads_and_models(hub, revision, token, cache_dir, local_files_only)
        saved = SavedHead.find(source, of_head)
        saved.check_trust(backbone_given=backbone is not None, text_encoder_given=text_encoder is not None)
        if backbone is None or isinstance(backbone, str):
            backbone = create_model(BACKBONES, backbone or saved.config.backbone, of_models)
        require_contract(backbone, Backbone, "the backbone")
        _check_backbone(backbone, saved.config, source)
        encoder = cls(
            backbone,
            saved.head,
            text_encoder if text_encoder is not None else saved.config.text_encoder,
            prototypes=saved.prototypes,
            hubness=saved.config.hubness,
            certainty=saved.config.certainty,
            training=saved.config.training,
            hub=of_models,
        )
        if text_encoder is None and saved.config.text_license:
            encoder.config = replace(encoder.config, text_license=saved.config.text_license)
        return encoder.to(on)


def _check_backbone(backbone: Backbone, config: AlignedConfig, source: object) -> None:
    if backbone.stride != config.stride:
        raise AlignedEncoderError(
            f"the backbone {backbone.spec!r} has stride {backbone.stride}, but the head in {source} was "
            f"trained on {config.backbone!r} of stride {config.stride}"
        )
    if config.transform is not None and backbone.transform != config.transform:
        raise AlignedEncoderError(
            f"the backbone {backbone.spec!r} takes pixels by {backbone.transform}, but the head in {source} "
            f"was trained on {config.backbone!r} with {config.transform}"
        )
