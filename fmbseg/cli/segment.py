"""``fmbseg segment``: any words, any images."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.options import (
    CacheDir,
    Classes,
    LocalFilesOnly,
    OutFolder,
    Strict,
    VocabularyName,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmbseg.results import Segmentation
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import Vocabulary

_LONGEST_SIDE = 1600
"""Pixels of an overlay's longer side, at most; the class map keeps the image's own size."""


def segment(
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    head: Annotated[Path, typer.Option(help="Folder that `fmbseg fit` wrote.")],
    out: OutFolder,
    classes: Classes = None,
    vocabulary: VocabularyName = None,
    strict: Strict = False,
    cache_dir: CacheDir = None,
    local_files_only: LocalFilesOnly = False,
) -> None:
    """Segment images with any words: for each a class map (PNG) and an overlay, and one line.

    An image that cannot be read is told and passed over. OUT/classes.txt names the values of the class maps.
    """
    wanted = words(classes, vocabulary)
    from fmbseg.models.hub_files import HubOptions
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter

    listed = [_images_of(path) for path in paths]
    images = dict.fromkeys(image for found in listed for image in found or ())
    targets = {image: out / name for image, name in target_names(list(images)).items()}
    if not targets:
        raise typer.Exit(1)
    _refuse_to_overwrite(targets)
    segmenter = OpenVocabSegmenter.from_pretrained(
        head, hub=HubOptions(cache_dir=cache_dir, local_files_only=local_files_only)
    )
    out.mkdir(parents=True, exist_ok=True)
    out.joinpath("classes.txt").write_text("".join(f"{name}\n" for name in wanted), encoding="utf-8")
    done = [_segment_one(segmenter, image, wanted, target) for image, target in targets.items()]
    if strict and not (all(done) and None not in listed):
        raise typer.Exit(1)


def _images_of(path: Path) -> list[Path] | None:
    """The images of a folder or the image itself; None, and a line on stderr, if there is none."""
    from fmbseg.images import ImageError, find_images

    try:
        return find_images(path)
    except ImageError as error:
        complain(error, "not segmented")
        return None


def _segment_one(
    segmenter: "OpenVocabSegmenter", image: Path, vocabulary: "Vocabulary", target: Path
) -> bool:
    """Segment an image and save the result; False, and a line on stderr, if it cannot be read."""
    from fmbseg.images import ImageError

    try:
        result = segmenter.segment(image, vocabulary)
    except ImageError as error:
        complain(error, "not segmented")
        return False
    typer.echo(f"{image}: {shares(result)} -> {save(result, target)}")
    return True


def target_names(images: "Sequence[Path]") -> dict[Path, Path]:
    """Where each image's results go, from the output folder, without an ending.

    The folders below the images' common one are kept. Names lose their extension where they still differ.

    Example:
        >>> names = target_names([Path("a/cat.jpg"), Path("a/b/cat.jpg")])
        >>> [name.as_posix() for name in names.values()]
        ['cat', 'b/cat']
    """
    if not images:
        return {}
    root = Path(os.path.commonpath([image.absolute().parent for image in images]))
    whole = {image: image.absolute().relative_to(root) for image in images}
    short = {image: name.with_suffix("") for image, name in whole.items()}
    return short if len(set(short.values())) == len(short) else whole


def shares(result: "Segmentation", most: int = 4) -> str:
    """The largest classes and the parts of the image that they take."""
    pixels = result.labels.size
    largest = Counter(result.areas).most_common(most)
    return ", ".join(f"{name} {area / pixels:.0%}" for name, area in largest if area >= 0.005 * pixels)


def save(result: "Segmentation", target: Path) -> str:
    """Write the class map and the overlay; return the overlay's path."""
    class_map, overlay = _files(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    result.to_png(class_map)
    result.plot(max_side=_LONGEST_SIDE).save(overlay, quality=90)
    return str(overlay)


def _files(target: Path) -> tuple[Path, Path]:
    return target.with_name(f"{target.name}_classes.png"), target.with_name(f"{target.name}_overlay.jpg")


def _refuse_to_overwrite(targets: dict[Path, Path]) -> None:
    images = {image.resolve() for image in targets}
    for target in targets.values():
        for file in _files(target):
            if file.resolve() in images:
                raise ValueError(f"the result {file} would replace an image to segment: give another --out")
