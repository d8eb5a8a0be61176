"""Models of transformers from a folder: weights fitted strictly, no code of theirs run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.models.checkpoints import CheckpointError, reading
from fmbseg.models.model_folder import find_weights, model_folder, read_json
from fmbseg.models.transform import PixelTransform

if TYPE_CHECKING:
    from pathlib import Path

    from fmbseg.models.hub_files import HubOptions

PREPROCESSOR = "preprocessor_config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
_SHARDS = "model-*.safetensors"
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers


def transformers_folder(name: str, options: HubOptions) -> Path:
    """Return the folder of a model named ``owner/name`` or ``local-dir:/path``.

    Raises:
        AssetUnavailableError: the files are neither here nor to be had.
    """
    folder = model_folder(name, _WEIGHTS, options)
    if find_weights(folder, _WEIGHTS).name == _WEIGHTS[-1]:  # in several files
        return model_folder(name, _WEIGHTS[-1:], options, extra=(_SHARDS,))
    return folder


def load_transformer(model_class: Any, folder: Path) -> Any:
    """Make a model of transformers with the weights of a folder; every tensor must be there and fit.

    Args:
        model_class: with ``from_pretrained``.
        folder: with ``config.json`` and weights.

    Raises:
        CheckpointError: weights are damaged, missing in part or of another architecture.
    """
    weights = find_weights(folder, _WEIGHTS)
    with reading(weights, model_class.__name__):
        model, report = model_class.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are reported here, with all else that does not fit
        )
    missing, shapes = sorted(report["missing_keys"]), sorted(map(str, report["mismatched_keys"]))
    if missing or shapes:
        shown = ", ".join([*missing, *shapes][:3])
        raise CheckpointError(
            f"{weights} is not a checkpoint of {model_class.__name__} as {folder / 'config.json'} "
            f"describes it: "
            f"{len(missing)} tensors missing, {len(shapes)} of another shape ({shown}); keep weights and "
            f"configuration of one model together"
        )
    return model


def pixel_transform(folder: Path) -> PixelTransform:
    """Read the preprocessing that travels with a model of transformers.

    Raises:
        AssetUnavailableError: the folder has no preprocessor_config.json.
        CheckpointError: it states no mean, std or an interpolation that is not known.
    """
    path = folder / PREPROCESSOR
    stated = read_json(path)
    mean, std, resample = (stated.get(key) for key in ("image_mean", "image_std", "resample"))
    if not (_three(mean) and _three(std) and resample in _INTERPOLATIONS):
        raise CheckpointError(
            f"{path} states image_mean {mean!r}, image_std {std!r}, resample {resample!r}: three numbers, "
            f"three "
            f"numbers and 2 (bilinear) or 3 (bicubic) are needed, and fmbseg does not guess; get the "
            f"model's own"
        )
    return PixelTransform(tuple(mean), tuple(std), _INTERPOLATIONS[resample])  # type: ignore[arg-type]


def _three(values: object) -> bool:
    return isinstance(values, list) and len(values) == 3
