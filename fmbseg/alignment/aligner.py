"""Aligner: pseudo labels in, an aligned encoder out (Stage 2)."""

from __future__ import annotations

import copy
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.aligned.sharing import Shareable
from fmbseg.alignment.examples import TrainingData, prepare
from fmbseg.alignment.features import FeatureCache
from fmbseg.alignment.label_source import (
    LabelRecord,
    LabelSource,
    RecordedLabels,
    models_without_paths,
)
from fmbseg.alignment.progress import training_bar
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import EpochRecord, train
from fmbseg.contract import require_contract
from fmbseg.models.assets import cache_home
from fmbseg.models.contracts import Backbone
from fmbseg.models.dense import DenseBackbone
from fmbseg.models.loading import create_model
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from fmbseg.progress import Progress
from fmbseg.recipes import get_recipe
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fmbseg.aligned.saved import SavedHead
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.hub_files import HubOptions
    from fmbseg.vocabulary import VocabularySource


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
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._hub = hub
        self._backbone = create_model(BACKBONES, backbone, hub) if isinstance(backbone, str) else backbone
        require_contract(self._backbone, Backbone, "the backbone")
        self._text = text
        self._head = head
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
        progress: bool = True,
    ) -> Aligner:
        """Train the head on pseudo labels.

        The classes are those detected in any photograph; the prototypes of all of them stand in every batch.
        Everything that can be refused is refused before the first feature is computed.

        Args:
            labels: a LabelSet, its folder, or records (with their ``vocabulary``).
            vocabulary: of records; a LabelSet brings its own.
            root: folder that the paths of records start from.
            progress: show bars with the loss, the rate and the time left.

        Returns:
            Itself, trained.

        Raises:
            TrainingDataError: labels that nothing can be learned from, or photographs missing or changed.
            AlignedEncoderError: a text encoder of another dimension than the head.
            TrainingDivergedError: the loss is no longer finite; ``encoder`` then has the last good head.
        """
        source = _source(labels, vocabulary, Path(root))
        text = self._loaded_text()
        head = self._new_head(text.dim)
        AlignedEncoder(self._backbone, head, text)  # refuses sizes that do not fit
        with Progress(progress) as bars:
            data = prepare(
                source,
                image_size=self.settings.image_size,
                stride=self._backbone.stride,
                min_coverage=self.settings.min_coverage,
                track=bars.track,
            )
            if data.unlabelled:
                bars.note(f"{data.unlabelled} of {len(source)} photographs have no labelled patch: left out")
            with torch.no_grad():
                vectors = embed_vocabulary(text, data.vocabulary).float().to(self._device)
            prototypes = Prototypes(data.vocabulary, vectors)
            history: list[EpochRecord] = []
            with ExitStack() as caches:

                def cached(backbone: Backbone, name: str) -> FeatureCache:
                    return caches.enter_context(closing(self._features(backbone, name, data, bars)))

                features = cached(self._backbone, "features")
                dense = None
                if self.settings.dense_weight:
                    dense = cached(DenseBackbone(text, self._backbone.stride), "dense maps")
                try:
                    train(
                        head.to(self._device),
                        data.examples,
                        features,
                        vectors,
                        self.settings,
                        dense=dense,
                        on_step=training_bar(bars, self.settings.epochs, len(data.examples)),
                        on_epoch=history.append,
                    )
                finally:  # also what an interrupted or diverged training reached
                    self.history = tuple(history)
                    record = self._record(source, data)
                    self._encoder = AlignedEncoder(
                        self._backbone, head, text, prototypes=prototypes, training=record
                    )
        return self

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
            settings = TrainingSettings.from_dict(training.get("settings", {}))
            history = tuple(EpochRecord(**record) for record in training.get("history", ()))
        except (AttributeError, TypeError, ValueError) as error:
            raise AlignedEncoderError(f"'training' in the config of {source} is wrong: {error}") from error
        aligner = cls(
            encoder.backbone,
            text if text is not None else encoder.config.text_encoder,
            head=encoder.head,
            settings=settings,
            device=device,
            hub=encoder.hub,
        )
        aligner.history = history
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
            return AlignmentHead(self._backbone.dim, out_dim, attention=self.settings.attention)

    def _features(self, backbone: Backbone, name: str, data: TrainingData, bars: Progress) -> FeatureCache:
        """The features of every photograph: on disk already, or to be computed when asked for."""
        folder = self._cache_dir if self._cache_dir is not None else cache_home() / "features"
        cache = FeatureCache(backbone, self._device, folder, self.settings.cache_gb)
        plan = cache.open(data.examples)
        bars.note(f"{name}: {plan}")
        if plan.kept:
            for example in bars.track(data.examples, name, len(data.examples)):
                cache.fill(example)
        return cache

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


def _source(
    labels: LabelSource | str | Path | Iterable[LabelRecord],
    vocabulary: VocabularySource | None,
    root: Path,
) -> LabelSource:
    if isinstance(labels, str | Path):
        from fmbseg.labels.label_set import LabelSet

        labels = LabelSet.open(Path(labels))
    if hasattr(labels, "image_path"):  # isinstance with a protocol would compute the fingerprint
        if vocabulary is not None:
            raise ValueError("a label set has its own vocabulary: leave out the argument `vocabulary`")
        return cast("LabelSource", labels)
    if vocabulary is None:
        raise ValueError("records do not say what their class indices mean: give their `vocabulary`")
    return RecordedLabels(tuple(labels), Vocabulary.of(vocabulary), root)
