"""OpenVocabSegmenter: any words, any image."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload, runtime_checkable

import numpy as np
import torch
from PIL import Image

from fmbseg.ahead import ordered_map
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.sharing import Shareable
from fmbseg.images import ImageError
from fmbseg.models.batching import batch_size_for
from fmbseg.models.familiarity import NEAR, nearness
from fmbseg.models.hubness import hubness_of
from fmbseg.models.loading.errors import AssetUnavailableError
from fmbseg.recipes import segmenting_with
from fmbseg.segment_settings import MaskNaming, SegmentSettings
from fmbseg.segmentation.certainty import curve_for, default_beside_common, needed_curve
from fmbseg.segmentation.classes import ResultClasses
from fmbseg.segmentation.cutouts import Cutouts
from fmbseg.segmentation.decoding import SecondMap
from fmbseg.segmentation.encoding import Cutter, SecondView
from fmbseg.segmentation.generators import Generators
from fmbseg.segmentation.reduction import segment_encoded
from fmbseg.sources.contract import StoredImage, stored_images
from fmbseg.sources.opened import is_many, open_source
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fmbseg.aligned.saved import SavedHead
    from fmbseg.devices import Device
    from fmbseg.images import ImageInput
    from fmbseg.models.contracts import Backbone, ImageTextEncoder
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import WindowSettings
    from fmbseg.segmentation.encoding import TextSpaceEncoder
    from fmbseg.segmentation.reduction import EncodedImage
    from fmbseg.vocabulary import VocabularySource

_ImageT = TypeVar("_ImageT", bound="ImageInput")
_PathT = TypeVar("_PathT", bound="str | Path | StoredImage")

_VOCABULARIES_KEPT = 8
_NO_IMAGE = "an image is a path, a Pillow image, a numpy array or a torch tensor, or images a list, not {}"


@runtime_checkable
class HasEncoder(Protocol):
    """What holds an aligned encoder, as a fitted :class:`~fmbseg.Aligner` does."""

    @property
    def encoder(self) -> AlignedEncoder:
        """The frozen encoder with its trained head."""
        ...


class OpenVocabSegmenter(Shareable):
    """Segment images with words that need not have been trained on (paper §3.3).

    Args:
        aligned: a fitted Aligner, its encoder, or what else brings images and words to one space (an
            exported model that :class:`fmbseg.models.exported.ExportedEncoder` runs).
        windows: how an image is resized and cut, instead of the settings' own.
        settings: background, thresholds, refinement and more; the paper's where left out.
        batch_size: windows that are encoded at once, at most; fewer if the device lacks the memory. If not
            given, 1 on a CPU and 32 on another device.

    Raises:
        ValueError: a batch size below 1.

    Example:
        Use a head that :meth:`save_pretrained` wrote like this::

            segmenter = OpenVocabSegmenter.from_pretrained("head/")
            segmenter.segment("dog.jpg", ["dog", "cat", "couch", "lawn"]).plot().save("dog.png")
    """

    def __init__(
        self,
        aligned: TextSpaceEncoder | HasEncoder,
        *,
        windows: WindowSettings | None = None,
        settings: SegmentSettings | None = None,
        batch_size: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: it must be 1 or more windows")
        self.encoder: TextSpaceEncoder = aligned.encoder if isinstance(aligned, HasEncoder) else aligned
        self.settings = settings or SegmentSettings()
        if windows is not None:
            self.settings = replace(self.settings, windows=windows)
        self._certainty_by_default = self.settings.certainty is None
        self.settings = self._complete(self.settings)
        self.batch_size = batch_size_for(self.encoder.device) if batch_size is None else batch_size
        self._embedded: OrderedDict[Vocabulary, torch.Tensor] = OrderedDict()
        self._generators = Generators(self.encoder.device)

    @property
    def windows(self) -> WindowSettings:
        """How an image is resized and cut."""
        return self.settings.windows

    @overload
    def segment(
        self,
        images: StoredImage | Image.Image | NDArray[Any] | torch.Tensor,
        vocabulary: VocabularySource,
        *,
        settings: SegmentSettings | None = None,
    ) -> Segmentation: ...
    @overload
    def segment(
        self,
        images: list[_ImageT] | tuple[_ImageT, ...],
        vocabulary: VocabularySource,
        *,
        settings: SegmentSettings | None = None,
    ) -> list[Segmentation]: ...
    @overload
    def segment(
        self, images: str | Path, vocabulary: VocabularySource, *, settings: SegmentSettings | None = None
    ) -> Any: ...
    @overload
    def segment(
        self,
        images: Iterator[_ImageT],
        vocabulary: VocabularySource,
        *,
        settings: SegmentSettings | None = None,
    ) -> Iterator[Segmentation]: ...
    def segment(
        self,
        images: ImageInput | Iterable[_ImageT],
        vocabulary: VocabularySource,
        *,
        settings: SegmentSettings | None = None,
    ) -> Segmentation | list[Segmentation] | Iterator[Segmentation]:
        """Give every pixel the class whose words are most similar to it.

        Args:
            images: one image (see :func:`fmbseg.images.load_image`); a list or tuple of images; a folder, or
                what else :func:`~fmbseg.sources.opened.open_source` takes as text; or any stream of images,
                such as a generator, which is read as its results are taken.
            vocabulary: the classes to choose from.
            settings: for this call only.

        Returns:
            For one image its result, at the image's own size. For a list or a folder (its images sorted by
            path) a list in that order; for a stream an iterator.

        Raises:
            ImageError: an image that cannot be read.
            ValueError: the vocabulary is invalid, or leaves nothing but background.
        """
        wanted, classes = self._asked(vocabulary, settings)
        if isinstance(images, str | Path) and is_many(images):
            stored = stored_images(open_source(images))
            return list(_readable(self._stream(stored, classes, wanted, ahead=True)))
        if isinstance(images, str | Path | StoredImage | Image.Image | np.ndarray | torch.Tensor):
            return next(_readable(self._stream([images], classes, wanted)))
        if isinstance(images, list | tuple):
            return list(_readable(self._stream(images, classes, wanted, ahead=True)))
        if not isinstance(images, Iterable):
            raise ImageError(_NO_IMAGE.format(type(images).__name__))
        return _readable(self._stream(images, classes, wanted))

    def segment_files(
        self,
        paths: Sequence[_PathT],
        vocabulary: VocabularySource,
        *,
        settings: SegmentSettings | None = None,
    ) -> Iterator[tuple[_PathT, Segmentation | ImageError]]:
        """Segment files in their order, the next ones read while the device computes.

        Args:
            paths: of image files, by path or URI, or photographs of a source.
            vocabulary: the classes to choose from.
            settings: for this call only.

        Yields:
            Each path with its result, or with the error of a file that cannot be read.

        Raises:
            ValueError: the vocabulary is invalid, or leaves nothing but background.
        """
        wanted, classes = self._asked(vocabulary, settings)
        yield from zip(paths, self._stream(paths, classes, wanted, ahead=True), strict=True)

    def _asked(
        self, vocabulary: VocabularySource, settings: SegmentSettings | None
    ) -> tuple[SegmentSettings, ResultClasses]:
        """The settings of a call, and the classes of its results."""
        wanted = self._complete(settings or self.settings)
        classes = ResultClasses.of(Vocabulary.of(vocabulary), wanted.background)
        classes.thresholds(wanted.class_thresholds)  # a wrong name is reported before any work
        if classes.common is None:
            return wanted, classes
        wanted = wanted.beside_common_words()
        by_default = self._certainty_by_default if settings is None else settings.certainty is None
        if by_default:
            wanted = default_beside_common(self.encoder, wanted, len(classes.asked))
        return wanted, classes

    def text_map(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Encode an image (H, W, 3): the mean over windows of the text-space vectors, (D, h, w)."""
        (encoded,) = self._cutter(self.settings).encode([image], self.batch_size)
        assert not isinstance(encoded, ImageError)  # an array has no file to be damaged
        return encoded.text_map

    def competing(self, classes: ResultClasses) -> tuple[torch.Tensor, ResultClasses]:
        """All words that compete for pixels, (K, D), and the result's classes, the common ones included."""
        prototypes = self._prototypes(classes.asked)
        if classes.common is None:
            return prototypes, classes
        return self._with_common(prototypes, classes, classes.common)

    def describe(self) -> dict[str, Any]:
        """Describe what this segmenter is made of, as JSON values; equal only for equal heads."""
        return self.encoder.describe()

    def to_save(self) -> SavedHead:
        """The head, which is all of a segmenter that is saved (settings are not).

        Raises:
            TypeError: the encoder is an exported one, which is a file already.
        """
        if not isinstance(self.encoder, AlignedEncoder):
            raise TypeError(f"{type(self.encoder).__name__} has no head to save: copy its file instead")
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
        text_encoder: ImageTextEncoder | str | None = None,
        device: Device = None,
        windows: WindowSettings | None = None,
        hub: HubOptions | None = None,
        settings: SegmentSettings | None = None,
    ) -> OpenVocabSegmenter:
        """Load a head from a folder or the Hub (see :meth:`AlignedEncoder.from_pretrained` for errors).

        Args:
            source: a folder that :meth:`save_pretrained` wrote, or ``owner/name`` of a Hub repository.
            revision: of that repository: a branch, a tag or a commit.
            token: for a private repository.
            cache_dir: folder for the Hub's files, if not the client's own.
            local_files_only: never use the network.
            backbone: an instance or a spec to use instead of the one that the head names.
            text_encoder: an instance or a spec to use instead of the one that the head names.
            device: where to compute; by default the best there is.
            windows: how an image is resized and cut.
            hub: how files of the frozen models are found; by default like those of the head.
            settings: background, thresholds, refinement and more; where left out, those of the recipe that
                has the head's models (``get_recipe("offline").segmenting``), and for others the paper's.
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
        models = encoder.config.backbone, encoder.config.text_encoder
        return cls(encoder, windows=windows, settings=settings or segmenting_with(*models))

    def _stream(
        self,
        images: Iterable[ImageInput],
        classes: ResultClasses,
        settings: SegmentSettings,
        *,
        ahead: bool = False,
    ) -> Iterator[Segmentation | ImageError]:
        """A result for each image, or its error; with ``ahead``, the next images are read meanwhile."""
        # Words and masks come first, so that a missing model is reported before an image is encoded.
        curve = needed_curve(self.encoder, settings)
        prototypes, classes = self.competing(classes)
        offsets = self._offsets(prototypes, settings)
        if offsets is not None:
            prototypes = torch.cat([prototypes, -offsets[:, None]], dim=1)
        generator, cutouts = self._generators.of(settings.refine), self._cutouts(settings.refine)
        second = None
        if settings.preserve is not None:
            second = SecondView(
                self._text_encoder(),
                short_side=settings.preserve.short_side,
                batch_size=4 * self.batch_size,  # crops are smaller than windows
            )
        cutter = self._cutter(settings)
        encode = cutter.encode_ahead if ahead else cutter.encode

        def segmented(encoded: EncodedImage | ImageError) -> Segmentation | ImageError:
            if isinstance(encoded, ImageError):
                return encoded
            with torch.inference_mode():
                if second is not None and settings.preserve is not None:
                    encoded = replace(encoded, second=SecondMap(second.of(encoded), settings.preserve))
                if offsets is not None:
                    encoded = encoded.with_constant()
                return segment_encoded(encoded, prototypes, classes, settings, generator, curve, cutouts)

        encoded = encode(images, self.batch_size)
        if not ahead or self.encoder.device.type == "cpu":
            yield from map(segmented, encoded)
            return
        # The device encodes the next batch while a thread waits for these results and makes arrays of them.
        with closing(ordered_map(segmented, encoded, workers=1)) as found:
            yield from (result for _, result in found)

    def _cutter(self, settings: SegmentSettings) -> Cutter:
        return Cutter(self.encoder, settings.windows, tuple(settings.scales), mirror=settings.mirror)

    def _complete(self, settings: SegmentSettings) -> SegmentSettings:
        """The settings with what the head has to say filled in."""
        if settings.hubness is None:
            settings = replace(settings, hubness=self.encoder.hubness)
        if settings.certainty is None:
            known = self.encoder.certainty
            suits = curve_for(self.encoder, settings) is not None
            settings = replace(settings, certainty=known.default if known is not None and suits else 0.0)
        return settings

    def _prototypes(self, vocabulary: Vocabulary) -> torch.Tensor:
        if vocabulary in self._embedded:
            self._embedded.move_to_end(vocabulary)
        else:
            with torch.inference_mode():
                self._embedded[vocabulary] = self.encoder.encode_text(vocabulary)
            if len(self._embedded) > _VOCABULARIES_KEPT:
                self._embedded.popitem(last=False)
        return self._embedded[vocabulary]

    def _with_common(
        self, prototypes: torch.Tensor, classes: ResultClasses, common: Vocabulary
    ) -> tuple[torch.Tensor, ResultClasses]:
        """Let the common words that are near none of the classes compete."""
        try:
            vectors = self._prototypes(common)
        except AssetUnavailableError as error:  # the classes' own vectors come with the head
            warnings.warn(f"no common word competes as background: {error}", stacklevel=6)
            return prototypes, classes.with_common(np.zeros(len(common), np.bool_))
        far = nearness(vectors, prototypes, vectors).amax(dim=1) < NEAR
        return torch.cat([prototypes, vectors[far]]), classes.with_common(far.cpu().numpy())

    def _offsets(self, prototypes: torch.Tensor, settings: SegmentSettings) -> torch.Tensor | None:
        """What is taken off each word's similarity, (K,), if anything is."""
        if not settings.hubness:
            return None
        known = self.encoder.prototypes
        if known is None:
            raise ValueError(
                f"hubness {settings.hubness:g} is measured against the words of the head's training, and "
                f"{type(self.encoder).__name__} has none: set it to 0"
            )
        return settings.hubness * hubness_of(prototypes, known.vectors.to(prototypes))

    def _cutouts(self, refine: object) -> Cutouts | None:
        """Sees masks alone, if the refinement asks for it."""
        if not isinstance(refine, MaskNaming) or refine.second_look is None:
            return None
        return Cutouts(self._text_encoder(), device=self.encoder.device, batch_size=4 * self.batch_size)

    def _text_encoder(self) -> ImageTextEncoder:
        if not isinstance(self.encoder, AlignedEncoder):
            raise ValueError(
                f"{type(self.encoder).__name__} has no image-text model: leave preserve and second_look out"
            )
        return self.encoder.text_encoder


def _readable(results: Iterable[Segmentation | ImageError]) -> Iterator[Segmentation]:
    """The results, up to the first image that cannot be read, whose error is raised."""
    for result in results:
        if isinstance(result, ImageError):
            raise result
        yield result
