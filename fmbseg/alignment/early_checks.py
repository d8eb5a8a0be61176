"""What identifies a training, and what can be refused before a model is loaded or anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmbseg.aligned.files import digest_of
from fmbseg.alignment.examples import check_labels
from fmbseg.alignment.reports import check_logs
from fmbseg.models.dense import DenseBackbone
from fmbseg.models.weight_probe import probe_backbone, probe_text_encoder

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.alignment.checkpoint import Checkpoint
    from fmbseg.alignment.distributed import Processes
    from fmbseg.alignment.label_source import LabelSource
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.models.contracts import Backbone, ImageTextEncoder


def check_early(
    source: LabelSource,
    identity: dict[str, Any],
    checkpoint: Checkpoint | None = None,
    logs: str | Path | None = None,
    *,
    tensorboard: bool = False,
) -> None:
    """Refuse what can be refused before a model is loaded, in seconds.

    Args:
        source: the labels.
        identity: :func:`training_identity`.
        checkpoint: where the training will be kept.
        logs: folder for log files.
        tensorboard: whether events for TensorBoard are wanted.

    Raises:
        TrainingDataError: see :func:`~fmbseg.alignment.examples.check_labels`.
        TrainingCheckpointError: the checkpoint is damaged, or of other labels or settings.
        WouldReplaceError: the folder holds files of the logs' names that are not such logs.
        ValueError: events without a folder for them.
        MissingPackageError: tensorboard is asked for and not installed.
    """
    check_logs(logs, tensorboard=tensorboard)
    check_labels(source)
    if checkpoint is not None:
        checkpoint.check(identity)


def training_identity(fingerprint: str, settings: TrainingSettings, processes: Processes) -> dict[str, Any]:
    """What identifies a training, as far as it is known without models.

    Args:
        fingerprint: of the labels.
        settings: of the training.
        processes: how many train.
    """
    plain = settings.to_dict()
    del plain["cache_gb"]  # where features are kept does not change them
    return {"labels": fingerprint, "processes": processes.count, "settings": plain}


def open_checkpoint(
    checkpoint: Checkpoint,
    identity: dict[str, Any],
    backbone: Backbone,
    text_encoder: ImageTextEncoder,
    head: AlignmentHead,
    device: torch.device,
) -> None:
    """Read this training from a checkpoint, and refuse the checkpoint of another.

    Args:
        checkpoint: to open.
        identity: :func:`training_identity`.
        backbone: the frozen encoder; identified by its spec and weights.
        text_encoder: identified by its spec and weights; on ``device``.
        head: with its first weights.
        device: to compute on.

    Raises:
        TrainingCheckpointError: see :meth:`~fmbseg.alignment.checkpoint.Checkpoint.open`.
    """
    names = {
        "backbone": backbone.spec,
        "text encoder": text_encoder.spec,
        "first weights": digest_of(head.state_dict()),
    }
    probes = {
        "backbone": probe_backbone(backbone.to(device), device),
        "text encoder": probe_text_encoder(text_encoder),
    }
    if identity["settings"]["dense_weight"]:
        dense = DenseBackbone(text_encoder, backbone.stride)
        probes["dense map of the text encoder"] = probe_backbone(dense, device)
    checkpoint.open({**identity, **names}, probes)
