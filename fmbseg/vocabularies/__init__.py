"""The benchmarks' class lists that come with the library, and templates that turn words into sentences."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from fmbseg.unknown_name import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKGROUND = "background"
_CLEAN = ":clean"
_IMAGENET = "imagenet1k"


class _List(NamedTuple):
    """How a benchmark's list is made from a data file."""

    file: str
    kind: str | None = None
    background: bool = False


_LISTS = {
    "voc20": _List("voc20.json"),
    "voc21": _List("voc20.json", background=True),
    "context59": _List("context59.json"),
    "context60": _List("context59.json", background=True),
    "coco_object80": _List("coco_stuff171.json", kind="thing"),
    "coco_object81": _List("coco_stuff171.json", kind="thing", background=True),
    "coco_stuff171": _List("coco_stuff171.json"),
    "cityscapes19": _List("cityscapes19.json"),
    "cityscapes30": _List("cityscapes30.json"),
    "ade20k150": _List("ade20k150.json"),
}


def benchmark_names() -> list[str]:
    """The name of every list that :func:`benchmark_classes` knows."""
    return [*_LISTS, _IMAGENET]


def is_benchmark(name: str) -> bool:
    """Whether ``name``, with or without ``:clean``, is one of the lists."""
    return name.removesuffix(_CLEAN) in benchmark_names()


def benchmark_classes(name: str) -> list[str]:
    """The class names of a benchmark, in its order.

    Lists with a background class (``voc21``, ``context60``, ``coco_object81``) have it first, under the
    name ``background``. ``imagenet1k`` has 998 names: "crane" and "maillot" each name two classes.

    Args:
        name: a list's name; followed by ``:clean``, names are as a person writes them
            (``dining table`` for ``diningtable``) where the two differ.

    Raises:
        UnknownNameError: there is no such list.

    Example:
        >>> benchmark_classes("voc21")[:3], benchmark_classes("voc21:clean")[:3]
        (['background', 'aeroplane', 'bicycle'], ['background', 'airplane', 'bicycle'])
    """
    title = name.removesuffix(_CLEAN)
    if title == _IMAGENET:
        return list(dict.fromkeys(imagenet_class_names()))
    if title not in _LISTS:
        raise UnknownNameError("class list", name, benchmark_names())
    file, kind, background = _LISTS[title]
    entries = json.loads(_read(file))["classes"]
    chosen = [entry for entry in entries if kind is None or entry["kind"] == kind]
    clean = name.endswith(_CLEAN)
    names = [str(entry.get("clean_name", entry["name"]) if clean else entry["name"]) for entry in chosen]
    return [BACKGROUND, *names] if background else names


def imagenet_class_names() -> Sequence[str]:
    """ImageNet-1k's 1,000 class names in the classifier's order; two names occur twice."""
    return _read("imagenet_class_names.txt").splitlines()


def coco_stuff_png_ids() -> list[int]:
    """The value in stuffthingmaps' PNGs of each of COCO-Stuff's 171 classes, in the list's order.

    Example:
        >>> coco_stuff_png_ids()[10:13], coco_stuff_png_ids()[-1]
        ([10, 12, 13], 181)
    """
    return [int(entry["png_id"]) for entry in json.loads(_read("coco_stuff171.json"))["classes"]]


def coco_stuff_words(*, clean: bool = False) -> list[str]:
    """The 91 stuff names of COCO-Stuff, which the paper lets mean background.

    Args:
        clean: as a person writes them (``brick wall`` for ``wall-brick``).
    """
    entries = json.loads(_read("coco_stuff171.json"))["classes"]
    stuff = [entry for entry in entries if entry["kind"] == "stuff"]
    return [str(entry.get("clean_name", entry["name"]) if clean else entry["name"]) for entry in stuff]


def common_background_words() -> list[str]:
    """Common stuff and scene words, which compete as background where a vocabulary marks no word.

    Example:
        >>> common_background_words()[:2], "dog" in common_background_words()
        (['banner', 'blanket'], False)
    """
    return [line for line in _read("common_background.txt").splitlines() if not line.startswith("#")]


def _read(file: str) -> str:
    return files(__name__).joinpath(file).read_text(encoding="utf-8")


SIMPLE = ("a photo of a {}.",)
NAMES = ("simple", "clip80")


def templates_of(source: str | Sequence[str]) -> tuple[str, ...]:
    """Return the templates of a name, or those that are given.

    Args:
        source: ``"simple"`` (one, the paper's), ``"clip80"`` (the 80 that CLIP was evaluated on ImageNet
            with, Radford et al. 2021, arXiv 2103.00020), or sentences with ``{}`` for the word.

    Raises:
        UnknownNameError: there are none of that name.
        ValueError: a sentence stands in the place of a list of them.

    Example:
        >>> templates_of("simple"), len(templates_of("clip80")), templates_of(["the {}"])
        (('a photo of a {}.',), 80, ('the {}',))
    """
    if not isinstance(source, str):
        return tuple(source)
    if source == "simple":
        return SIMPLE
    if source == "clip80":
        text = files("fmbseg.vocabularies").joinpath("clip_templates.txt").read_text("utf-8")
        return tuple(text.splitlines())
    if "{}" in source:
        raise ValueError(f"templates is a list; write [{source!r}]")
    raise UnknownNameError("list of templates", source, NAMES)
