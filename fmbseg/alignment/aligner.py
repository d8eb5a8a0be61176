"""Aligner: pseudo labels in, an aligned encoder out (Stage 2)."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.aligned.config import AlignedEncoderError, check_text_encoder
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.aligned.sharing import Shareable
from fmbseg.alignment.checkpoint import Checkpoint
from fmbseg.alignment.distillation import OldVocabulary, joined_vocabulary
from fmbseg.alignment.distributed import join_processes
from fmbseg.alignment.early_checks import check_early, open_checkpoint, training_identity
from fmbseg.alignment.examples import training_data
from fmbseg.alignment.features import FeatureCache, check_grid, feature_gigabytes, filled
from fmbseg.alignment.label_source import models_without_paths, open_labels
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.parts import Parts, loaded_backbone, make_parts
from fmbseg.alignment.reports import TrainingReports
from fmbseg.alignment.selection import Selection, select_epochs
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import EpochRecord, train
from fmbseg.alignment.training_example import training_size
from fmbseg.files import cache_home
from fmbseg.models.dense import DenseBackbone
from fmbseg.models.hubness import NEIGHBOURS
from fmbseg.models.text import embed_vocabulary
from fmbseg.progress import Progress
from fmbseg.recipes import AUTO, RECIPES
from fmbseg.recipes.auto import ByRecipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmbseg.aligned.saved import SavedHead
    from fmbseg.alignment.examples import TrainingData
    from fmbseg.alignment.label_source import LabelRecord, LabelSource
    from fmbseg.alignment.training_example import TrainingExample
    from fmbseg.devices import Device
    from fmbseg.models.contracts import Backbone, ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes import Recipe
    from fmbseg.vocabulary import Vocabulary, VocabularySource

_FEWEST_WORDS = 10 * NEIGHBOURS
"""Fewest training words that hubness is measured against: of fewer, the nearest would be most of them."""


class Aligner(Shareable):
    """Train the one block that gives a frozen encoder's patches the text encoder's language.

    Args:
        backbone: the frozen encoder, or its spec; the recipe's if not given.
        text_encoder: the model whose texts are learned, or its spec; the one that made the labels. The
            recipe's if not given.
        recipe: names the models and the settings that go with them; what is given takes precedence.
            ``"auto"`` takes, once it is needed, the recipe of the labels, or else the best open one within
            reach (see :mod:`fmbseg.recipes.auto`); with both models given, no recipe and default settings.
        head: where training starts; a copy of it is trained. By default a new one, seeded by the settings.
        settings: of the training; ``TrainingSettings()`` is what the paper states.
        features_dir: where features of the backbone are kept; ``features`` in the cache folder if not given.
        device: where to compute; by default the best there is.
        hub: how files of the frozen models are found; by default as the Hub's client is configured. A
            revision is part of a spec, for example ``"hf:facebook/dinov2-base?revision=main"``.

    Attributes:
        settings: as given, or the recipe's.
        history: one record for each pass of the last training.
        selection: what cross-validation chose in the last training: after how many epochs it stopped, or
            that the head it would start from was kept; None where it was not asked for.

    Raises:
        AlignedEncoderError: the head's sizes do not fit the backbone and, if it is loaded, the text encoder.
        UnknownNameError: the registry does not know a spec.
        AssetUnavailableError: files of the backbone are neither here nor available; the message names them.
        ContractError: a custom backbone lacks methods or attributes; the message lists them.
    """

    def __init__(
        self,
        backbone: Backbone | str | None = None,
        text_encoder: ImageTextEncoder | str | None = None,
        *,
        recipe: str = AUTO,
        head: AlignmentHead | None = None,
        settings: TrainingSettings | None = None,
        features_dir: str | Path | None = None,
        device: Device = None,
        hub: HubOptions | None = None,
    ) -> None:
        self.history: tuple[EpochRecord, ...] = ()
        self.selection: Selection | None = None
        self._processes, self._device = join_processes(device)
        self._hub = hub
        self._head = head
        self._start: AlignedEncoder | None = None
        self._features_dir = cache_home() / "features" if features_dir is None else Path(features_dir)
        self._encoder: AlignedEncoder | None = None
        given = None if backbone is None else loaded_backbone(backbone, hub)  # its faults show now

        def make(chosen: Recipe | None) -> Parts:
            return make_parts(chosen, given, text_encoder, settings, head, hub)

        needed = backbone is None or text_encoder is None
        self._by_recipe = ByRecipe(recipe, make, hub, self._device, needed=needed)

    @property
    def settings(self) -> TrainingSettings:
        """The settings of the training; asking for them decides ``auto``."""
        return self._parts.settings

    @property
    def _parts(self) -> Parts:
        return self._by_recipe.made()

    @property
    def _backbone(self) -> Backbone:
        return self._parts.backbone

    @property
    def encoder(self) -> AlignedEncoder:
        """What was trained.

        Raises:
            RuntimeError: nothing was trained.
        """
        if self._encoder is None:
            raise RuntimeError("this Aligner is not trained: call fit(labels), or Aligner.from_pretrained")
        return self._encoder

    def fit(
        self,
        labels: LabelSource | str | Path | Iterable[LabelRecord],
        *,
        vocabulary: VocabularySource | None = None,
        root: str | Path = "",
        checkpoint: Checkpoint | str | Path | None = None,
        logs: str | Path | None = None,
        tensorboard: bool = False,
        progress: bool = True,
    ) -> Aligner:
        """Train the head on pseudo labels.

        The classes are those detected in any photograph; the prototypes of all of them stand in every batch.
        Everything that can be refused is refused before the first feature is computed.

        Args:
            labels: a LabelSet, its folder, or records (with their ``vocabulary``).
            vocabulary: the classes of records; a LabelSet has its own.
            root: folder that the paths of records start from.
            checkpoint: folder to save the training in, after each epoch and every five minutes. A training
                that it already holds is continued, and ends as if it had never been stopped.
            logs: folder for ``steps.csv`` and ``epochs.csv``.
            tensorboard: also write events for TensorBoard to ``logs``.
            progress: show bars with the loss, the rate and the time left.

        Returns:
            Itself, trained.

        Raises:
            TrainingDataError: labels that nothing can be learned from, or photographs missing or changed.
            AlignedEncoderError: a text encoder of another dimension than the head.
            TrainingCheckpointError: what ``checkpoint`` holds is damaged, or has other labels, settings or
                models.
            WouldReplaceError: ``logs`` holds files of the logs' names that are not such logs, or another
                training is kept in ``checkpoint`` at this moment.
            ValueError: the backbone gives another grid than it says, or the settings ask for something that
                the labels or the head lack.
            MissingPackageError: ``tensorboard`` is asked for and not installed.
            TrainingDivergedError: the loss is no longer finite; ``encoder`` then has the last good head.
        """
        source = open_labels(labels, vocabulary, Path(root))
        self._stay_with(source)
        fingerprint = source.fingerprint
        kept = Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint
        with Progress(progress and self._processes.main) as bars, ExitStack() as files:
            if kept is not None and self._processes.main:
                files.enter_context(kept)
            identity = training_identity(fingerprint, self.settings, self._processes)
            check_early(source, identity, kept, logs, tensorboard=tensorboard)
            old = self._old_vocabulary()
            text_encoder = self._parts.loaded_text_encoder(self._device, self._hub)
            head = self._new_head(text_encoder)
            self._check_grid()
            if kept is not None:
                open_checkpoint(kept, identity, self._backbone, text_encoder, head, self._device)
            data = training_data(source, self.settings, self._backbone.stride, bars.track)
            if data.unlabelled:
                bars.note(f"{data.unlabelled} of {len(source)} photographs have no labelled patch: left out")
            vectors, prototypes = self._prototypes(data.vocabulary, text_encoder, old)
            features, dense = self._features(data, text_encoder, bars, files)
            objective = Objective(features, vectors, self.settings, dense, old, self._processes)
            self.history, self.selection = (), self._select(data, objective, bars)
            if self._start is not None and self.selection is not None and not self.selection.epochs:
                self._encoder = self._start.with_training(
                    {**self._start.config.training, "kept": self._record(source, fingerprint, data)}
                )
                return self
            reports = TrainingReports(
                bars,
                self.settings.epochs if self.selection is None else self.selection.epochs,
                len(data.examples),
                self.settings.batch_size * self._processes.count,
                start=None if kept is None else kept.state,
                logs=logs if self._processes.main else None,
                tensorboard=tensorboard,
            )
            files.enter_context(reports)
            hubness = self._parts.hubness if self._start is None else self._start.hubness
            try:
                train(
                    head.to(self._device),
                    data.examples,
                    objective,
                    held_out=data.held_out,
                    until=None if self.selection is None else self.selection.epochs,
                    checkpoint=kept,
                    on_step=reports.step,
                    on_epoch=reports.epoch,
                )
            finally:  # also what an interrupted or diverged training reached
                self.history = tuple(reports.history)
                self._encoder = AlignedEncoder(
                    self._backbone,
                    head,
                    text_encoder,
                    prototypes=prototypes,
                    hubness=hubness if len(prototypes.vocabulary) >= _FEWEST_WORDS else 0.0,
                    training=self._record(source, fingerprint, data),
                )
        return self

    def feature_gigabytes(self, labels: LabelSource | str | Path) -> float:
        """Estimate the gigabytes (1e9 bytes) of features that training on labels would keep; computes none.

        Args:
            labels: a LabelSet or its folder.
        """
        source = open_labels(labels, None, Path())
        self._stay_with(source)
        return feature_gigabytes(
            (record.size for record in source),
            image_size=self.settings.image_size,
            stride=self._backbone.stride,
            dim=self._backbone.dim,
        )

    @property
    def main_process(self) -> bool:
        """Whether this process should report results; a single process always does."""
        return self._processes.main

    def to_save(self) -> SavedHead:
        """The head of :attr:`encoder`, as ``save_pretrained`` and ``push_to_hub`` write it.

        Raises:
            RuntimeError: nothing was trained.
        """
        return self.encoder.to_save()

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        source: str | Path,
        *,
        settings: TrainingSettings | None = None,
        features_dir: str | Path | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        backbone: Backbone | str | None = None,
        text_encoder: ImageTextEncoder | str | None = None,
        device: Device = None,
        hub: HubOptions | None = None,
    ) -> Aligner:
        """Load a trained Aligner; ``fit`` goes on from its head.

        Args:
            source: a folder that ``save_pretrained`` wrote, or ``owner/name`` of a Hub repository.
            revision: of that repository: a branch, a tag or a commit.
            token: for a private repository.
            cache_dir: folder for the Hub's files, if not the client's own.
            local_files_only: never use the network.
            backbone: an instance or a spec to use instead of the one that the head names.
            text_encoder: an instance or a spec to use instead of the one that the head names.
            settings: of the next training; the saved ones if not given. ``distillation`` above 0 keeps what
                the head has learned of its old words.
            features_dir: where features of the backbone are kept.
            device: where to compute; by default the best there is.
            hub: how files of the frozen models are found; by default like those of the head.

        Raises:
            AlignedEncoderError: see :meth:`AlignedEncoder.from_pretrained`; or saved settings out of range.
        """
        encoder = AlignedEncoder.from_pretrained(
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            backbone=backbone,
            text_encoder=text_encoder,
            device=device,
            hub=hub,
        )
        training = encoder.config.training
        try:
            saved = TrainingSettings.from_dict(training.get("settings", {}))
            history = tuple(EpochRecord(**record) for record in training.get("history", ()))
        except (AttributeError, TypeError, ValueError) as error:
            raise AlignedEncoderError(f"'training' in the config of {source} is wrong: {error}") from error
        aligner = cls(
            encoder.backbone,
            text_encoder if text_encoder is not None else encoder.config.text_encoder,
            head=encoder.head,
            settings=settings or saved,
            features_dir=features_dir,
            device=device,
            hub=encoder.hub,
        )
        aligner.history = history
        aligner._start = aligner._encoder = encoder
        return aligner

    def loaded_text_encoder(self) -> ImageTextEncoder:
        """The model whose texts are learned, loaded on first use."""
        return self._parts.loaded_text_encoder(self._device, self._hub)

    def _stay_with(self, source: LabelSource) -> None:
        """Resolve ``auto`` to the recipe that made the labels."""
        recorded = source.origin.get("models", {}).get("recipe")
        self._by_recipe.made(recorded if recorded in RECIPES else None, "the labels")

    def _new_head(self, text_encoder: ImageTextEncoder) -> AlignmentHead:
        if self._head is not None:
            check_text_encoder(self._head.settings, text_encoder.spec, text_encoder.dim)
            return copy.deepcopy(self._head)
        # The caller's random numbers are left as they were.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.settings.seed)
            return AlignmentHead(
                self._backbone.dim,
                text_encoder.dim,
                mlp_ratio=self.settings.mlp_ratio,
                kind=self.settings.head_kind,
            )

    def _check_grid(self) -> None:
        size = training_size((2, 3), self.settings.image_size, self._backbone.stride)  # like a photograph
        check_grid(self._backbone, size, self._device)

    def _old_vocabulary(self) -> OldVocabulary | None:
        """The words to retain, if the settings ask for it."""
        weight = self.settings.distillation
        if not weight:
            return None
        known = None if self._start is None else self._start.prototypes
        if self._head is None or known is None:
            raise ValueError(
                f"distillation {weight:g} retains the words of a trained head, and there is none to start "
                "from: use Aligner.from_pretrained, or set it to 0"
            )
        return OldVocabulary(self._head, known, self.settings.temperature).to(self._device)

    def _prototypes(
        self, words: Vocabulary, text_encoder: ImageTextEncoder, old: OldVocabulary | None
    ) -> tuple[torch.Tensor, Prototypes]:
        """Text vectors of the classes, and those to save, which include retained words."""
        known = words if old is None else joined_vocabulary(old.vocabulary, words)
        with torch.no_grad():
            vectors = embed_vocabulary(text_encoder, known).float().to(self._device)
        return vectors[: len(words)], Prototypes(known, vectors)

    def _features(
        self,
        data: TrainingData,
        text_encoder: ImageTextEncoder,
        bars: Progress,
        files: ExitStack,
    ) -> tuple[FeatureCache, FeatureCache | None]:
        """Features of all photographs and, if they are wanted, the dense maps of those to train on."""

        def cached(backbone: Backbone, name: str, examples: tuple[TrainingExample, ...]) -> FeatureCache:
            cache = FeatureCache(backbone, self._device, self._features_dir, self.settings.cache_gb)
            return files.enter_context(filled(cache, examples, name, bars, self._processes))

        features = cached(self._backbone, "features", (*data.examples, *data.held_out))
        if not self.settings.dense_weight:
            return features, None
        dense = DenseBackbone(text_encoder, self._backbone.stride)
        return features, cached(dense, "dense maps", data.examples)

    def _select(self, data: TrainingData, objective: Objective, bars: Progress) -> Selection | None:
        """After how many epochs to stop, if the settings ask for it and there is a head to start from."""
        parts = self.settings.cross_validation
        if not parts or self._start is None:
            return None
        found = select_epochs(self._start.head.to(self._device), data.examples, objective, parts, bars)
        bars.note(str(found))
        return found

    def _record(self, source: LabelSource, fingerprint: str, data: TrainingData) -> dict[str, Any]:
        """How this training went, for the config; no times, so that equal runs give equal files."""
        return {
            "settings": self.settings.to_dict(),
            "selection": None if self.selection is None else self.selection.to_dict(),
            "labels": {
                "fingerprint": fingerprint,
                "models": models_without_paths(source.origin.get("models", {})),
                "photographs": len(source),
                "without_labelled_patch": data.unlabelled,
            },
            "history": [asdict(record) for record in self.history],
        }
