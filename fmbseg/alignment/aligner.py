"""Aligner: pseudo labels in, an aligned encoder out (Stage 2)."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.files import digest_of
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.aligned.sharing import Shareable
from fmbseg.alignment.checkpoint import Checkpoint
from fmbseg.alignment.distillation import OldVocabulary, joined_vocabulary
from fmbseg.alignment.distributed import join_processes
from fmbseg.alignment.examples import TrainingData, hold_out, prepare, training_size
from fmbseg.alignment.features import FeatureCache, check_grid, feature_gigabytes, filled
from fmbseg.alignment.label_source import models_without_paths, open_labels
from fmbseg.alignment.logs import check_logs, require_tensorboard
from fmbseg.alignment.noise import LabelNoise
from fmbseg.alignment.progress import TrainingReports
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import EpochRecord, train
from fmbseg.contract_check import require_contract
from fmbseg.files import cache_home
from fmbseg.models.contracts import Backbone
from fmbseg.models.dense import DenseBackbone
from fmbseg.models.hubness import NEIGHBOURS
from fmbseg.models.loading.create import create_model
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from fmbseg.models.weight_probe import probe_backbone, probe_text_encoder
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmbseg.aligned.saved import SavedHead
    from fmbseg.alignment.checkpoint import TrainingState
    from fmbseg.alignment.examples import TrainingExample
    from fmbseg.alignment.label_source import LabelRecord, LabelSource
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.vocabulary import Vocabulary, VocabularySource

_FEWEST_WORDS = 10 * NEIGHBOURS
"""Words of a training against which hubness says something: the nearest of few are most of them."""


class Aligner(Shareable):
    """Train the one block that gives a frozen encoder's patches the text encoder's language.

    Args:
        backbone: the frozen encoder, or its spec; the recipe's if not given.
        text: the model whose texts are learned, or its spec; the one that made the labels. The recipe's if
            not given.
        recipe: names the models and the settings that go with them; what is given goes before it.
        head: to go on from; a copy of it is trained. A new one, seeded by the settings, if not given.
        settings: of the training; ``TrainingSettings()`` is as the paper states it.
        cache_dir: where features of the backbone are kept; ``features`` in the cache folder if not given.
        device: where to compute; a GPU if there is one.
        hub: how files of the frozen models are looked for, if not as the Hub's client is set up. A revision
            stands in a spec, for example ``"hf:facebook/dinov2-base?revision=main"``.

    Attributes:
        settings: as given, or the recipe's.
        history: one record for each pass of the last training.

    Raises:
        AlignedEncoderError: the head's sizes do not fit the backbone and, if it is loaded, the text encoder.
        UnknownNameError: the registry does not know a spec.
        AssetUnavailableError: files of the backbone are neither here nor to be had; the message names them.
        ContractError: a backbone of one's own that lacks methods or attributes; the message lists them.
    """

    def __init__(
        self,
        backbone: Backbone | str | None = None,
        text: ImageTextEncoder | str | None = None,
        *,
        recipe: str = "offline",
        head: AlignmentHead | None = None,
        settings: TrainingSettings | None = None,
        cache_dir: str | Path | None = None,
        device: torch.device | str | None = None,
        hub: HubOptions | None = None,
    ) -> None:
        chosen = get_recipe(recipe)
        backbone = chosen.backbone if backbone is None else backbone
        text = chosen.image_text if text is None else text
        self.settings = settings or TrainingSettings.from_dict(chosen.training)
        self.history: tuple[EpochRecord, ...] = ()
        self._processes, own = join_processes()
        self._device = own if device is None else torch.device(device)
        self._hub = hub
        self._backbone = create_model(BACKBONES, backbone, hub) if isinstance(backbone, str) else backbone
        require_contract(self._backbone, Backbone, "the backbone")
        self._text = text
        self._head = head
        self._known: Prototypes | None = None
        self._hubness = chosen.hubness
        self._cache_dir = None if cache_dir is None else Path(cache_dir)
        self._encoder: AlignedEncoder | None = None
        if isinstance(text, str):
            IMAGE_TEXT.get(text.partition(":")[0])  # a misspelt name is better told now than after loading
        if self.settings.image_size < self._backbone.stride:
            raise ValueError(
                f"image_size {self.settings.image_size} is less than one patch of {self._backbone.spec!r}, "
                f"which is {self._backbone.stride} px"
            )
        if head is not None:
            AlignedEncoder(self._backbone, copy.deepcopy(head), text)

    @property
    def encoder(self) -> AlignedEncoder:
        """What was trained.

        Raises:
            RuntimeError: nothing was.
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
            vocabulary: of records; a LabelSet brings its own.
            root: folder that the paths of records start from.
            checkpoint: folder to keep the training in, after each epoch and every five minutes. Where it
                holds one already, that is gone on with, and ends as if it had never been stopped.
            logs: folder for ``steps.csv`` and ``epochs.csv``.
            tensorboard: also write events for TensorBoard to ``logs``.
            progress: show bars with the loss, the rate and the time left.

        Returns:
            Itself, trained.

        Raises:
            TrainingDataError: labels that nothing can be learned from, or photographs missing or changed.
            AlignedEncoderError: a text encoder of another dimension than the head.
            TrainingCheckpointError: what ``checkpoint`` holds is damaged, or is of other labels, settings or
                models; or another training is kept there at this moment.
            WouldReplaceError: ``logs`` holds files of the logs' names that are no such logs.
            ValueError: a backbone that gives another grid than it says, or settings that ask for what there
                is not.
            TrainingDivergedError: the loss is no longer finite; ``encoder`` then has the last good head.
        """
        if tensorboard:
            require_tensorboard(logs)
        source = open_labels(labels, vocabulary, Path(root))
        text = self._loaded_text()
        head = self._new_head(text.dim)
        AlignedEncoder(self._backbone, head, text)  # refuses sizes that do not fit
        self._check_grid(source)
        old = self._old_vocabulary()
        if logs is not None:
            check_logs(Path(logs))
        kept = Checkpoint(checkpoint) if isinstance(checkpoint, str | Path) else checkpoint
        with Progress(progress and self._processes.main) as bars, ExitStack() as files:
            start = self._open(kept, files, source, head, text)
            data, held_out = self._prepare(source, bars)
            vectors, prototypes = self._prototypes(data.vocabulary, text, old)
            reports = TrainingReports(
                bars,
                self.settings.epochs,
                len(data.examples),
                self.settings.batch_size * self._processes.count,
                start=start,
                logs=logs if self._processes.main else None,
                tensorboard=tensorboard,
            )
            files.enter_context(reports)
            features, dense = self._features(data, held_out, text, bars, files)
            try:
                train(
                    head.to(self._device),
                    data.examples,
                    features,
                    vectors,
                    self.settings,
                    dense=dense,
                    old=old,
                    held_out=held_out,
                    checkpoint=kept,
                    start=start,
                    processes=self._processes,
                    on_step=reports.step,
                    on_epoch=reports.epoch,
                )
            finally:  # also what an interrupted or diverged training reached
                self.history = tuple(reports.history)
                record = self._record(source, data)
                self._encoder = AlignedEncoder(
                    self._backbone,
                    head,
                    text,
                    prototypes=prototypes,
                    hubness=self._hubness if len(prototypes.vocabulary) >= _FEWEST_WORDS else 0.0,
                    training=record,
                )
        return self

    def feature_gigabytes(self, labels: LabelSource | str | Path) -> float:
        """Say how many gigabytes (1e9 bytes) of features a training on labels would keep; computes none.

        Args:
            labels: a LabelSet or its folder.
        """
        return feature_gigabytes(
            (record.size for record in open_labels(labels, None, Path())),
            image_size=self.settings.image_size,
            stride=self._backbone.stride,
            dim=self._backbone.dim,
        )

    @property
    def main_process(self) -> bool:
        """Whether this process is the one that should tell of results; alone, it is."""
        return self._processes.main

    def to_save(self) -> SavedHead:
        """The head of :attr:`encoder`, with which ``save_pretrained`` and ``push_to_hub`` go.

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
        feature_cache: str | Path | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        backbone: Backbone | str | None = None,
        text: ImageTextEncoder | str | None = None,
        device: torch.device | str = "cpu",
        hub: HubOptions | None = None,
    ) -> Aligner:
        """Load a trained Aligner; ``fit`` goes on from its head.

        Args:
            source: a folder that ``save_pretrained`` wrote, or ``owner/name`` of a Hub repository.
            revision: of that repository: a branch, a tag or a commit.
            token: for a private repository.
            cache_dir: of the Hub's files, if not where its client keeps them.
            local_files_only: never use the network.
            backbone: an instance or a spec to use instead of the one that the head names.
            text: likewise.
            settings: of the next training; the saved ones if not given. ``distillation`` above 0 retains what
                the head says of its old words.
            feature_cache: where features of the backbone are kept.
            device: where to compute.
            hub: how files of the frozen models are looked for; like those of the head if not given.

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
            text_encoder=text,
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
            text if text is not None else encoder.config.text_encoder,
            head=encoder.head,
            settings=settings or saved,
            cache_dir=feature_cache,
            device=device,
            hub=encoder.hub,
        )
        aligner.history = history
        aligner._known = encoder.prototypes
        aligner._hubness = encoder.hubness
        aligner._encoder = encoder
        return aligner

    def _loaded_text(self) -> ImageTextEncoder:
        if isinstance(self._text, str):
            self._text = create_model(IMAGE_TEXT, self._text, self._hub)
        self._text = self._text.to(self._device)
        return self._text

    def _new_head(self, out_dim: int) -> AlignmentHead:
        if self._head is not None:
            return copy.deepcopy(self._head)
        # The caller's random numbers are left as they were.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.settings.seed)
            return AlignmentHead(
                self._backbone.dim,
                out_dim,
                mlp_ratio=self.settings.mlp_ratio,
                kind=self.settings.head_kind,
            )

    def _check_grid(self, source: LabelSource) -> None:
        for record in source:
            size = training_size(record.size, self.settings.image_size, self._backbone.stride)
            check_grid(self._backbone, size, self._device)
            return

    def _old_vocabulary(self) -> OldVocabulary | None:
        """The words to retain, if the settings ask for it."""
        weight = self.settings.distillation
        if not weight:
            return None
        if self._head is None or self._known is None:
            raise ValueError(
                f"distillation {weight:g} retains the words of a trained head, and there is none to start "
                "from: use Aligner.from_pretrained, or set it to 0"
            )
        return OldVocabulary(self._head, self._known, self.settings.temperature).to(self._device)

    def _identity(self, source: LabelSource, head: AlignmentHead, text: ImageTextEncoder) -> dict[str, Any]:
        """What a checkpoint is of; where features are kept has no say in what they are."""
        settings = self.settings.to_dict()
        del settings["cache_gb"]
        return {
            "labels": source.fingerprint,
            "backbone": self._backbone.spec,
            "text encoder": text.spec,
            "first weights": digest_of(head.state_dict()),
            "processes": self._processes.count,
            "settings": settings,
        }

    def _open(
        self,
        checkpoint: Checkpoint | None,
        files: ExitStack,
        source: LabelSource,
        head: AlignmentHead,
        text: ImageTextEncoder,
    ) -> TrainingState | None:
        """Lock a checkpoint and read it; of several processes, the main one locks it for all."""
        if checkpoint is None:
            return None
        if self._processes.main:
            files.enter_context(checkpoint)
        probes = {
            "backbone": probe_backbone(self._backbone.to(self._device), self._device),
            "text encoder": probe_text_encoder(text),
        }
        return checkpoint.open(self._identity(source, head, text), probes)

    def _prepare(
        self, source: LabelSource, bars: Progress
    ) -> tuple[TrainingData, tuple[TrainingExample, ...]]:
        """What to train on, and the photographs that are held out."""
        noise = LabelNoise.of(self.settings)
        data = prepare(
            source,
            image_size=self.settings.image_size,
            stride=self._backbone.stride,
            min_coverage=self.settings.min_coverage,
            noise=noise,
            features=max(self.settings.mask_weight, self.settings.mask_class_weight) > 0,
            track=bars.track,
        )
        if data.unlabelled:
            bars.note(f"{data.unlabelled} of {len(source)} photographs have no labelled patch: left out")
        data, held_out = hold_out(data, self.settings)
        return replace(data, examples=noise.capped(data.examples, len(data.vocabulary))), held_out

    def _prototypes(
        self, words: Vocabulary, text: ImageTextEncoder, old: OldVocabulary | None
    ) -> tuple[torch.Tensor, Prototypes]:
        """Text vectors of the classes, and those to save: with retained words, these as well."""
        known = words if old is None else joined_vocabulary(old.vocabulary, words)
        with torch.no_grad():
            vectors = embed_vocabulary(text, known).float().to(self._device)
        return vectors[: len(words)], Prototypes(known, vectors)

    def _features(
        self,
        data: TrainingData,
        held_out: tuple[TrainingExample, ...],
        text: ImageTextEncoder,
        bars: Progress,
        files: ExitStack,
    ) -> tuple[FeatureCache, FeatureCache | None]:
        """Features of all photographs and, if they are wanted, the dense maps of those to train on."""
        folder = self._cache_dir if self._cache_dir is not None else cache_home() / "features"

        def cached(backbone: Backbone, name: str, examples: tuple[TrainingExample, ...]) -> FeatureCache:
            cache = FeatureCache(backbone, self._device, folder, self.settings.cache_gb)
            return files.enter_context(filled(cache, examples, name, bars, self._processes))

        features = cached(self._backbone, "features", (*data.examples, *held_out))
        if not self.settings.dense_weight:
            return features, None
        return features, cached(DenseBackbone(text, self._backbone.stride), "dense maps", data.examples)

    def _record(self, source: LabelSource, data: TrainingData) -> dict[str, Any]:
        """How this training went, for the config; without times, so that equal runs give equal files."""
        return {
            "settings": self.settings.to_dict(),
            "labels": {
                "fingerprint": source.fingerprint,
                "models": models_without_paths(getattr(source, "origin", {}).get("models", {})),
                "photographs": len(source),
                "without_labelled_patch": data.unlabelled,
            },
            "history": [asdict(record) for record in self.history],
        }
