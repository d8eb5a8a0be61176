"""The chain of commands, run once for all tests of this folder."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.cli.main import app
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.cli.photographs import write_photographs, write_text_named_jpg

CLASSES = "cat,rocket,tower"


@dataclass(frozen=True)
class Chain:
    """What `fmbseg label` and `fmbseg fit` said and where they wrote."""

    photographs: Path
    labels: Path
    head: Path
    label: Result
    fit: Result


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    root = tmp_path_factory.mktemp("chain")
    photographs, labels, head = root / "photographs", root / "labels", root / "head"
    write_photographs(photographs)
    write_text_named_jpg(photographs / "notes.jpg")
    with pytest.MonkeyPatch.context() as patch:
        # Superpixels need no weights and are quick; the first warning of two is that they stand in.
        patch.setattr("fmbseg.labeling.ways.find_card", lambda role, spec: _Missing())
        given = ["label", str(photographs), "--classes", CLASSES, "--out", str(labels), "--strict"]
        label = CliRunner().invoke(app, [*given, "--recipe", "offline"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FMBSEG_HOME", str(root / "home"))
        fit = CliRunner().invoke(
            app,
            [
                *("fit", str(labels), "--out", str(head), "--from-scratch"),
                *("--epochs", "2", "--image-size", "96"),
            ],
        )
    return Chain(photographs, labels, head, label, fit)


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A small random head, for tests that need no trained one."""
    encoder = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), TinyImageText())
    encoder.save_pretrained(tmp_path / "head")
    return tmp_path / "head"


class _Missing:
    def lacks(self, *, fetch: bool = False) -> str:
        return "its weights are not here"
