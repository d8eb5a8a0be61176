"""Options shared by several commands."""

import inspect
import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbseg.vocabulary_files import split_words

if TYPE_CHECKING:
    import torch

    from fmbseg.vocabulary import Vocabulary

Classes = Annotated[
    str | None, typer.Option(help='Words, separated by commas, such as cat,dog,"salt, pepper".')
]
VocabularyName = Annotated[
    str | None,
    typer.Option(
        "--vocabulary",
        help="A .txt, .json or .yaml file of words, or a benchmark's list: voc20, ade20k150, ...",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with code 1 if any image could not be read.")]
OutFolder = Annotated[Path, typer.Option(help="Folder to write to; created if it does not exist.")]
DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Device to compute on: cuda, cuda:1, mps, xpu or cpu; by default the best there is.",
    ),
]
RecipeName = Annotated[
    str,
    typer.Option(
        help="Recipe: a named choice of models and settings (`fmbseg models list`); auto: the best in reach."
    ),
]

CacheDir = Annotated[
    Path | None, typer.Option(help="Cache folder of the Hub; by default that of its client.")
]
LocalFilesOnly = Annotated[
    bool, typer.Option("--local-files-only", help="Never use the network (HF_HUB_OFFLINE=1 does the same).")
]
Token = Annotated[
    str | None,
    typer.Option(
        help="Hub token for gated or private files and for pushing; by default that of `hf auth login`."
    ),
]
_HUB_OPTIONS = {
    "cache_dir": (CacheDir, None),
    "local_files_only": (LocalFilesOnly, False),
    "token": (Token, None),
}


def with_hub_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that loads models the options that say where their files come from.

    Args:
        command: takes :class:`~fmbseg.models.loading.hub_files.HubOptions` as the keyword ``hub``.

    Returns:
        The command with ``--cache-dir``, ``--local-files-only`` and ``--token`` instead of ``hub``.
    """
    signature = inspect.signature(command)
    own = [one for one in signature.parameters.values() if one.name != "hub"]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _HUB_OPTIONS.items()
    ]

    @wraps(command)
    def wrapped(**given: Any) -> None:
        from fmbseg.models.loading.hub_files import HubOptions

        hub = HubOptions(**{name: given.pop(name) for name in _HUB_OPTIONS})
        command(**given, hub=hub)

    # Typer reads both.
    wrapped.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in (*own, *options)}
    return wrapped


def tell_device(device: "torch.device") -> None:
    """Name on stderr the device that computes."""
    from fmbseg.devices import device_name

    typer.echo(f"computing on {device_name(device)}", err=True)


def name_and_value(option: str, text: str, example: str) -> tuple[str, Any]:
    """The name and value of ``NAME=VALUE``; a value that is not JSON is text.

    Args:
        option: that was given.
        text: what was given to it.
        example: of what it takes.

    Raises:
        typer.BadParameter: there is no ``=``.

    Example:
        >>> [name_and_value("--set", text, "loss=x")[1] for text in ("rate=0.1", "loss=tsupcon", "cap=null")]
        [0.1, 'tsupcon', None]
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{option} {text}: write NAME=VALUE, for example {option} {example}")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()


Private = Annotated[
    bool | None,
    typer.Option(
        "--private/--public", help="Whether a new repository is private; by default the owner's setting."
    ),
]
Branch = Annotated[str | None, typer.Option(help="Branch to push to; created if it does not exist.")]


def words(classes: str | None, vocabulary: str | None) -> "Vocabulary":
    """The vocabulary that ``--classes`` or ``--vocabulary`` gives.

    Raises:
        typer.BadParameter: neither was given, or both.
        ValueError: it does not form a vocabulary.
    """
    from fmbseg.vocabulary import Vocabulary

    if (classes is None) == (vocabulary is None):
        raise typer.BadParameter("give the words either as --classes cat,dog or as --vocabulary FILE_OR_NAME")
    if classes is not None:
        return _of_words(classes)
    assert vocabulary is not None
    return Vocabulary.of(vocabulary)


def _of_words(classes: str) -> "Vocabulary":
    from fmbseg.vocabularies import is_benchmark
    from fmbseg.vocabulary import Vocabulary
    from fmbseg.vocabulary_files import SUFFIXES

    names = split_words(classes)
    if len(names) == 1 and (
        is_benchmark(names[0]) or (Path(names[0]).suffix.lower() in SUFFIXES and Path(names[0]).is_file())
    ):
        raise typer.BadParameter(f"{names[0]} is a list of words: write --vocabulary {names[0]}")
    return Vocabulary.of(names).with_meanings("--classes")
