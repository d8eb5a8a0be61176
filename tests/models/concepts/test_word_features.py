"""Features of words are computed once a word, and no more are kept than there is room for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fmbseg.models.concepts import word_features
from fmbseg.models.concepts.word_features import WordFeatures


def tokenizer(word: str, **given: Any) -> dict[str, Any]:
    ids = [len(part) for part in word.split()]
    fill = max(0, given.get("max_length", 0) - len(ids))
    if given.get("add_special_tokens", True):
        ids.append(9)
        fill = max(0, fill - 1)
    mask = [[1] * len(ids) + [0] * fill]
    if "return_tensors" not in given:
        return {"input_ids": ids}
    return {"input_ids": torch.tensor([ids + [0] * fill]), "attention_mask": torch.tensor(mask)}


def made(calls: list[int]) -> WordFeatures:
    def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        calls.append(int(mask.sum()))
        return ids[..., None] * 2.0

    return WordFeatures("some:model", tokenizer, 4, compute)


def test_a_word_is_read_once_until_it_is_forgotten() -> None:
    calls: list[int] = []
    words = made(calls)
    for _ in range(2):
        features, mask = words("red bus")
        assert features.flatten().tolist() == [6, 6, 18, 0]
        assert mask.tolist() == [1, 1, 1, 0]
    assert calls == [3]
    words.forget()
    words("red bus")
    assert calls == [3, 3]


def test_the_word_used_longest_ago_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_word = 4 * (4 + 8)  # 4 tokens: a feature of 4 bytes, and whether it is one, of 8
    monkeypatch.setattr(word_features, "_BYTES_KEPT", 2 * of_a_word)
    calls: list[int] = []
    words = made(calls)
    for word in ("a", "a b", "a", "a b c", "a"):  # "a b" goes
        words(word)
    assert calls == [2, 3, 4]
    words("a b")
    assert calls == [2, 3, 4, 3]


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("a b c d", "'a b c d' has 5 tokens, and some:model reads 4: use fewer words"),
        (" ", "' ' is no text that some:model can read: it has no token"),
    ],
)
def test_words_that_cannot_be_read(word: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        made([])(word)
