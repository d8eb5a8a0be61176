"""One training of an Aligner: from labels and frozen models to the head, everything refused first."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.aligned.config import check_text_encoder
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.alignment.checkpoint import Checkpoint
from fmbseg.alignment.distillation import OldVocabulary, joined_vocabulary
from fmbseg.alignment.early_checks import check_early, open_checkpoint, training_identity
from fmbseg.alignment.examples import training_data
from fmbseg.alignment.feature_work import DenseMap, FeatureWork, fill_on, sent_as
from fmbseg.alignment.features import FeatureCache, check_grid, filled
from fmbseg.alignment.label_source import models_without_paths
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.reports import TrainingReports
from fmbseg.alignment.selection import select_epochs
from fmbseg.alignment.trainer import EpochRecord, train
from fmbseg.alignment.training_example import training_size
from fmbseg.models.dense import DenseBackbone
from fmbseg.models.hubness import NEIGHBOURS
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from fmbseg.alignment.distributed import Processes
    from fmbseg.alignment.label_source import LabelSource
    from fmbseg.alignment.parts import Parts
    from fmbseg.alignment.selection import Selection
    from fmbseg.alignment.settings import TrainingSettings
    from fmbseg.alignment.training_example import TrainingExample
    from fmbseg.engines.engine import Engine
    from fmbseg.models.contracts import Backbone
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.progress import Progress
    from fmbseg.vocabulary import Vocabulary

    Elsewhere = Callable[[Sequence[TrainingExample], str, Progress], None] | None

_FEWEST_WORDS = 10 * NEIGHBOURS
"""Fewest training words that hubness is measured against: of fewer, the nearest would be most of them."""


@dataclass(frozen=True)
class Ground:
    """Where a training computes, and from where it starts.

    Attributes:
        processes: that take every step together.
        device: where this one computes.
        hub: how files of the frozen models are found.
        features_dir: where features of the backbone are kept.
        head: that is copied and trained; None for a new one.
        start: the trained encoder that ``head`` is of, if it is of one.
        engine: computes the backbone's features; None for this process.
    """

    processes: Processes
    device: torch.device
    hub: HubOptions | None
    features_dir: Path
    head: AlignmentHead | None = None
    start: AlignedEncoder | None = None
    engine: Engine | None = None


@dataclass(frozen=True)
class Keeping:
    """What is kept of a training while it goes on; see :meth:`fmbseg.Aligner.fit`."""

    checkpoint: Checkpoint | str | Path | None
    logs: str | Path | None
    tensorboard: bool

    def opened(self) -> Checkpoint | None:
        """The checkpoint itself."""
        return Checkpoint(self.checkpoint) if isinstance(self.checkpoint, str | Path) else self.checkpoint


def new_head(in_dim: int, out_dim: int, settings: TrainingSettings) -> AlignmentHead:
    """The head that a training starts from if none is given; its seed makes its weights.

    Args:
        in_dim: channels of the backbone.
        out_dim: dimensions of the text space.
        settings: of the training.
    """
    # The caller's random numbers are left as they were.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        return AlignmentHead(in_dim, out_dim, mlp_ratio=settings.mlp_ratio, kind=settings.head_kind)


class Fitting:
    """A training that is ready to begin: all that can be refused has been, and features are computed.

    Args:
        parts: the frozen models, and the settings.
        ground: where it computes and starts.
        source: the labels.
        keeping: what is kept.
        bars: where it is shown.
        files: closes what is open when the training ends.

    Attributes:
        selection: what cross-validation chose; None where it was not asked for.

    Raises:
        ValueError: and others; see :meth:`fmbseg.Aligner.fit`.
    """

    def __init__(
        self,
        parts: Parts,
        ground: Ground,
        source: LabelSource,
        keeping: Keeping,
        bars: Progress,
        files: ExitStack,
    ) -> None:
        self._parts, self._ground, self._source = parts, ground, source
        self._settings = settings = parts.settings
        self._fingerprint, self._kept = source.fingerprint, keeping.opened()
        if self._kept is not None and ground.processes.main:
            files.enter_context(self._kept)
        identity = training_identity(self._fingerprint, settings, ground.processes)
        check_early(source, identity, self._kept, keeping.logs, tensorboard=keeping.tensorboard)
        old = self._old_vocabulary()
        self._text_encoder = parts.loaded_text_encoder(ground.device, ground.hub)
        self._head = self._new_head()
        size = training_size((2, 3), settings.image_size, parts.backbone.stride)  # like a photograph
        check_grid(parts.backbone, size, ground.device)
        if self._kept is not None:
            models = parts.backbone, self._text_encoder, self._head, ground.device
            open_checkpoint(self._kept, identity, *models)
        self._data = training_data(source, settings, parts.backbone.stride, bars.track)
        if self._data.unlabelled:
            left_out = f"{self._data.unlabelled} of {len(source)} photographs have no labelled patch"
            bars.note(f"{left_out}: left out")
        vectors, self._prototypes = self._texts(self._data.vocabulary, old)
        features, dense = self._features(bars, files)
        self._objective = Objective(features, vectors, settings, dense, old, ground.processes)
        self.selection = self._select(bars)
        self._reports: TrainingReports | None = None
        if self._epochs:
            self._reports = files.enter_context(self._reported(keeping, bars))

    def train(self) -> None:
        """Train the head, unless that of the start is kept.

        Raises:
            TrainingDivergedError: see :func:`~fmbseg.alignment.trainer.train`.
        """
        if self._reports is not None:
            train(
                self._head.to(self._ground.device),
                self._data.examples,
                self._objective,
                held_out=self._data.held_out,
                until=self._epochs,
                checkpoint=self._kept,
                on_step=self._reports.step,
                on_epoch=self._reports.epoch,
            )

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """A record of each finished epoch."""
        return () if self._reports is None else tuple(self._reports.history)

    @property
    def encoder(self) -> AlignedEncoder:
        """The backbone with the head as it is now, or the start where that is kept."""
        start = self._ground.start
        if start is not None and self._reports is None:
            return start.with_training({**start.config.training, "kept": self._record()})
        hubness = self._parts.hubness if start is None else start.hubness
        return AlignedEncoder(
            self._parts.backbone,
            self._head,
            self._text_encoder,
            prototypes=self._prototypes,
            hubness=hubness if len(self._prototypes.vocabulary) >= _FEWEST_WORDS else 0.0,
            training=self._record(),
        )

    @property
    def _epochs(self) -> int:
        """After how many to stop; 0 keeps the start."""
        return self._settings.epochs if self.selection is None else self.selection.epochs

    def _reported(self, keeping: Keeping, bars: Progress) -> TrainingReports:
        processes = self._ground.processes
        return TrainingReports(
            bars,
            self._epochs,
            len(self._data.examples),
            self._settings.batch_size * processes.count,
            start=None if self._kept is None else self._kept.state,
            logs=keeping.logs if processes.main else None,
            tensorboard=keeping.tensorboard,
        )

    def _new_head(self) -> AlignmentHead:
        given, text_encoder = self._ground.head, self._text_encoder
        if given is None:
            return new_head(self._parts.backbone.dim, text_encoder.dim, self._settings)
        check_text_encoder(given.settings, text_encoder.spec, text_encoder.dim)
        return copy.deepcopy(given)

    def _old_vocabulary(self) -> OldVocabulary | None:
        """The words to retain, if the settings ask for it."""
        weight, ground = self._settings.distillation, self._ground
        if not weight:
            return None
        known = None if ground.start is None else ground.start.prototypes
        if ground.head is None or known is None:
            raise ValueError(
                f"distillation {weight:g} retains the words of a trained head, and there is none to start "
                "from: use Aligner.from_pretrained, or set it to 0"
            )
        return OldVocabulary(ground.head, known, self._settings.temperature).to(ground.device)

    def _texts(self, words: Vocabulary, old: OldVocabulary | None) -> tuple[torch.Tensor, Prototypes]:
        """Text vectors of the classes, and those to save, which include retained words."""
        known = words if old is None else joined_vocabulary(old.vocabulary, words)
        with torch.no_grad():
            vectors = embed_vocabulary(self._text_encoder, known).float().to(self._ground.device)
        return vectors[: len(words)], Prototypes(known, vectors)

    def _features(self, bars: Progress, files: ExitStack) -> tuple[FeatureCache, FeatureCache | None]:
        """Features of all photographs and, if they are wanted, the dense maps of those to train on."""
        ground, settings, data = self._ground, self._settings, self._data

        def cached(
            backbone: Backbone, name: str, examples: tuple[TrainingExample, ...], elsewhere: Elsewhere = None
        ) -> FeatureCache:
            cache = FeatureCache(backbone, ground.device, ground.features_dir, settings.cache_gb)
            return files.enter_context(filled(cache, examples, name, bars, ground.processes, elsewhere))

        def elsewhere(sent: Backbone | DenseMap | str) -> Elsewhere:
            if ground.engine is None:
                return None
            work = FeatureWork(sent, ground.hub, ground.device.type, ground.features_dir)
            return partial(fill_on, ground.engine, work)

        backbone, encoder = self._parts.backbone, self._text_encoder
        every = (*data.examples, *data.held_out)
        features = cached(backbone, "features", every, elsewhere(sent_as(backbone, BACKBONES)))
        if not settings.dense_weight:
            return features, None
        there = elsewhere(DenseMap(sent_as(encoder, IMAGE_TEXT), backbone.stride))
        dense = DenseBackbone(encoder, backbone.stride)
        return features, cached(dense, "dense maps", data.examples, there)

    def _select(self, bars: Progress) -> Selection | None:
        """After how many epochs to stop, if the settings ask for it and there is a head to start from."""
        parts, start = self._settings.cross_validation, self._ground.start
        if not parts or start is None:
            return None
        head = start.head.to(self._ground.device)
        found = select_epochs(head, self._data.examples, self._objective, parts, bars)
        bars.note(str(found))
        return found

    def _record(self) -> dict[str, Any]:
        """How this training went, for the config; no times, so that equal runs give equal files."""
        return {
            "settings": self._settings.to_dict(),
            "selection": None if self.selection is None else self.selection.to_dict(),
            "labels": {
                "fingerprint": self._fingerprint,
                "models": models_without_paths(self._source.origin.get("models", {})),
                "photographs": len(self._source),
                "without_labelled_patch": self._data.unlabelled,
            },
            "history": [asdict(record) for record in self.history],
        }
