"""`fmbseg push` and `fmbseg pull` against a Hub on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from fmbseg.aligned.saved import SavedHead
from fmbseg.cli.main import app
from fmbseg.heads import DEFAULT_HEAD, packaged_head
from tests.hub.heads import make_encoder
from tests.models.backbones.tiny_models import dinov2_folder

if TYPE_CHECKING:
    from tests.hub.server import Hub

# Of the client's own making; outside of tests Python does not show it.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def head(tmp_path: Path, hub: Hub) -> Path:
    from fmbseg.models.registries import BACKBONES

    hub.put("bob/encoder", {file.name: file.read_bytes() for file in dinov2_folder(tmp_path / "m").iterdir()})
    make_encoder(backbone=BACKBONES.create("timm:hf-hub:bob/encoder")).save_pretrained(tmp_path / "head")
    return tmp_path / "head"


def fmbseg(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_there_and_back(hub: Hub, head: Path, tmp_path: Path) -> None:
    code, said = fmbseg("push", head, "alice/head", "--license", "mit", "--message", "mine", "--private")
    assert code == 0, said
    repository = hub.repository("alice/head")
    assert said.strip() == f"{hub.url}/alice/head/commit/{repository.branches['main']}"
    assert (repository.private, repository.messages[-1]) == (True, "mine")
    code, said = fmbseg("pull", "alice/head", "--out", tmp_path / "pulled")
    assert (code, said.strip()) == (0, str(tmp_path / "pulled"))
    assert SavedHead.read(tmp_path / "pulled").digest() == SavedHead.read(head).digest()
    assert ModelCard.load(tmp_path / "pulled" / "README.md").data.license == "mit"


@pytest.mark.long
def test_the_head_of_the_offline_recipe_goes_there_and_back(hub: Hub, tmp_path: Path) -> None:
    packaged = packaged_head(DEFAULT_HEAD)
    assert packaged is not None
    assert fmbseg("push", packaged, "alice/offline", "--license", "apache-2.0")[0] == 0
    assert fmbseg("pull", "alice/offline", "--out", tmp_path / "pulled")[0] == 0
    maps = []
    for head in (packaged, tmp_path / "pulled"):
        out = tmp_path / f"results of {head.name}"
        code, said = fmbseg("segment", "--example", "--classes", "cat", "--head", head, "--out", out)
        assert code == 0, said
        maps.append((out / "chelsea_classes.png").read_bytes())
    assert maps[0] == maps[1]


def test_a_branch_and_the_cache(hub: Hub, head: Path) -> None:
    assert fmbseg("push", head, "alice/head", "--branch", "draft")[0] == 0
    code, said = fmbseg("pull", "alice/head", "--revision", "draft")
    assert code == 0
    assert Path(said.strip()).name == hub.repository("alice/head").branches["draft"]
    code, _ = fmbseg("pull", "alice/head", "--revision", "draft", "--local-files-only")
    assert code == 0


def test_errors_are_one_line(hub: Hub, head: Path) -> None:
    code, said = fmbseg("push", head, "bob/head")
    assert code == 1
    assert said.startswith("error: bob/head was not pushed")
    assert said.count("\n") == 1
    code, said = fmbseg("pull", "alice/none")
    assert code == 1
    assert said.startswith("error: alice/none: config.json is neither")
    assert said.count("\n") == 1


def test_a_segmenter_by_name(hub: Hub, head: Path) -> None:
    from fmbseg.cli.heads import load_segmenter

    fmbseg("push", head, "alice/head")
    segmenter = load_segmenter("alice/head")
    assert segmenter.describe() == make_segmenter(head)


def make_segmenter(head: Path) -> dict[str, object]:
    from fmbseg import OpenVocabSegmenter

    return OpenVocabSegmenter.from_pretrained(head).describe()


@pytest.mark.parametrize("name", ["bad name", "alice/head/more", "../head", "alice//head", "-alice/head-"])
def test_a_bad_name_is_told_before_anything_is_read_or_asked(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(_folder: Path) -> None:
        raise AssertionError("the head was read")

    monkeypatch.setattr(SavedHead, "read", refuse)
    for command in (("push", tmp_path, "--", name), ("pull", "--", name)):
        code, said = fmbseg(*command)
        assert (code, said) == (
            1,
            f"error: {name!r} is not the name of a Hub repository, which is 'owner/name'\n",
        )
    assert hub.seen == []


def test_what_is_pulled_replaces_an_earlier_pull_and_nothing_else(
    hub: Hub, head: Path, tmp_path: Path
) -> None:
    fmbseg("push", head, "alice/head")
    out = tmp_path / "out"
    for _ in range(2):
        assert fmbseg("pull", "alice/head", "--out", out)[0] == 0
    (out / "README.md").write_text("my own notes")
    asked = len(hub.seen)
    code, said = fmbseg("pull", "alice/head", "--out", out)
    assert code == 1
    assert "README.md was changed since fmbseg wrote it" in said
    assert len(hub.seen) == asked
    assert (out / "README.md").read_text() == "my own notes"
