"""Options shared by several commands."""

import inspect
import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from fmbseg.labels.collection import LabelCollection
    from fmbseg.models.loading.hub_files import HubOptions
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


def _local(path: Path | None) -> Path | None:
    """Refuse a URI where only a local path can stand."""
    from fmbseg.labels.place import check_local

    if path is not None:
        try:
            check_local(path)
        except ValueError:
            name = str(path).replace(":/", "://", 1)
            raise typer.BadParameter(f"{name} is a URI: this command writes to local folders") from None
    return path


OutFolder = Annotated[
    Path, typer.Option(help="Folder to write to; created if it does not exist.", callback=_local)
]
OutPlace = Annotated[
    str, typer.Option(help="Folder or URI (s3://bucket/labels) to write to; created if it does not exist.")
]
PHOTOGRAPHS = (
    "A folder of photographs, or files; by path or URI (s3://, gs://, hf://). Also lists (.txt, "
    "list.parquet#url), tar files ({000..099}.tar) and Parquet files of images."
)
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


@dataclass(frozen=True)
class _HubOptions:
    cache_dir: CacheDir = None
    local_files_only: LocalFilesOnly = False
    token: Token = None


def with_hub_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that loads models the options that say where their files come from.

    Args:
        command: takes :class:`~fmbseg.models.loading.hub_files.HubOptions` as the keyword ``hub``.

    Returns:
        The command with ``--cache-dir``, ``--local-files-only`` and ``--token`` instead of ``hub``.
    """

    def made(**given: Any) -> "HubOptions":
        from fmbseg.models.loading.hub_files import HubOptions

        return HubOptions(**given)

    return _expanded(command, "hub", _HubOptions, made)


def with_options(kind: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take its options as one object, so that the list of them is not a part of its code.

    Args:
        kind: a dataclass whose fields are arguments and options in Typer's terms; the command takes it as the
            keyword ``asked``.
    """
    return lambda command: _expanded(command, "asked", kind, kind)


def _expanded(
    command: Callable[..., None], keyword: str, kind: type, make: Callable[..., object]
) -> Callable[..., None]:
    """The command with the fields of a dataclass in the place of one keyword, which is made of them."""
    options = {field.name: field for field in fields(kind)}
    signature = inspect.signature(command)
    parameters: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        if one.name != keyword:
            parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        for name, field in options.items():
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type
                )
            )

    @wraps(command)
    def wrapped(**given: Any) -> None:
        made = make(**{name: given.pop(name) for name in options})
        command(**given, **{keyword: made})

    # Typer reads both.
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
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
    from fmbseg.vocabulary_files import SUFFIXES, split_words

    names = split_words(classes)
    if len(names) == 1 and (
        is_benchmark(names[0]) or (Path(names[0]).suffix.lower() in SUFFIXES and Path(names[0]).is_file())
    ):
        raise typer.BadParameter(f"{names[0]} is a list of words: write --vocabulary {names[0]}")
    return Vocabulary.of(names).with_meanings("--classes")


class Stage(str, Enum):
    """Which masks to use."""

    POINTS = "1.1"
    EVERYTHING = "1.2"
    CONCEPT = "concept"
    HAND = "hand"


Labels = Annotated[
    str, typer.Argument(help="Folder or URI written by `fmbseg label` or `fmbseg labels import`.")
]
Stages = Annotated[
    list[Stage] | None, typer.Option("--stage", help="Use only masks of this stage; repeatable.")
]
MinIou = Annotated[
    float, typer.Option("--min-predicted-iou", help="Use only masks with at least this predicted IoU.")
]
MinSimilarity = Annotated[
    float,
    typer.Option("--min-similarity", help="Use only masks with at least this similarity to their class."),
]


ShownCertainty = Annotated[
    float | None,
    typer.Option(
        "--certainty",
        help="Use what is at least this certain, 0 to 1; 0: everything. By default what the labels' recipe "
        "shows; what is not known to be uncertain is always used.",
    ),
]


@dataclass(frozen=True)
class ChosenMasks:
    """Which masks of a label set to use."""

    stage: Stages = None
    min_predicted_iou: MinIou = 0.0
    min_similarity: MinSimilarity = -1.0
    certainty: ShownCertainty = None

    def of(self, folder: str) -> "LabelCollection":
        """The labels of a folder, with these masks.

        Raises:
            FileNotFoundError: the folder holds no label set.
            ValueError: it is damaged, or a score is outside its range.
        """
        from fmbseg.labels.label_set import LabelSet
        from fmbseg.labels.record import STAGES

        labels = LabelSet(folder, certainty=self.certainty)
        if self == ChosenMasks(certainty=self.certainty):
            return labels
        stages = self.stage or []
        wanted = [number for number, name in STAGES.items() if Stage(name) in stages] or None
        return labels.filter(
            stages=wanted, min_predicted_iou=self.min_predicted_iou, min_similarity=self.min_similarity
        )
