"""The files of a head: nothing of the user's is replaced, damage is told, kills leave no half."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import torch

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.files import CONFIG_FILE, FILES, WEIGHTS_FILE, check_place
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.saved import SavedHead
from fmbseg.files import DiskFullError
from fmbseg.heads import packaged_head
from fmbseg.written import WouldReplaceError
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.forks import Forks


def make_encoder(seed: int = 0) -> AlignedEncoder:
    torch.manual_seed(seed)
    return AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText())


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_users_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    for refuse in (check_place, make_encoder().save_pretrained):
        with pytest.raises(WouldReplaceError, match=f"{name} exists, and fmbseg did not write it"):
            refuse(tmp_path)
    assert {path.name for path in tmp_path.glob("[!.]*")} == {name}
    assert (tmp_path / name).read_text() == "mine"


def test_a_card_that_was_edited_is_never_replaced(tmp_path: Path) -> None:
    make_encoder().save_pretrained(tmp_path)
    make_encoder(1).save_pretrained(tmp_path)  # its own files are
    card = tmp_path / "README.md"
    card.write_text(card.read_text() + "my own words\n")
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with pytest.raises(WouldReplaceError, match=r"README\.md was changed since fmbseg wrote it"):
        make_encoder().save_pretrained(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "README.md").symlink_to(tmp_path / "theirs")
    with pytest.raises(WouldReplaceError, match=r"README\.md"):
        make_encoder().save_pretrained(tmp_path / "head")
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_full_disk_names_the_file_and_keeps_the_head_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_encoder().save_pretrained(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFullError, match=r"no room to write .*model\.safetensors"):
            make_encoder(1).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("[!.]*")} == before
    assert not list(tmp_path.glob("*.tmp*"))
    make_encoder(1).save_pretrained(tmp_path)
    assert SavedHead.read(tmp_path).digest() == make_encoder(1).to_save().digest()


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_any_bit_that_flips_is_an_error_that_names_the_file(tmp_path: Path, name: str) -> None:
    """Or changes nothing that is read, as a blank that becomes a tab would."""
    make_encoder().save_pretrained(tmp_path)
    content = (tmp_path / name).read_bytes()
    good = SavedHead.read(tmp_path)
    draw, refused = random.Random(0), 0
    for _ in range(150):
        where, bit = draw.randrange(len(content)), 1 << draw.randrange(8)
        damaged = bytearray(content)
        damaged[where] ^= bit
        (tmp_path / name).write_bytes(damaged)
        try:
            found = SavedHead.read(tmp_path)
        except AlignedEncoderError as error:
            assert name in str(error)  # noqa: PT017 - what is not refused is looked at below
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
        else:
            assert (found.digest(), found.config) == (good.digest(), good.config)
    assert refused > 140


def test_the_packaged_head_has_the_weights_that_were_measured() -> None:
    """SHA-256 of all its values, as when it was put into the package; its files may be written anew."""
    folder = packaged_head("offline")
    assert folder is not None
    digest = "b51a8a492de7590ad5cbe4bd45ac36ef8bca48280a0d09e0252a062cb61f916a"
    assert SavedHead.read(folder).digest() == digest


@pytest.mark.long
def test_killed_at_any_moment_it_leaves_no_half_and_the_same_again_goes_through(tmp_path: Path) -> None:
    heads = [make_encoder(seed).to_save().digest() for seed in (0, 1)]
    make_encoder(0).save_pretrained(tmp_path)
    draw = random.Random(1)
    stopped = 0
    with Forks("from tests.aligned.test_files import make_encoder\nencoder = make_encoder(1)") as forks:
        for _ in range(4):
            forks.start(f"encoder.save_pretrained({str(tmp_path)!r})")
            time.sleep(draw.uniform(0.001, 0.02))
            stopped += forks.kill()
            assert {path.name for path in tmp_path.glob("[!.]*")} == set(FILES)
            try:
                assert SavedHead.read(tmp_path).digest() in heads
            except AlignedEncoderError as error:  # between two files' names: it says so
                assert "is not the file that config.json was saved with" in str(error)  # noqa: PT017
            make_encoder(0).save_pretrained(tmp_path)
            assert SavedHead.read(tmp_path).digest() == heads[0]
    assert stopped
