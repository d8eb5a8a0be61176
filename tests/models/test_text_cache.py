"""Text vectors on disk: one for each vocabulary and model, made again where the file is damaged."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from fmbseg.models.contracts import ImageTextFeatures
from fmbseg.models.text import embed_vocabulary
from fmbseg.models.transform import PixelTransform
from fmbseg.vocabulary import Vocabulary

ANIMALS = Vocabulary.of({"cat": "cat", "kitten": "cat", "dog": "dog"}, templates="clip80")


class Counting:
    """An encoder that counts what it is asked; its vectors depend on the sentence and on its weights."""

    dim, crop_size, stride, license = 8, 32, 32, "none"
    transform = PixelTransform((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def __init__(self, spec: str = "counting", seed: int = 0) -> None:
        self.spec, self.seed, self.asked = spec, seed, 0

    def to(self, device: torch.device | str) -> "Counting":
        return self

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        self.asked += len(prompts)
        rows = [torch.Generator().manual_seed(self.seed + sum(prompt.encode())) for prompt in prompts]
        vectors = torch.stack([torch.randn(8, generator=row) for row in rows])
        return torch.nn.functional.normalize(vectors, dim=1)

    def encode_image(self, crops: torch.Tensor) -> ImageTextFeatures:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path))
    return tmp_path


def test_a_vocabulary_is_embedded_once(home: Path) -> None:
    first, again = Counting(), Counting()
    vectors = embed_vocabulary(first, ANIMALS)
    assert first.asked == 240 + 1
    assert torch.equal(embed_vocabulary(again, ANIMALS), vectors)
    assert again.asked == 1  # the sentence that tells models apart
    assert len(list((home / "text").iterdir())) == 1


@pytest.mark.parametrize("other", [Counting(spec="another"), Counting(seed=1)])
def test_another_model_is_not_taken_for_it(other: Counting) -> None:
    embed_vocabulary(Counting(), ANIMALS)
    embed_vocabulary(other, ANIMALS)
    assert other.asked > 240


def test_another_vocabulary_is_not_taken_for_it() -> None:
    encoder = Counting()
    embed_vocabulary(encoder, ANIMALS)
    embed_vocabulary(encoder, Vocabulary.of(["cat", "dog"], templates="clip80"))
    assert encoder.asked == 240 + 160 + 2


def test_a_short_vocabulary_is_not_kept(home: Path) -> None:
    embed_vocabulary(Counting(), Vocabulary.of(["cat"]))
    assert not (home / "text").exists()


def test_a_damaged_file_is_made_again(home: Path) -> None:
    vectors = embed_vocabulary(Counting(), ANIMALS)
    (file,) = (home / "text").iterdir()
    file.write_bytes(file.read_bytes()[:20])
    with pytest.warns(UserWarning, match="is damaged: .*the text vectors are made again"):
        assert torch.equal(embed_vocabulary(Counting(), ANIMALS), vectors)
    assert torch.equal(embed_vocabulary(Counting(), ANIMALS), vectors)


def test_no_flipped_bit_is_believed(home: Path) -> None:
    vectors = embed_vocabulary(Counting(), ANIMALS)
    (file,) = (home / "text").iterdir()
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        with pytest.warns(UserWarning, match="made again"):
            assert torch.equal(embed_vocabulary(Counting(), ANIMALS), vectors)
        assert file.read_bytes() == whole


def test_vectors_of_another_name_are_not_believed(home: Path) -> None:
    vectors = embed_vocabulary(Counting(), ANIMALS)
    embed_vocabulary(Counting(seed=1), ANIMALS)
    one, other = (home / "text").iterdir()
    content = one.read_bytes(), other.read_bytes()
    one.write_bytes(content[1])
    other.write_bytes(content[0])
    with pytest.warns(UserWarning, match="holds other vectors; the text vectors are made again"):
        assert torch.equal(embed_vocabulary(Counting(), ANIMALS), vectors)


def test_a_cache_that_cannot_be_written_is_told_and_done_without(home: Path) -> None:
    (home / "text").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="text vectors are not kept in .* set FMBSEG_HOME"):
        assert embed_vocabulary(Counting(), ANIMALS).shape == (2, 8)


def test_the_mean_of_normalised_templates_is_normalised() -> None:
    """The convention of CLIP: each sentence at unit length, their mean, brought back to unit length."""
    encoder = Counting()
    sentences = [text for index, text in ANIMALS.texts() if index == 0]
    mean = encoder.encode_text(sentences).mean(dim=0)
    torch.testing.assert_close(embed_vocabulary(encoder, ANIMALS)[0], mean / mean.norm())
