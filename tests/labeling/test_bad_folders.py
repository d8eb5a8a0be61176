"""Folders that may not be read or written, two runs in one folder, and names that are hard to write down."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fmbseg import LabelSet, PseudoLabeler
from fmbseg.labeling.settings import LabelingSettings
from fmbseg.labels.formats.coco_export import export_coco
from fmbseg.labels.formats.coco_import import import_coco
from fmbseg.labels.verification import verify
from fmbseg.models.mask_generators.superpixels import superpixels
from tests.labeling.colours import ColourEncoder, painted
from tests.labeling.runs import Server, done, pictures
from tests.labeling.test_kill_moments import files
from tests.labels.examples import assert_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for path in folder.iterdir():
            path.chmod(0o755)


@needs_fork
@pytest.mark.long
def test_folders_without_permission(open_folder: Path, server: Server) -> None:
    user = {"user": NOBODY} if os.geteuid() == 0 else {}
    source, out = open_folder / "photographs", open_folder / "labels"
    pictures(source, 6)
    assert server.run(source, out)["error"] == ""
    before = files(out)
    out.chmod(0o000)
    sealed = server.run(source, out, **user)["error"]
    out.chmod(0o555)
    closed = server.run(source, out, **user)["error"]
    out.chmod(0o755)
    source.chmod(0o000)
    unread = server.run(source, open_folder / "more", **user)["error"]
    source.chmod(0o755)
    (source / "0003.png").chmod(0o000)
    again = open_folder / "again"
    again.mkdir()
    again.chmod(0o777)
    assert server.run(source, again, **user)["error"] == ""
    for error in (sealed, closed):
        assert error.startswith("PermissionError: [Errno 13] Permission denied: ")
        assert str(out) in error
    assert unread == f"ImageError: {source} cannot be read (Permission denied); check its permissions"
    assert files(out) == before
    (failed,) = LabelSet(again).errors
    assert failed["error"].startswith("0003.png cannot be read (Permission denied)")


@needs_fork
@pytest.mark.long
def test_two_runs_in_one_folder(tmp_path: Path, server: Server) -> None:
    source, out, whole = tmp_path / "photographs", tmp_path / "labels", tmp_path / "whole"
    pictures(source, 120)
    assert server.run(source, whole)["error"] == ""
    with Server() as first:
        first.start(source, out)
        give_up = time.monotonic() + 20
        while not done(out) and time.monotonic() < give_up:
            time.sleep(0.001)
        refused = server.run(source, out)["error"]
        assert first.wait()["error"] == ""
    assert refused.startswith(
        f"WouldReplaceError: another run is writing to {out}; wait for it or use another"
    )
    assert files(out) == files(whole)


@pytest.mark.filterwarnings("ignore:superpixels takes no point prompts")
class TestNames:
    @pytest.fixture
    def photographs(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photo graphs 🐈"
        folder.mkdir()
        half = painted((64, 96), red=(slice(0, 64), slice(0, 48)), blue=(slice(0, 64), slice(48, 96)))
        Image.fromarray(half).save(folder / 'a "b", c.png')
        return folder

    def label(self, photographs: Path, words: list[str], out: Path) -> LabelSet:
        made = PseudoLabeler(
            image_text=ColourEncoder(),
            mask_generator=superpixels(),
            settings=LabelingSettings(short_side=64, keep_fraction=1.0),
        )
        return made.label(photographs, words, out, progress=False)

    def test_slashes_emoji_and_quotes(self, photographs: Path, tmp_path: Path) -> None:
        words = ["red/🐈\\", 'blue "it\'s", <b>', "white [bold]\u2028x"[:12]]
        labels = self.label(photographs, words, tmp_path / "out")
        (image,) = labels
        assert [labels.vocabulary.names[index] for index in image.detected] == words[:2]
        assert verify(labels.folder, photographs=True) == []
        path = export_coco(labels, tmp_path / "coco.json").path
        (again,) = import_coco(path, photographs, tmp_path / "again")
        assert_equal(again, image)

    @pytest.mark.parametrize("name", ["two\nlines", "two\r\nlines", "two\u2028lines", "\n", ""])
    def test_line_breaks_are_refused(self, photographs: Path, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match=r"class 1 (spans several lines|is empty)"):
            self.label(photographs, ["red", name], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_five_thousand_classes(self, photographs: Path, tmp_path: Path) -> None:
        words = [*(f"white {index}" for index in range(4998)), "red", "blue"]
        labels = self.label(photographs, words, tmp_path / "out")
        (image,) = labels
        assert image.detected == (4998, 4999)
        assert set(image.label_map().ravel().tolist()) == {4998, 4999}
        assert len(LabelSet(labels.folder).vocabulary) == 5000
