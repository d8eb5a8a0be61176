"""Aligner: pseudo labels in, an aligned encoder out (Stage 2)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.sharing import Shareable
from fmbseg.alignment.distributed import join_processes
from fmbseg.alignment.features import feature_gigabytes
from fmbseg.alignment.fitting import Fitting, Ground, Keeping
from fmbseg.alignment.label_source import open_labels
from fmbseg.alignment.parts import Parts, loaded_backbone, make_parts
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import EpochRecord
from fmbseg.engines.engine import engine_of
from fmbseg.files import cache_home
from fmbseg.progress import Progress
from fmbseg.recipes import AUTO, RECIPES
from fmbseg.recipes.auto import ByRecipe
from fmbseg.storage import path_or_uri

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmbseg.aligned.head import AlignmentHead
    from fmbseg.aligned.saved import SavedHead
    from fmbseg.alignment.checkpoint import Checkpoint
    from fmbseg.alignment.label_source import LabelRecord, LabelSource
    from fmbseg.alignment.selection import Selection
    from fmbseg.devices import Device
    from fmbseg.engines.engine import EngineName
    from fmbseg.models.contracts import Backbone, ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.recipes import Recipe
    from fmbseg.vocabulary import VocabularySource


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
        processes, where = join_processes(device)
        kept_in = cache_home() / "features" if features_dir is None else Path(features_dir)
        self._ground = Ground(processes, where, hub, kept_in, head)
        self._encoder: AlignedEncoder | None = None
        given = None if backbone is None else loaded_backbone(backbone, hub)  # its faults show now

        def make(chosen: Recipe | None) -> Parts:
            return make_parts(chosen, given, text_encoder, settings, head, hub)

        needed = backbone is None or text_encoder is None
        self._by_recipe = ByRecipe(recipe, make, hub, where, needed=needed)

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
        engine: EngineName = None,
        progress: bool = True,
    ) -> Aligner:
        """Train the head on pseudo labels.

        The classes are those detected in any photograph; the prototypes of all of them stand in every batch.
        Everything that can be refused is refused before the first feature is computed.

        Args:
            labels: a LabelSet, its folder, or records (with their ``vocabulary``).
            vocabulary: the classes of records; a LabelSet has its own.
            root: folder or URI that the paths of records start from.
            checkpoint: folder to save the training in, after each epoch and every five minutes. A training
                that it already holds is continued, and ends as if it had never been stopped.
            logs: folder for ``steps.csv`` and ``epochs.csv``.
            tensorboard: also write events for TensorBoard to ``logs``.
            engine: compute the backbone's features on :class:`~fmbseg.engines.engine.OnRay` (``"ray"``) or
                :class:`~fmbseg.engines.engine.OnProcesses`, into ``features_dir``, which all workers must
                reach; the head is trained here.
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
            RuntimeError: gradients are switched off around the call.
        """
        if not torch.is_grad_enabled():
            raise RuntimeError(
                "fit needs gradients, and they are switched off here: call it outside of torch.no_grad() and "
                "torch.inference_mode()"
            )
        source = open_labels(labels, vocabulary, path_or_uri(str(root)))
        self._stay_with(source)
        keeping = Keeping(checkpoint, logs, tensorboard)
        with Progress(progress and self._ground.processes.main) as bars, ExitStack() as files:
            ground = replace(self._ground, engine=engine_of(engine))
            fitting = Fitting(self._parts, ground, source, keeping, bars, files)
            self.history, self.selection = (), fitting.selection
            try:
                fitting.train()
            finally:  # also what an interrupted or diverged training reached
                self.history, self._encoder = fitting.history, fitting.encoder
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
        return self._ground.processes.main

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
        saved, history = _training(encoder, source)
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
        aligner._encoder = encoder
        aligner._ground = replace(aligner._ground, start=encoder)
        return aligner

    def loaded_text_encoder(self) -> ImageTextEncoder:
        """The model whose texts are learned, loaded on first use."""
        return self._parts.loaded_text_encoder(self._ground.device, self._ground.hub)

    def _stay_with(self, source: LabelSource) -> None:
        """Resolve ``auto`` to the recipe that made the labels."""
        recorded = source.origin.get("models", {}).get("recipe")
        self._by_recipe.made(recorded if recorded in RECIPES else None, "the labels")


def _training(encoder: AlignedEncoder, source: object) -> tuple[TrainingSettings, tuple[EpochRecord, ...]]:
    """The settings and the history that a head was saved with."""
    training = encoder.config.training
    try:
        saved = TrainingSettings.from_dict(training.get("settings", {}))
        return saved, tuple(EpochRecord(**record) for record in training.get("history", ()))
    except (AttributeError, TypeError, ValueError) as error:
        raise AlignedEncoderError(f"'training' in the config of {source} is wrong: {error}") from error
