"""What is known about each built-in model without loading it: role, licence, and what it needs to run.

The registries are made from this table, so that each model is listed in one place only.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

from fmbseg.models.loading.assets import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE1,
    EFFICIENTNET_LITE2,
    MINILM,
    PackagedFile,
    fetch_mobilesam,
    packaged_file,
)
from fmbseg.models.loading.errors import AssetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

Role = Literal["backbone", "image-text encoder", "mask generator", "concept model"]

_HERE = "fmbseg.models"


def _no_weights() -> None:
    """Weights of a model that has none are always there."""


@dataclass(frozen=True)
class ModelCard:
    """One built-in model, or family of models.

    Args:
        name: name under which it is registered; the part of a spec before the colon.
        title: what it is, in a few words.
        role: the contract that it fulfils.
        license: licence of the weights.
        factory: ``module:attribute`` of what makes it.
        packages: distributions that it needs beyond the required dependencies.
        extra: pip extra of fmbseg that installs them.
        find_weights: raises AssetUnavailableError where its weights are not on this machine.
        fetch_weights: fetches them to this machine if it can, or raises the same error.
        from_hub: pattern of the plain names that may follow the colon in a spec that somebody else wrote;
            ``None`` where such a spec would always read files of this machine or run code.
        without_weights: whether it can be built without them, by ``weights=none``, to be described.
        listing: ``module:attribute`` of the function that lists the specs known by name.
        weightless: whether it has no weights at all.
    """

    name: str
    title: str
    role: Role
    license: str
    factory: str
    packages: tuple[str, ...] = ()
    extra: str = "offline"
    find_weights: Callable[[], object] = _no_weights
    fetch_weights: Callable[[], object] = _no_weights
    from_hub: str | None = None
    without_weights: bool = False
    listing: str | None = None
    weightless: bool = False

    @property
    def by_spec(self) -> bool:
        """Whether a spec names the weights after the colon; the card then knows nothing of them."""
        return self.find_weights is _no_weights and not self.weightless

    def lacks(self, *, fetch: bool = False) -> str | None:
        """Say in one line what keeps the model from running here and what to do; ``None`` if nothing does.

        Args:
            fetch: whether to fetch the weights if possible.
        """
        absent = [package for package in self.packages if not _is_installed(package)]
        if absent:
            return f"not installed: {', '.join(absent)}. pip install 'fmbseg[{self.extra}]'"
        try:
            (self.fetch_weights if fetch else self.find_weights)()
        except AssetUnavailableError as error:
            return str(error)
        return None


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _packaged(*files: PackagedFile) -> Callable[[], object]:
    """Make the function that finds weights that come with packages; it also serves as their fetcher."""
    return lambda: [packaged_file(file) for file in files]


_NAME = r"\w[\w.-]*"
_REPOSITORY = rf"{_NAME}/{_NAME}"
_ONE_MODEL = ""  # nothing may follow the colon
_LITES = (EFFICIENTNET_LITE2, EFFICIENTNET_LITE1, EFFICIENTNET_LITE0)


def _packaged_model(
    name: str, title: str, role: Role, factory: str, *files: PackagedFile, from_hub: str = _ONE_MODEL
) -> ModelCard:
    """A model whose weights come with packages."""
    return ModelCard(
        name,
        title,
        role,
        "Apache-2.0",
        f"{_HERE}.{factory}",
        from_hub=from_hub,
        packages=tuple(file.distribution for file in files),
        find_weights=_packaged(*files),
        fetch_weights=_packaged(*files),
    )


def _by_spec(name: str, title: str, role: Role, factory: str, **more: Any) -> ModelCard:
    """A family whose weights a spec names."""
    return ModelCard(name, title, role, "of the weights that are named", f"{_HERE}.{factory}", **more)


CARDS: tuple[ModelCard, ...] = (
    _packaged_model(
        "efficientnet_lite2",
        "EfficientNet-Lite2, strides 16 and 32 joined",
        "backbone",
        "backbones.efficientnet_lite:efficientnet_lite2",
        EFFICIENTNET_LITE2,
    ),
    _packaged_model(
        "efficientnet_lite2_classes",
        "EfficientNet-Lite2, strides 16 and 32 joined with its classes",
        "backbone",
        "backbones.efficientnet_lite:efficientnet_lite2_classes",
        EFFICIENTNET_LITE2,
    ),
    _packaged_model(
        "efficientnet_lite_classes",
        "EfficientNet-Lite2, strides 16 and 32 joined with the classes of Lite2, 1 and 0",
        "backbone",
        "backbones.efficientnet_lite:efficientnet_lite_classes",
        *_LITES,
    ),
    _packaged_model(
        "conse",
        "ConSE of EfficientNet-Lite2 and MiniLM",
        "image-text encoder",
        "image_text.conse:conse",
        EFFICIENTNET_LITE2,
        MINILM,
        from_hub=r"[\d.]*",
    ),
    _by_spec(
        "open_clip",
        "CLIP and SigLIP of open_clip: open_clip:ARCH/TAG, :hf-hub:OWNER/NAME, :local-dir:FOLDER, :ARCH@FILE",
        "image-text encoder",
        "image_text.open_clip:open_clip",
        from_hub=rf"{_NAME}/{_NAME}|hf-hub:{_REPOSITORY}",
    ),
    _by_spec(
        "hf",
        "CLIP, MetaCLIP 2, SigLIP, SigLIP 2, TIPSv2 and AIMv2 of transformers: hf:OWNER/NAME, "
        "hf:local-dir:FOLDER",
        "image-text encoder",
        "image_text.transformers_models:hf",
        from_hub=_REPOSITORY,
    ),
    ModelCard(
        "mobilesam",
        "MobileSAM in ONNX Runtime",
        "mask generator",
        "Apache-2.0",
        f"{_HERE}.mask_generators.mobilesam:mobilesam",
        packages=("onnx", "onnxruntime"),
        find_weights=lambda: fetch_mobilesam(local_files_only=True),
        fetch_weights=fetch_mobilesam,
    ),
    ModelCard(
        "sam",
        "SAM of segment-anything: sam:vit_h@CHECKPOINT (or vit_l, vit_b)",
        "mask generator",
        "Apache-2.0",
        f"{_HERE}.mask_generators.segment_anything:sam",
    ),
    _by_spec(
        "hf-sam",
        "SAM of transformers: hf-sam:OWNER/NAME, hf-sam:local-dir:FOLDER",
        "mask generator",
        "mask_generators.transformers_sam:hf_sam",
    ),
    _by_spec(
        "hf-sam2",
        "SAM 2 of transformers: hf-sam2:OWNER/NAME, hf-sam2:local-dir:FOLDER",
        "mask generator",
        "mask_generators.transformers_sam:hf_sam2",
    ),
    _by_spec(
        "hf-sam-hq",
        "SAM-HQ of transformers: hf-sam-hq:OWNER/NAME, hf-sam-hq:local-dir:FOLDER",
        "mask generator",
        "mask_generators.transformers_sam:hf_sam_hq",
    ),
    _by_spec(
        "onnx-sam",
        "SAM as two ONNX graphs: onnx-sam:ENCODER.onnx,DECODER.onnx",
        "mask generator",
        "mask_generators.onnx_sam:onnx_sam",
        packages=("onnx", "onnxruntime"),
        extra="onnx",
    ),
    ModelCard(
        "superpixels",
        "Felzenszwalb's superpixels, no weights",
        "mask generator",
        "BSD-3-Clause",
        f"{_HERE}.mask_generators.superpixels:superpixels",
        packages=("scikit-image",),
        weightless=True,
    ),
    _by_spec(
        "hf-sam3",
        "SAM 3 and SAM3-LiteText of transformers: hf-sam3:OWNER/NAME, hf-sam3:local-dir:FOLDER",
        "concept model",
        "concepts.sam3:hf_sam3",
    ),
    _by_spec(
        "clipseg",
        "CLIPSeg of transformers: clipseg:OWNER/NAME, clipseg:local-dir:FOLDER",
        "concept model",
        "concepts.clipseg:clipseg",
    ),
    ModelCard(
        "grounded",
        "a text-prompted detector of transformers with a mask generator: grounded:DETECTOR+MASKS",
        "concept model",
        "of both models that are named",
        f"{_HERE}.concepts.grounded:grounded",
    ),
)


def _family(name: str, title: str, factory: str, **more: Any) -> ModelCard:
    """A family of backbones; each model has its own licence."""
    return ModelCard(name, title, "backbone", "each its own", f"{_HERE}.backbones.{factory}", **more)


CARDS += (
    _family(
        "timm",
        "every model of timm",
        "from_timm:timm_backbone",
        from_hub=rf"{_NAME}|hf-hub:{_REPOSITORY}",
        without_weights=True,
        listing=f"{_HERE}.backbones.from_timm:known_specs",
    ),
    _family(
        "hf",
        "vision models of transformers",
        "from_hf:hf_backbone",
        from_hub=_REPOSITORY,
        without_weights=True,
        listing=f"{_HERE}.backbones.from_hf:known_specs",
    ),
    _family(
        "open_clip",
        "vision towers of open_clip",
        "from_open_clip:open_clip_backbone",
        from_hub=rf"{_NAME}/{_NAME}|hf-hub:{_REPOSITORY}",
        without_weights=True,
        listing=f"{_HERE}.backbones.from_open_clip:known_specs",
    ),
    _family(
        "sam",
        "image encoders of segment_anything",
        "from_sam:sam_backbone",
        from_hub=r"vit_[blh]",
        without_weights=True,
        listing=f"{_HERE}.backbones.from_sam:known_specs",
    ),
    _family("torch", "TorchScript and ExportedProgram files", "from_torch:torch_backbone"),
    _family("onnx", "ONNX files", "from_onnx:onnx_backbone", packages=("onnxruntime",), extra="onnx"),
    _family("local-dir", "folders downloaded from the Hub", "folders:folder_backbone", without_weights=True),
)


def factories(role: Role) -> dict[str, str]:
    """Return ``name -> "module:attribute"`` of the built-in models of one role.

    Example:
        >>> sorted(factories("mask generator"))
        ['hf-sam', 'hf-sam-hq', 'hf-sam2', 'mobilesam', 'onnx-sam', 'sam', 'superpixels']
    """
    return {card.name: card.factory for card in CARDS if card.role == role}


def find_card(role: Role, spec: str) -> ModelCard | None:
    """Return the card that a spec ``name`` or ``name:rest`` belongs to, if the model is built in."""
    name = spec.partition(":")[0]
    return next((card for card in CARDS if card.role == role and card.name == name), None)
