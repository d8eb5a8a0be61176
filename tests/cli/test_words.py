"""``fmbseg words``, and what is told of words before any work."""

import json

import pytest
import torch
from typer.testing import CliRunner

from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.cli.main import app
from fmbseg.cli.words import warn_of_words_for
from fmbseg.models.loading import create
from fmbseg.segmentation.segmenter import OpenVocabSegmenter
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone
from tests.models.test_familiarity import Trained

RUNNER = CliRunner()
PERSON = (
    'person: the image-text model "tiny-test" hardly knows this word (nearest: cat, elephant, dog); '
    "a recipe with CLIP does"
)


def test_words_are_known_hardly_known_or_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "create_model", lambda *_: Trained())
    result = RUNNER.invoke(app, ["words", "--classes", "dog,puppy,person,elephnt"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        (
            "dog      known (1.00), nearest: dog, cat, elephant; "
            "shares pixels with puppy: give them one class, or keep one"
        ),
        (
            "puppy    known (0.98), nearest: dog, cat, elephant; "
            "shares pixels with dog: give them one class, or keep one"
        ),
        (
            "person   hardly known (0.34), nearest: cat, elephant, dog; "
            "shares pixels with elephnt: give them one class, or keep one"
        ),
        (
            "elephnt  hardly known (0.26), nearest: cat, elephant, dog; did you mean 'elephant'?; "
            "shares pixels with person: give them one class, or keep one"
        ),
    ]
    told = json.loads(RUNNER.invoke(app, ["words", "--classes", "person,dog", "--json"]).stdout)
    assert [(word["name"], word["hardly_known"]) for word in told["words"]] == [
        ("person", True),
        ("dog", False),
    ]


def test_a_segmenter_tells_of_words_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    words = Vocabulary.of(["dog", "person"])
    encoder = AlignedEncoder(TinyBackbone(), AlignmentHead(24, 16), Trained())
    warn_of_words_for(OpenVocabSegmenter(encoder), words)
    assert capsys.readouterr().err == f"warning: {PERSON}\n"
    trained = AlignedEncoder(
        TinyBackbone(), AlignmentHead(24, 16), Trained(), prototypes=Prototypes(words, torch.eye(2, 16))
    )
    warn_of_words_for(OpenVocabSegmenter(trained), words)
    assert capsys.readouterr().err == ""
