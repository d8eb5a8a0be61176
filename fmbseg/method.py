"""The contract of whatever segments, which is all that evaluation knows: a head, a dense map, Stage 1, ...

An image and words go in, a :class:`~fmbseg.results.Segmentation` comes out. ``fmbseg.methods`` has them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fmbseg.results import Segmentation
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.vocabulary import Vocabulary


class Segmenter(Protocol):
    """What can be measured; :class:`~fmbseg.OpenVocabSegmenter` fulfils this protocol, and every method."""

    def segment(
        self, images: NDArray[Any], vocabulary: Vocabulary, *, settings: SegmentSettings | None = None
    ) -> Segmentation:
        """Segment one image."""
        ...

    def describe(self) -> dict[str, Any]:
        """What it is made of, as JSON values; equal only for what gives equal results."""
        ...


@runtime_checkable
class Method(Protocol):
    """A segmenter that has a name, and says what it needs.

    Attributes:
        spec: makes it again (see :func:`fmbseg.methods.load_method`).
        license: licence of the weights that it runs; several are joined by commas.
        models: specs of the frozen models that it runs; methods of one pool that name the same share it, and
            what it computes of the image in hand.
    """

    spec: str
    license: str
    models: tuple[str, ...]

    def segment(
        self, images: NDArray[Any], vocabulary: Vocabulary, *, settings: SegmentSettings | None = None
    ) -> Segmentation:
        """Segment one image, (H, W, 3), encoding it at most once however many words there are.

        Args:
            images: the image.
            vocabulary: the words; others may follow in the next call.
            settings: those of the evaluation's protocol. What a method does by its own rules is in
                ``describe()["instead"]``, by the names of the report's choices.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What it is made of, as JSON values."""
        ...

    @property
    def saved_seconds(self) -> float:
        """What the last call would have taken longer, had no method before it seen the image."""
        ...


@runtime_checkable
class TakesClasses(Protocol):
    """A method that is told which classes an image shows: the paper's variant with image-level labels."""

    def segment_known(
        self,
        image: NDArray[np.uint8],
        vocabulary: Vocabulary,
        present: tuple[int, ...],
        *,
        settings: SegmentSettings,
    ) -> Segmentation:
        """Segment an image that shows these classes of the vocabulary, ascending, and no others."""
        ...
