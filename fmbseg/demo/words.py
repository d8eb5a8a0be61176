"""The words that the demo labels with, and those that it tries afterwards."""

from __future__ import annotations

from fmbseg.vocabulary import Vocabulary

CLASSES = (
    "cat",
    "coffee cup",
    "spoon",
    "motorcycle",
    "helmet",
    "rocket",
    "tower",
    "palace",
    "lake",
    "flower",
    "plate",
    "bottle",
    "dining table",
)
"""What the demo's photographs show, as far as a classifier of the 1,000 ImageNet names can tell."""

NEW_WORDS = (
    "kitten",
    "mug",
    "fork",
    "motorbike",
    "hard hat",
    "missile",
    "crane",
    "pagoda",
    "sea",
    "blossom",
    "soup bowl",
    "water jug",
    "desk",
    "car",
    "dog",
)
"""For each of :data:`CLASSES` a related word, so that both have the same colour, and two further words."""

_OWN_CLASSES = "coco_object80:clean"
_OWN_NEW_WORDS = "ade20k150:clean"


def demo_vocabularies(
    classes: tuple[str, ...] | None, new_words: tuple[str, ...] | None, *, own_images: bool
) -> tuple[Vocabulary, Vocabulary]:
    """The vocabulary to label and train with, and one that is never trained on.

    Args:
        classes: given by the user. If not: :data:`CLASSES` for the demo's photographs, COCO's 80 objects
            for the user's.
        new_words: given by the user. If not: :data:`NEW_WORDS`, or ADE20K's classes for the user's.
        own_images: whether the photographs are the user's.

    Raises:
        ValueError: the words do not form a vocabulary, or all new words are trained on.

    Example:
        >>> trained, new = demo_vocabularies(("cat", "sofa"), ("sofa", "couch"), own_images=True)
        >>> trained.names, new.names
        (('cat', 'sofa'), ('couch',))
    """
    trained = Vocabulary.of(classes if classes is not None else _OWN_CLASSES if own_images else CLASSES)
    own = own_images or classes is not None
    wanted = Vocabulary.of(new_words if new_words is not None else _OWN_NEW_WORDS if own else NEW_WORDS)
    new = [name for name in wanted if name not in trained.names]
    if not new:
        raise ValueError(f"every new word is trained on: {', '.join(wanted)}; give words that are not")
    return trained, Vocabulary.of(new)
