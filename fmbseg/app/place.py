"""What the whole page shares: the folders named at start, the models, and one lock for what computes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.files import CONFIG_FILE, read_config
from fmbseg.heads import packaged_head, packaged_heads
from fmbseg.image_files import find_images
from fmbseg.images import ImageError
from fmbseg.labels.manifest import MANIFEST
from fmbseg.methods import load_method
from fmbseg.recipes import RECIPES, recipe_with
from fmbseg.storage import is_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fmbseg.app.jobs import CommandJob
    from fmbseg.method import Method
    from fmbseg.methods import ModelPool

T = TypeVar("T")

_NAME = re.compile(r"[^\W_][\w .-]{0,63}")
_METHODS_KEPT = 4
REMEMBERED_IMAGES = 4
"""Photographs whose encodings are kept, so that going back to one, or asking anew, encodes nothing."""
REMEMBERED_BYTES = 512 * 2**20
"""Of these encodings, at most; with the offline recipe a photograph as large as is shown has 90 MB."""


class Folders:
    """The folders named at start: what the page may read. Whatever a browser sends is looked up among them.

    Args:
        named: the folders.

    Raises:
        NotADirectoryError: one that is no folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as named:
        ...     Folders([named]).find("/etc")
        Traceback (most recent call last):
        ...
        ValueError: '/etc' is not among the folders that this page was started with (--folder)
    """

    def __init__(self, named: Sequence[str | Path]) -> None:
        for one in named:
            if not Path(one).is_dir():
                copied = "; `fmbseg review bake URI --out FOLDER` copies labels" if is_uri(one) else ""
                raise NotADirectoryError(
                    f"{one}: no folder is there; --folder names one that exists on this machine{copied}"
                )
        self._by_name = {str(one): Path(one).resolve() for one in named}

    @property
    def names(self) -> list[str]:
        """As they were given, in that order."""
        return list(self._by_name)

    def find(self, name: object) -> Path:
        """The folder of a name.

        Raises:
            ValueError: it was not named at start.
        """
        return _found(name, self._by_name, "the folders that this page was started with (--folder)")

    def items(self) -> list[tuple[str, Path]]:
        """Names and folders."""
        return list(self._by_name.items())


@dataclass
class Place:
    """What every tab works with.

    Args:
        folders: named at start.
        work: folder below which the page writes: ``labels/NAME``, ``heads/NAME``, ``exports/NAME``.
        pool: of the models.
        recipe: that labels and trains.
        lock: held by whoever runs a model, so that one computes at a time.
        jobs: commands of the tabs, which end when the page does.
    """

    folders: Folders
    work: Path
    pool: ModelPool
    recipe: str
    lock: RLock = field(default_factory=RLock)
    jobs: list[CommandJob] = field(default_factory=list)
    _methods: dict[str, Method] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pool.memory.keep(images=REMEMBERED_IMAGES, size=REMEMBERED_BYTES)

    def photographs(self) -> dict[str, Path]:
        """The named folders that hold photographs and no labels, by name."""
        return {name: path for name, path in self.folders.items() if not _is_made(path)}

    def label_sets(self) -> dict[str, Path]:
        """The label sets: named ones, and those made here; looked for at each call."""
        return self._made("labels", MANIFEST)

    def heads(self) -> dict[str, Path]:
        """The heads: named ones, and those trained here; looked for at each call."""
        return self._made("heads", CONFIG_FILE)

    def photograph_folder(self, name: object) -> Path:
        """The folder of photographs of a name; ValueError for any other."""
        return _found(name, self.photographs(), "the folders of photographs named at start (--folder)")

    def label_set(self, name: object) -> Path:
        """The label set of a name; ValueError for any other."""
        return _found(name, self.label_sets(), "the label sets of this page")

    def head(self, name: object) -> Path:
        """The head of a name; ValueError for any other."""
        return _found(name, self.heads(), "the heads of this page")

    def new(self, kind: str, name: str) -> Path:
        """Where a label set, a head or an export of a name is written: ``work/KIND/NAME``.

        Raises:
            ValueError: the name is none for a folder.
        """
        name = name.strip()
        if not _NAME.fullmatch(name) or name.endswith("."):
            raise ValueError(
                f"{name!r} is no name for a folder: take up to 64 letters, digits, spaces, dots, - or _, "
                "beginning with a letter or digit"
            )
        return self.work / kind / name

    def images_of(self, folder: object) -> list[str]:
        """The photographs of a named folder, as paths from it; none where it has none."""
        path = self.photograph_folder(folder)
        try:
            return [image.relative_to(path).as_posix() for image in find_images(path)]
        except ImageError:
            return []

    def image(self, folder: object, name: object) -> Path:
        """A photograph of a named folder; ValueError for whatever is not one."""
        names = {one: self.photograph_folder(folder) / one for one in self.images_of(folder)}
        return _found(name, names, f"the photographs of {folder}")

    def choices(self) -> dict[str, str]:
        """What can segment: heads and the specs of other methods, by the name that the page shows."""
        packaged = {f"{name} (packaged head)": name for name in packaged_heads()}
        own = {f"{name} (head)": str(path) for name, path in self.heads().items()}
        recipe = RECIPES[self.recipe]
        others = {f"{self.recipe}: Stage 1 alone, slow": f"stage1:{self.recipe}"}
        if recipe.teacher is None:
            others[f"{recipe.image_text}: its dense map"] = f"dense:{recipe.image_text}"
        return {**packaged, **own, **others}

    def spec(self, choice: object) -> str:
        """The spec of a choice; ValueError for any other."""
        return with_recipe(_found(choice, self.choices(), "the heads and methods of this page"))

    def method(self, spec: str) -> Method:
        """The method of a spec, loaded when it is first asked for; hold :attr:`lock`."""
        if spec not in self._methods:
            while len(self._methods) >= _METHODS_KEPT:
                self._methods.pop(next(iter(self._methods)))
            self._methods[spec] = load_method(spec, self.pool)
        self._methods[spec] = self._methods.pop(spec)  # the last one asked for goes last
        return self._methods[spec]

    def forget(self, head: Path) -> None:
        """A head was trained anew: it is read again when it is next asked for."""
        for spec in [one for one in self._methods if head_of(one) == str(head)]:
            del self._methods[spec]

    def close(self) -> None:
        """End what still runs."""
        for job in self.jobs:
            job.stop()

    def _made(self, kind: str, marker: str) -> dict[str, Path]:
        named = {name: path for name, path in self.folders.items() if (path / marker).is_file()}
        here = sorted(path.parent for path in (self.work / kind).glob(f"*/{marker}"))
        return {**named, **{path.name: path for path in here}}


def _found(name: object, known: Mapping[str, T], what: str) -> T:
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{str(name)[:100]!r} is not among {what}")
    return known[name]


def with_recipe(head: str) -> str:
    """The spec of a head that segments as `fmbseg segment` does: with the settings of its models' recipe.

    Args:
        head: folder, or name of a packaged head; the spec of another method stays as it is, and so does a
            damaged head, which is told when it is asked for.

    Example:
        >>> with_recipe("offline"), head_of("offline@offline")
        ('offline@offline', 'offline')
    """
    try:
        config, _ = read_config(packaged_head(head) or Path(head))
    except AlignedEncoderError:
        return head
    recipe = recipe_with(config.backbone, config.text_encoder)
    return head if recipe is None else f"{head}@{recipe.name}"


def head_of(spec: str) -> str:
    """The head of a spec that :func:`with_recipe` made."""
    head, _, recipe = spec.rpartition("@")
    return head if recipe in RECIPES else spec


def _is_made(path: Path) -> bool:
    return (path / MANIFEST).is_file() or (path / CONFIG_FILE).is_file()
