"""``fmbseg words``: what an image-text model knows of words, before any work."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.options import Classes, DeviceName, RecipeName, VocabularyName, with_hub_options, words

if TYPE_CHECKING:
    from fmbseg.models.contracts import ImageTextEncoder
    from fmbseg.models.familiarity import Word
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import Vocabulary


@with_hub_options
def show_words(
    classes: Classes = None,
    vocabulary: VocabularyName = None,
    recipe: RecipeName = "offline",
    image_text: Annotated[
        str | None, typer.Option(help="Spec of the image-text model, instead of the recipe's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    device: DeviceName = None,
    *,
    hub: "HubOptions",
) -> None:
    """Show how well the image-text model knows each word, the nearest that it knows, and words alike."""
    wanted = words(classes, vocabulary)
    from fmbseg.devices import find_device
    from fmbseg.models.familiarity import HARDLY, look_up
    from fmbseg.models.loading.create import create_model
    from fmbseg.models.registries import IMAGE_TEXT
    from fmbseg.recipes import get_recipe

    on = find_device(device)
    encoder = create_model(IMAGE_TEXT, image_text or get_recipe(recipe).image_text, hub).to(on)
    found = look_up(encoder, wanted)
    if as_json:
        rows = [{**word._asdict(), "hardly_known": word.hardly_known} for word in found]
        typer.echo(json.dumps({"image_text": encoder.spec, "hardly_below": HARDLY, "words": rows}, indent=2))
        return
    width = max(len(word.name) for word in found)
    for word in found:
        typer.echo(f"{word.name:<{width}}  {_told(word)}")


def _told(word: "Word") -> str:
    parts = []
    if word.familiarity is None:
        parts.append("nobody listed what this model was trained on")
    else:
        known = "hardly known" if word.hardly_known else "known"
        parts.append(f"{known} ({word.familiarity:.2f}), nearest: {', '.join(word.nearest)}")
    if word.meant:
        parts.append(f"did you mean {word.meant!r}?")
    if word.near:
        parts.append(f"shares pixels with {', '.join(word.near)}: give them one class, or keep one")
    return "; ".join(parts)


def warn_of_words(encoder: "ImageTextEncoder", vocabulary: "Vocabulary") -> None:
    """Tell of each word that a model hardly knows, on a line of stderr."""
    from fmbseg.aligned.image_text import AlignedImageText
    from fmbseg.models.familiarity import told_of

    if isinstance(encoder, AlignedImageText):  # whose words are those of the model beneath
        encoder = encoder.encoder
    for line in told_of(encoder, vocabulary):
        complain(line, "warning")


def warn_of_words_for(segmenter: "OpenVocabSegmenter", vocabulary: "Vocabulary") -> None:
    """The same for a segmenter, unless its head was trained on these very words."""
    from fmbseg.aligned.encoder import AlignedEncoder

    encoder = segmenter.encoder
    if not isinstance(encoder, AlignedEncoder):  # an exported one
        return
    if encoder.prototypes is None or encoder.prototypes.of(vocabulary) is None:
        warn_of_words(encoder.text_encoder, vocabulary)
