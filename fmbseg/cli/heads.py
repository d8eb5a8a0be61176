"""Loading a head from what the user gives (a folder, a repository, an exported file), and its calibration."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from fmbseg.cli.friendly import complain
from fmbseg.cli.options import tell_device
from fmbseg.escaping import terminal
from fmbseg.heads import packaged_head

if TYPE_CHECKING:
    from fmbseg.devices import Device
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.segmentation.calibration import Calibration
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter
    from fmbseg.vocabulary import Vocabulary


def load_segmenter(
    head: str,
    settings: "SegmentSettings | None" = None,
    hub: "HubOptions | None" = None,
    device: "Device" = None,
) -> "OpenVocabSegmenter":
    """Load a head, and say on stderr where it computes; of one of the package, a line says so.

    Args:
        head: folder that ``save_pretrained`` wrote, ``owner/name`` on the Hub, or an ``.onnx`` file.
        settings: of the segmenter.
        hub: how the files of the frozen models are found.
        device: where to compute; by default the best there is.

    Raises:
        AlignedEncoderError: there is no head in that folder.
        AssetUnavailableError: the Hub cannot be reached.
        ExportedModelError: the file is not an exported encoder.
        DeviceError: there is no such device.
    """
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter

    tell_packaged(head)
    if Path(head).suffix == ".onnx":
        from fmbseg.models.exported import ExportedEncoder

        segmenter = OpenVocabSegmenter(ExportedEncoder(head, device=device, hub=hub), settings=settings)
    else:
        segmenter = OpenVocabSegmenter.from_pretrained(head, settings=settings, device=device, hub=hub)
    tell_device(segmenter.encoder.device)
    return segmenter


def settings_of(head: str, hub: "HubOptions | None", *, plain: bool) -> "SegmentSettings":
    """The settings that a head comes with: those of the recipe that has its models.

    Args:
        head: as for :func:`load_segmenter`; an exported file comes with none.
        hub: how its files are found.
        plain: the head alone, without what the recipe adds.
    """
    from fmbseg.recipes import segmenting_with
    from fmbseg.segment_settings import SegmentSettings

    if plain or Path(head).suffix == ".onnx":
        return SegmentSettings()
    from fmbseg.aligned.saved import SavedHead

    config = SavedHead.find(head, hub).config
    return segmenting_with(config.backbone, config.text_encoder)


CALIBRATION_FILE = "calibration.json"
_NONE = "none"


class FoundCalibration(NamedTuple):
    """A calibration and the file that it was read from."""

    path: Path
    calibration: "Calibration"

    def applied_to(
        self, segmenter: "OpenVocabSegmenter", wanted: "Vocabulary", certainty: float | None
    ) -> "OpenVocabSegmenter":
        """The segmenter with it, told in one line; other words than it was made with are warned of.

        Raises:
            ValueError: it is of another head.
        """
        try:
            found = self.calibration.applied_to(segmenter, certainty)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}, or give --calibration none") from error
        least = found.settings.certainty or 0.0
        typer.echo(f"calibration {terminal(str(self.path))}: blank below certainty {least:g}", err=True)
        new = [name for name in wanted.names if name not in self.calibration.words]
        gone = [name for name in self.calibration.words if name not in wanted.names]
        if new or gone:
            told = [
                f"{what} {', '.join(names[:5])}" for what, names in (("new:", new), ("gone:", gone)) if names
            ]
            complain(
                f"{self.path} was made with other words ({'; '.join(told)}): its certainties may be off; "
                f"run `fmbseg calibrate` with these",
                "warning",
            )
        return found


def find_calibration(head: str, given: str | None) -> FoundCalibration | None:
    """Read the calibration that the user gives, or else the one in the head's folder, if there is one.

    Raises:
        DamagedFileError: it was changed since it was written.
        ValueError: it is none.
        OSError: the file that was given cannot be read.
    """
    if given == _NONE:
        return None
    path = Path(head, CALIBRATION_FILE) if given is None else Path(given)
    if given is None and not path.is_file():
        return None
    from fmbseg.checksums import read_sealed_json
    from fmbseg.files import DamagedFileError
    from fmbseg.segmentation.calibration import Calibration

    try:
        return FoundCalibration(path, Calibration.from_dict(read_sealed_json(path)))
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error}; run `fmbseg calibrate` again, or give --calibration none"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def tell_packaged(head: str) -> None:
    """Say on stderr that a head is one of the package."""
    if packaged_head(head) is not None:
        typer.echo(
            f"head {head}: of the package, for the small models of the recipe offline; for larger ones: "
            "fmbseg label PHOTOS --recipe base ..., then fmbseg fit",
            err=True,
        )
