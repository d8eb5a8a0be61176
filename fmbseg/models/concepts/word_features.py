"""What a model's text tower says of a word, computed once, whatever photographs it is looked for in."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_WORDS_KEPT = 4096  # those of SAM 3 take about 32 kB a word


class WordFeatures:
    """The text features of words, each read once; those used longest ago are let go.

    Args:
        spec: of the model, for messages.
        tokenizer: of its texts.
        length: tokens that it reads; shorter words are filled up.
        compute: from ids (1, L) and which of them are tokens (1, L) to the features (1, ...).
        sentence: that words are put in.
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
        self._lock = Lock()  # several threads may ask one model

    def __call__(self, word: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A word's features and which of its L positions are tokens (L,).

        Raises:
            ValueError: a word without a token, or of more than the model reads.
        """
        with self._lock:
            if word in self._known:
                self._known.move_to_end(word)
                return self._known[word]
        ids, mask = self._tokens(word)
        found = (self._compute(ids, mask)[0], mask[0])
        with self._lock:
            self._known[word] = found
            if len(self._known) > _WORDS_KEPT:
                self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Compute all anew, for example on another device."""
        with self._lock:
            self._known.clear()

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
