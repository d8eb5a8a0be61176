"""A text tower's features of a word, computed once for all the photographs it is looked for in."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

_BYTES_KEPT = 512 * 2**20
"""Room for 16,000 words of SAM 3. Each photograph is asked for all words in turn: with a vocabulary that does
not fit, every word would be dropped before it is needed again."""


class WordFeatures:
    """The text features of words, each computed once; beyond 512 MiB the least recently used are dropped.

    Args:
        spec: the model's name in messages.
        tokenizer: turns its texts into tokens.
        length: number of tokens that it reads; shorter words are padded.
        compute: turns ids (1, L) and which of them are tokens (1, L) into the features (1, ...).
        sentence: sentence that words are put into.
    """

    def __init__(
        self,
        spec: str,
        tokenizer: Any,
        length: int,
        compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        sentence: str = "{}",
    ) -> None:
        self._sentence = sentence
        self._spec, self._tokenizer, self._length, self._compute = spec, tokenizer, length, compute
        self._known: OrderedDict[str, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()  # several threads may share one model

    def __call__(self, word: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A word's features and which of its L positions are tokens (L,).

        Raises:
            ValueError: a word has no token, or more tokens than the model reads.
        """
        with self._lock:
            if word in self._known:
                self._known.move_to_end(word)
                return self._known[word]
        ids, mask = self._tokens(word)
        found = (self._compute(ids, mask)[0], mask[0])
        with self._lock:
            if word not in self._known:
                self._known[word] = found
                self._bytes += _size(found)
            while self._bytes > _BYTES_KEPT and len(self._known) > 1:
                self._bytes -= _size(self._known.popitem(last=False)[1])
        return found

    def forget(self) -> None:
        """Drop all features, so that they are computed anew, for example on another device."""
        with self._lock:
            self._known.clear()
            self._bytes = 0

    def _tokens(self, word: str) -> tuple[torch.Tensor, torch.Tensor]:
        text = self._sentence.format(word)
        tokens = self._tokenizer(text, padding="max_length", max_length=self._length, return_tensors="pt")
        ids, mask = tokens["input_ids"], tokens["attention_mask"]
        if ids.shape[1] > self._length:
            raise ValueError(
                f"{word[:40]!r} has {ids.shape[1]} tokens, and {self._spec} reads {self._length}: use fewer "
                "words"
            )
        if not len(self._tokenizer(word, add_special_tokens=False)["input_ids"]):
            raise ValueError(f"{word!r} is no text that {self._spec} can read: it has no token")
        return ids, mask


def batches(words: Sequence[str], count: int) -> Iterator[list[str]]:
    """Words in their order, ``count`` at a time.

    Example:
        >>> list(batches(["cat", "dog", "cow"], 2))
        [['cat', 'dog'], ['cow']]
    """
    left = iter(words)
    while batch := list(islice(left, count)):
        yield batch


def _size(tensors: tuple[torch.Tensor, ...]) -> int:
    return sum(one.nbytes for one in tensors)
