"""Methods for the command line: made from their specs, with what is to be told of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.heads import tell_packaged
from fmbseg.cli.options import DeviceName, Strict, tell_device
from fmbseg.cli.words import warn_of_words_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmbseg.devices import Device
    from fmbseg.method import Method
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.part import Part
    from fmbseg.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class OnDataSet:
    """Options of commands that measure on a data set."""

    data: Annotated[str | None, typer.Option(help="Data set: voc21, coco_stuff171, folder, ...")] = None
    root: Annotated[
        str | None, typer.Option(help="Folder that holds the data set, or its URI (s3://...).")
    ] = None
    protocol: Annotated[str, typer.Option(help="Protocol: paper, own, tcl or tcl-pamr.")] = "paper"
    split: Annotated[str | None, typer.Option(help="Split of the data set; by default the usual one.")] = None
    names: Annotated[
        str, typer.Option(help="Class names: raw, clean, or a file of words in the set's order.")
    ] = "raw"
    part: Annotated[str | None, typer.Option(help="Measure one part: 1/2 is the first of two.")] = None
    limit: Annotated[int | None, typer.Option(help="Measure only the first N images.")] = None
    merge: Annotated[bool, typer.Option("--merge", help="Join the runs of all parts.")] = False
    strict: Strict = False
    device: DeviceName = None

    def own_part(self) -> "Part | None":
        """The part to measure, if not the whole.

        Raises:
            ValueError: it is none.
        """
        from fmbseg.part import Part

        return None if self.part is None else Part.of(self.part)


def load_methods(
    specs: "Sequence[str]",
    *,
    hub: "HubOptions",
    device: "Device",
    lacking: "Callable[[str, Exception], None] | None" = None,
) -> "list[Method]":
    """Load methods that share their models.

    Args:
        specs: see :func:`fmbseg.methods.load_method`.
        hub: how files are found.
        device: where to compute.
        lacking: called with a method that cannot be had here, and why; ``None`` to raise that.

    Raises:
        UnknownNameError: a name in a spec that is not known; nothing was loaded.
    """
    from fmbseg.aligned.config import AlignedEncoderError
    from fmbseg.methods import ModelPool, load_method
    from fmbseg.methods.load import check_method
    from fmbseg.missing_package import MissingPackageError
    from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError

    for spec in specs:
        check_method(spec)
    pool = ModelPool(device=device, hub=hub)
    loaded = []
    for spec in specs:
        tell_packaged(spec)
        try:
            loaded.append(load_method(spec, pool))
        except (AlignedEncoderError, AssetUnavailableError, WeightsError, MissingPackageError) as error:
            if lacking is None:
                raise
            lacking(spec, error)
    tell_device(pool.device)
    return loaded


def warn_of_words_of(method: "Method", vocabulary: "Vocabulary") -> None:
    """Tell of each word that a method's image-text model hardly knows, on a line of stderr."""
    from fmbseg.methods.heads import HeadMethod

    if isinstance(method, HeadMethod):
        warn_of_words_for(method.segmenter, vocabulary)
