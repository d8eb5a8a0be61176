"""AlignedEncoder: a frozen backbone whose patches speak the language of a text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.aligned.config import AlignedConfig, AlignedEncoderError
from fmbseg.aligned.files import WEIGHTS_FILE, check_shapes, digest_of, find_saved, read_files, write_files
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.contract import require_contract
from fmbseg.models.contracts import Backbone
from fmbseg.models.loading import create_model
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fmbseg.aligned.head_settings import HeadSettings
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.hub_files import HubOptions
    from fmbseg.models.transform import PixelTransform
    from fmbseg.vocabulary import VocabularySource

_HEAD = "head."
_PROTOTYPES = "prototypes"


class AlignedEncoder:
    """Pixels to a grid of unit vectors in the text space, and words to unit vectors in the same space.

    Args:
        backbone: the frozen encoder.
        head: maps the backbone's patches to the text space; put in evaluation mode.
        text_encoder: whose text space that is; a spec is loaded when words are first encoded.
        prototypes: text vectors of the classes of the training, so that their words need no text encoder.
        training: how the head was trained, as JSON values; saved with it.
        hub: how files of a text encoder that is still to be loaded are looked for.

    Raises:
        AlignedEncoderError: the head fits the backbone or the text encoder not in size.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: AlignmentHead,
        text_encoder: ImageTextEncoder | str,
        *,
        prototypes: Prototypes | None = None,
        training: Mapping[str, Any] | None = None,
        hub: HubOptions | None = None,
    ) -> None:
        self.backbone = backbone
        self.head = head.eval()
        self.prototypes = prototypes
        self._text_encoder = text_encoder
        self._hub = hub
        self.config = AlignedConfig(
            backbone=backbone.spec,
            stride=backbone.stride,
            text_encoder=text_encoder if isinstance(text_encoder, str) else text_encoder.spec,
            text_dim=head.settings.out_dim if isinstance(text_encoder, str) else text_encoder.dim,
            head=head.settings,
            vocabulary=None if prototypes is None else prototypes.vocabulary,
            training=training or {},
        )
        if head.settings.in_dim != backbone.dim:
            raise AlignedEncoderError(
                f"the head takes {head.settings.in_dim} channels, but the backbone {backbone.spec!r} gives "
                f"{backbone.dim}: use the backbone that the head was trained on"
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
            loaded = create_model(IMAGE_TEXT, self._text_encoder, self._hub)
            if loaded.dim != self.dim:
                raise AlignedEncoderError(
                    f"the text encoder {self._text_encoder!r} has {loaded.dim} dimensions, but the head maps "
                    f"to {self.dim}: it is not the model that the head was trained with"
                )
            self._text_encoder = loaded.to(self.device)
        return self._text_encoder

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
        """Say what this encoder is made of, as JSON values; equal only for equal heads."""
        return {
            "backbone": self.config.backbone,
            "text_encoder": self.config.text_encoder,
            "head_sha256": digest_of(self.head.state_dict()),
        }

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` (head and prototypes; the frozen models by spec).

        Args:
            folder: made if it does not exist; files of an earlier save are replaced.
        """
        tensors = {_HEAD + name: tensor for name, tensor in self.head.state_dict().items()}
        if self.prototypes is not None:
            tensors[_PROTOTYPES] = self.prototypes.vectors
        write_files(Path(folder), self.config, tensors)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        backbone: Backbone | None = None,
        text_encoder: ImageTextEncoder | None = None,
        device: torch.device | str = "cpu",
        hub: HubOptions | None = None,
    ) -> AlignedEncoder:
        """Load what :meth:`save_pretrained` wrote; the frozen models are made by the registry.

        Args:
            folder: with ``config.json`` and ``model.safetensors``; or, where there is no such folder,
                ``owner/name`` of a repository on the Hub that holds the two files.
            backbone: an instance to use instead of making one from the saved spec.
            text_encoder: likewise.
            device: where to put it.
            hub: how files of the frozen models are looked for; their revisions stand in their specs.

        Raises:
            AlignedEncoderError: a file is missing or damaged, the schema is unknown, a tensor has a wrong
                shape or NaN, or a model has another size than the head.
            AssetUnavailableError: it is on the Hub, and the Hub cannot be reached.
            UnknownNameError: the registry does not know a spec.
            AssetUnavailableError: files of the backbone are neither here nor to be had.
        """
        folder = find_saved(folder)
        config, tensors = read_files(folder)
        head, prototypes = _restore(config, tensors, folder / WEIGHTS_FILE)
        if backbone is None:
            backbone = create_model(BACKBONES, config.backbone, hub)
        require_contract(backbone, Backbone, "the backbone")
        if backbone.stride != config.stride:
            raise AlignedEncoderError(
                f"the backbone {backbone.spec!r} has stride {backbone.stride}, but the head in {folder} was "
                f"trained on {config.backbone!r} of stride {config.stride}"
            )
        encoder = cls(
            backbone,
            head,
            text_encoder if text_encoder is not None else config.text_encoder,
            prototypes=prototypes,
            training=config.training,
            hub=hub,
        )
        return encoder.to(device)


def _restore(
    config: AlignedConfig, tensors: dict[str, torch.Tensor], where: Path
) -> tuple[AlignmentHead, Prototypes | None]:
    """Build the head and the prototypes; nothing is allocated before the shapes are known to fit."""
    with torch.device("meta"):
        head = _head_of(config.head)
    expected = {_HEAD + name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    if config.vocabulary is not None:
        expected[_PROTOTYPES] = (len(config.vocabulary), config.head.out_dim)
    check_shapes(tensors, expected, where)
    vectors = tensors.pop(_PROTOTYPES, None)
    head.load_state_dict({name.removeprefix(_HEAD): tensor for name, tensor in tensors.items()}, assign=True)
    if config.vocabulary is None or vectors is None:
        return head, None
    return head, Prototypes(config.vocabulary, vectors)


def _head_of(settings: HeadSettings) -> AlignmentHead:
    return AlignmentHead(
        settings.in_dim, settings.out_dim, settings.heads, settings.mlp_ratio, kind=settings.kind
    )
