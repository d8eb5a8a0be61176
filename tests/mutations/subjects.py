"""The files, and for each a use of it whose outcome can be compared."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from fmbseg import Aligner, PseudoLabeler
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.onnx_file import export_onnx
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.evaluation.datasets import open_data
from fmbseg.evaluation.evaluate import evaluate
from fmbseg.evaluation.table import table
from fmbseg.images import load_image
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.formats.yolo import export_yolo
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.verification import verify
from fmbseg.models.exported import ExportedEncoder
from fmbseg.models.mask_generators.kept_masks import KeptMasks
from fmbseg.models.mask_generators.superpixels import Superpixels, superpixels
from fmbseg.models.text import embed_vocabulary
from fmbseg.vocabulary import Vocabulary
from tests.aligned.test_export import ModuleBackbone
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.evaluation.red_channel import RedChannel
from tests.labeling.colours import RGB, ColourEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmbseg.models.mask_generators.superpixels import SuperpixelPrompter

WORDS = ["red", "blue", "green", "white"]
_PIXELS = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
_SETTINGS = TrainingSettings(epochs=2, batch_size=2, image_size=32, optimizer="adamw", seed=1)


@dataclass(frozen=True)
class Subject:
    """A kind of file.

    Attributes:
        name: for the table.
        file: the file's place below the root, or a pattern of it.
        use: what a user does with it, given a root that is thrown away afterwards; what came of it.
    """

    name: str
    file: str
    use: Callable[[Path], Any]

    def path(self, root: Path) -> Path:
        """The file below a root."""
        (path,) = root.glob(self.file)
        return path


def digest(outcome: Any) -> str:
    """Equal for equal outcomes only."""
    return hashlib.sha256(pickle.dumps(_plain(outcome))).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return _plain(value.detach().numpy())
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return [(_plain(key), _plain(one)) for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return vars(value) if hasattr(value, "__dict__") and not isinstance(value, Path) else repr(value)


def build(root: Path) -> None:
    """Write one of each kind."""
    _photographs(root / "photos")
    labels = _label(root, "labels")
    shutil.copytree(root / "labels", root / "unfinished")
    _stop_in_the_second_shard(root)
    export_coco(labels, root / "coco.json")
    export_yolo(labels, root / "yolo")
    torch.manual_seed(3)
    encoder = AlignedEncoder(ModuleBackbone(), AlignmentHead(24, 16), TinyImageText())
    export_onnx(encoder, root / "head.onnx")
    AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText()).save_pretrained(root / "head")
    _fit(root)
    _text(root)
    _masks(root)
    _data(root / "data")
    _evaluate_stopped(root)
    _evaluate(root, RedChannel(), "measured")


class _Stopping(Superpixels):
    """Superpixels that are stopped at the sixth photograph."""

    begun = 0

    def begin(self, image: NDArray[np.uint8]) -> SuperpixelPrompter:
        self.begun += 1
        if self.begun == 6:
            raise KeyboardInterrupt
        return super().begin(image)


def _photographs(folder: Path) -> None:
    """Seven of coloured squares, and a file that is none."""
    folder.mkdir()
    random = np.random.default_rng(0)
    colours = np.array([RGB[name] for name in WORDS], np.uint8)
    for index in range(7):
        squares = colours[random.integers(0, 4, (2, 2))]
        Image.fromarray(squares.repeat(32, 0).repeat(32, 1)).save(folder / f"{index:04}.png")
    (folder / "0007.png").write_text("no picture")


def _labeler(masks: Superpixels) -> PseudoLabeler:
    return PseudoLabeler(
        image_text=ColourEncoder(),
        mask_generator=masks,
        settings=LabelingSettings(short_side=64, min_crops=1, batch_size=4),
    )


def _stop_in_the_second_shard(root: Path) -> None:
    """As a run leaves it that was killed in its second shard."""
    folder = root / "unfinished"
    for path in folder.iterdir():
        if path.name != "manifest.json":
            path.unlink()
    try:
        _label(root, "unfinished", _Stopping(scales=(200.0,)))
    except KeyboardInterrupt:
        assert (folder / "journal.jsonl").stat().st_size
        return
    raise AssertionError("it was to be stopped")


def _label(root: Path, out: str, masks: Superpixels | None = None) -> LabelSet:
    labeler = _labeler(masks or superpixels(scales=(200.0,)))
    return labeler.label(root / "photos", WORDS, root / out, shard_size=3, progress=False)


def _records(root: Path) -> Any:
    labels = LabelSet(root / "labels")
    problems = [problem for problem in verify(labels.folder) if "not finished" not in str(problem)]
    if problems:
        raise ValueError(f"{labels.folder}: {problems[0]}")
    return [labels.vocabulary.to_dict(), labels.origin, labels.errors, list(labels), labels.fingerprint]


def _continued(root: Path) -> Any:
    labels = _label(root, "unfinished")
    return [labels.errors, list(labels)]


def _fit(root: Path) -> Any:
    """Fit with a checkpoint and a cache of features, or go on with it."""
    aligner = Aligner(
        TinyBackbone(), TinyImageText(), settings=_SETTINGS, features_dir=root / "features", device="cpu"
    )
    aligner.fit(root / "labels", checkpoint=root / "fit", progress=False)
    return aligner.encoder.head.state_dict()


def _fit_anew(root: Path) -> Any:
    """Fit from the start, with the features that are kept."""
    shutil.rmtree(root / "fit")
    return _fit(root)


def _head(root: Path) -> Any:
    encoder = AlignedEncoder.from_pretrained(
        root / "head", backbone=TinyBackbone(), text_encoder=TinyImageText()
    )
    return [encoder.encode(_PIXELS), encoder.describe(), encoder.config.to_dict()]


def _onnx(root: Path) -> Any:
    return ExportedEncoder(root / "head.onnx", text_encoder=TinyImageText()).encode(_PIXELS)


def _text(root: Path) -> Any:
    before = os.environ.get("FMBSEG_HOME")
    os.environ["FMBSEG_HOME"] = str(root / "home")
    try:
        return embed_vocabulary(TinyImageText(), Vocabulary.of(WORDS, templates="clip80"))
    finally:
        if before is None:
            del os.environ["FMBSEG_HOME"]
        else:
            os.environ["FMBSEG_HOME"] = before


def _masks(root: Path) -> Any:
    image = load_image(root / "photos" / "0000.png")
    with KeptMasks(superpixels(scales=(200.0,)), {}, root / "kept") as masks:
        return masks.begin(image).everything()


def _data(root: Path) -> None:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("0\tbackground\n1\tcat\n2\tcup\n255\tignore\n")
    random = np.random.default_rng(0)
    for index in range(7):
        target, given = random.integers(0, 3, (2, 12, 16)).astype(np.uint8)
        red = np.zeros((12, 16, 3), np.uint8)
        red[..., 0] = given * 100
        Image.fromarray(red).save(root / "images" / f"{index}.png")
        Image.fromarray(target).save(root / "masks" / f"{index}.png")


def _evaluate(root: Path, segmenter: RedChannel, out: str = "run") -> Any:
    data = open_data("folder_background", root.parent / "whole" / "data")  # a run knows where its data lie
    return evaluate(segmenter, data, "paper", out=root / out, pictures=0).figures


def _table(root: Path) -> Any:
    return table([root / "measured"])


def _evaluate_rest(root: Path) -> Any:
    return _evaluate(root, RedChannel())


def _evaluate_stopped(root: Path) -> None:
    try:
        _evaluate(root, RedChannel(stop_after=4))
    except KeyboardInterrupt:
        return
    raise AssertionError("it was to be stopped")


def _imported(root: Path) -> Any:
    return list(import_coco(root / "coco.json", root / "photos", root / "imported"))


def _exported_again(root: Path) -> Any:
    export_yolo(LabelSet(root / "labels"), root / "yolo")
    return sorted(
        (path.relative_to(root).as_posix(), path.read_bytes())
        for path in (root / "yolo").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


SUBJECTS = (
    Subject("labels: manifest.json", "labels/manifest.json", _records),
    Subject("labels: shard", "labels/shard-00001.parquet", _records),
    Subject("labels: journal.jsonl", "unfinished/journal.jsonl", _continued),
    Subject("labels: shard, run goes on", "unfinished/shard-00000.parquet", _continued),
    Subject("export: COCO JSON, imported", "coco.json", _imported),
    Subject("export: list of what was written", "yolo/.fmbseg-written.jsonl", _exported_again),
    Subject("fit: training.pt", "fit/training.pt", _fit),
    Subject("fit: features", "features/*/part-00000.f16", _fit_anew),
    Subject("fit: index of features", "features/*/part-00000.jsonl", _fit_anew),
    Subject("fit: probe of the backbone", "features/*/probe.npy", _fit_anew),
    Subject("head: config.json", "head/config.json", _head),
    Subject("head: model.safetensors", "head/model.safetensors", _head),
    Subject("head: ONNX", "head.onnx", _onnx),
    Subject("text vectors", "home/text/*.vectors", _text),
    Subject("masks.sqlite", "kept/masks.sqlite", _masks),
    Subject("eval: run.json", "run/run.json", _evaluate_rest),
    Subject("eval: report.json, in a table", "measured/report.json", _table),
    Subject("eval: images.jsonl", "run/images.jsonl", _evaluate_rest),
)
