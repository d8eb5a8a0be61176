"""Loading a head from what the user gives: a folder, a repository on the Hub, or an exported file."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fmbseg.cli.options import tell_device
from fmbseg.heads import packaged_head

if TYPE_CHECKING:
    from fmbseg.devices import Device
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.segment_settings import SegmentSettings
    from fmbseg.segmentation.segmenter import OpenVocabSegmenter


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

    if packaged_head(head) is not None:
        typer.echo(
            f"head {head}: of the package, for the small models of the recipe offline; for a better one: "
            "fmbseg label PHOTOS --recipe auto ..., then fmbseg fit",
            err=True,
        )
    if Path(head).suffix == ".onnx":
        from fmbseg.models.exported import ExportedEncoder

        segmenter = OpenVocabSegmenter(ExportedEncoder(head, device=device, hub=hub), settings=settings)
    else:
        segmenter = OpenVocabSegmenter.from_pretrained(head, settings=settings, device=device, hub=hub)
    tell_device(segmenter.encoder.device)
    return segmenter
