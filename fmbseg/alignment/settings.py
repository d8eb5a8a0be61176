"""Every number of Stage 2 in one place, checked once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from fmbseg.aligned.head_settings import HEAD_KINDS, HeadKind
from fmbseg.unknown_name import check_names

if TYPE_CHECKING:
    from collections.abc import Mapping

Optimizer = Literal["sgd", "adamw"]
LossName = Literal["tsupcon", "cross_entropy", "supcon_cross_entropy", "clip", "text", "image"]
Classes = Literal["dataset", "batch"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(Optimizer),
    "precision": get_args(TrainingPrecision),
    "loss": get_args(LossName),
    "classes": get_args(Classes),
    "head_kind": HEAD_KINDS,
}
_COUNTS = ("epochs", "batch_size", "image_size")
_POSITIVE = ("learning_rate", "temperature", "mlp_ratio")
_NOT_NEGATIVE = (
    *("momentum", "weight_decay", "cache_gb", "dense_weight"),
    *("mask_weight", "mask_class_weight"),
    *("warmup", "validation", "similarity_power", "iou_power", "distillation"),
)
_BELOW_ONE = ("momentum", "warmup", "validation")


@dataclass(frozen=True)
class TrainingSettings:
    """How the head is trained.

    The paper (section 4.1) states SGD with cosine annealing, 5 photographs a batch and 10 epochs; the other
    values are not stated there. Its equations have no temperature, that is, a temperature of 1; 0.07 is
    SupCon's, without which the losses of aligned and of collapsed vectors differ by less than one nat.

    Args:
        epochs: passes over the photographs.
        batch_size: photographs whose patches are contrasted with one another.
        patches_per_image: how many patches of a photograph take part in an epoch, drawn anew in each; None
            for all. Few patches of many photographs say more in one step than all patches of few, which are
            much alike. Raise ``batch_size`` and ``epochs`` as this falls.
        learning_rate: at the start; it falls to 0 along a cosine. For ``"adamw"``, about 1e-3.
        momentum: of SGD.
        weight_decay: of either optimiser.
        optimizer: ``"sgd"`` or ``"adamw"``.
        loss: its name; the paper's is ``"tsupcon"``, the others serve for comparison (see
            :mod:`fmbseg.alignment.losses.rivals`).
        temperature: divides every dot product of the loss.
        exclude_self: leave a patch out of its own positives (see
            :func:`~fmbseg.alignment.losses.tsupcon.tsupcon`).
        text_weight: weight of the texts relative to the patches in the loss; None is the printed form.
        classes: whose texts serve as wrong answers in the loss: those of the ``"dataset"``, as printed, or
            of the ``"batch"``.
        head_kind: kind of a new head; the paper's is ``"block"`` (see
            :class:`~fmbseg.aligned.head.AlignmentHead`). A head that is given keeps its own.
        mlp_ratio: hidden width of a new head's MLP, as a multiple of the backbone's channels.
        dense_weight: of a term beside TSupCon that draws every patch, labelled or not, to what the image-text
            model itself sees there: one minus the cosine to its dense map. Not in the paper; 0 leaves it out.
            It teaches words that no label has, and what is near a class.
        mask_weight: of a term that draws every patch to the mean feature of the masks that it lies in (see
            :class:`~fmbseg.alignment.mask_targets.MaskFeatures`): one minus the cosine. Not in the paper; 0
            leaves it out. It needs labels that have kept these features.
        mask_class_weight: the same for the Kullback-Leibler divergence of the patch's softmax over classes
            from that of this feature, at ``temperature``: soft labels instead of one class a patch.
        image_size: short side in pixels that photographs are resized to, rounded to the backbone's stride.
        min_coverage: share of a patch's pixels that its class must cover, else the patch has no label.
        seed: of the head's first weights and the order of the photographs.
        cache_gb: gigabytes (1e9 bytes) that the backbone's features may take on disk; beyond that they
            are computed again in every epoch; 0 never keeps them.
        warmup: share of all steps in which the learning rate rises from near 0, before the cosine begins.
        max_gradient_norm: a longer gradient (over all weights) is scaled down to this; None leaves it.
        precision: what the head computes in; weights, the loss and gradients stay float32. ``"auto"`` is
            bfloat16 on a CUDA device that has it, and exact float32 elsewhere.
        validation: share of the photographs, drawn by the seed, that is not trained on; after each epoch the
            head is measured against their pseudo labels.
        cross_validation: parts to deal the photographs into, where training starts from a head, to find after
            how many epochs to stop, or whether to keep that head
            (:func:`~fmbseg.alignment.selection.select_epochs`); 0 trains for all epochs.
        similarity_power: a patch takes part in an epoch with the probability (similarity of its mask to its
            class / the highest in the labels) to this power; 0 takes all. See
            :class:`~fmbseg.alignment.noise.LabelNoise`.
        iou_power: the same with the mask model's predicted IoU.
        class_cap: patches of one class in an epoch, on average, at most; None for no limit.
        distillation: weight of a term that preserves what the head that training starts from says of its
            old words (see :class:`~fmbseg.alignment.distillation.OldVocabulary`); 0 lets it forget.
        gather: with several processes, contrast the patches of all of them with one another, as one process
            with all their photographs would; otherwise each process contrasts its own.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> TrainingSettings(epochs=0)
        Traceback (most recent call last):
        ...
        ValueError: epochs is 0: it must be a positive whole number
    """

    epochs: int = 10
    batch_size: int = 5
    patches_per_image: int | None = None
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    optimizer: Optimizer = "sgd"
    loss: LossName = "tsupcon"
    temperature: float = 0.07
    exclude_self: bool = False
    text_weight: float | None = None
    classes: Classes = "dataset"
    head_kind: HeadKind = "block"
    mlp_ratio: float = 4.0
    dense_weight: float = 0.0
    mask_weight: float = 0.0
    mask_class_weight: float = 0.0
    image_size: int = 448
    min_coverage: float = 0.5
    seed: int = 0
    cache_gb: float = 20.0
    warmup: float = 0.0
    max_gradient_norm: float | None = None
    precision: TrainingPrecision = "auto"
    validation: float = 0.0
    cross_validation: int = 0
    similarity_power: float = 0.0
    iou_power: float = 0.0
    class_cap: int | None = None
    distillation: float = 0.0
    gather: bool = True

    def __post_init__(self) -> None:
        for name in _COUNTS:
            self._require(name, _is_int(self._of(name)) and self._of(name) >= 1, "a positive whole number")
        for name in _POSITIVE:
            self._require(name, _is_real(self._of(name)) and self._of(name) > 0, "a positive number")
        for name in ("text_weight", "max_gradient_norm"):
            value = self._of(name)
            self._require(name, value is None or (_is_real(value) and value > 0), "positive or None")
        for name in ("class_cap", "patches_per_image"):
            most = self._of(name)
            self._require(
                name, most is None or (_is_int(most) and most >= 1), "a positive whole number or None"
            )
        for name in _NOT_NEGATIVE:
            self._require(name, _is_real(self._of(name)) and self._of(name) >= 0, "a number of at least 0")
        for name in _BELOW_ONE:
            self._require(name, self._of(name) < 1, "below 1")
        parts = self.cross_validation
        self._require("cross_validation", _is_int(parts) and parts >= 0 and parts != 1, "0, or 2 or more")
        coverage = self.min_coverage
        self._require("min_coverage", _is_real(coverage) and 0 < coverage <= 1, "above 0 and at most 1")
        self._require("seed", _is_int(self.seed) and 0 <= self.seed < 2**63, "a whole number, 0 to 2**63 - 1")
        for name in ("exclude_self", "gather"):
            self._require(name, isinstance(self._of(name), bool), "true or false")
        for name, choices in _CHOICES.items():
            self._require(name, self._of(name) in choices, f"one of {', '.join(map(repr, choices))}")

    def _of(self, name: str) -> Any:
        return getattr(self, name)

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {self._of(name)!r}: it must be {what}")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TrainingSettings:
        """The settings that :meth:`to_dict` turned into ``saved``; missing ones take their defaults.

        Raises:
            UnknownNameError: no setting has that name; near misses are offered.
            ValueError: a value outside its range.
        """
        check_names("setting of Stage 2", saved, [field.name for field in fields(cls)])
        return cls(**saved)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
