"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fmbseg.vocabulary import Vocabulary

Classes = Annotated[str | None, typer.Option(help="Words, separated by commas: cat,dog,sofa.")]
VocabularyName = Annotated[
    str | None,
    typer.Option(
        "--vocabulary", help="A .txt or .json file of words, or a benchmark's list: voc20, ade20k150, ..."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with code 1 if any image could not be read.")]
OutFolder = Annotated[Path, typer.Option(help="Folder to write to; made where it does not exist.")]
RecipeName = Annotated[str, typer.Option(help="Names the models and their settings.")]

CacheDir = Annotated[Path | None, typer.Option(help="The Hub's cache, if not where its client keeps it.")]
LocalFilesOnly = Annotated[
    bool, typer.Option("--local-files-only", help="Never use the network (HF_HUB_OFFLINE=1 does the same).")
]

Token = Annotated[
    str | None, typer.Option(help="For private repositories, and to push; else that of `hf auth login`.")
]
Private = Annotated[
    bool | None,
    typer.Option("--private/--public", help="Of a repository that is made; else the owner's default."),
]
Branch = Annotated[str | None, typer.Option(help="Branch to push to; made if it does not exist.")]


def words(classes: str | None, vocabulary: str | None) -> "Vocabulary":
    """The vocabulary that ``--classes`` or ``--vocabulary`` gives.

    Raises:
        typer.BadParameter: neither was given, or both.
        ValueError: no vocabulary can be made of it.
    """
    from fmbseg.vocabulary import Vocabulary

    if (classes is None) == (vocabulary is None):
        raise typer.BadParameter("give the words either as --classes cat,dog or as --vocabulary FILE_OR_NAME")
    if classes is not None:
        return Vocabulary.of(split_words(classes))
    assert vocabulary is not None
    return Vocabulary.of(vocabulary)


def split_words(text: str) -> list[str]:
    """Words separated by commas; what is left between two commas is dropped if empty.

    Example:
        >>> split_words("cat, coffee cup,")
        ['cat', 'coffee cup']
    """
    return [word.strip() for word in text.split(",") if word.strip()]
