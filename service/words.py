"""What a tokenizer that reads word by word made of each word, remembered; texts are mostly words that came before."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, chain
from typing import Any

import tokenizers

from service.sentences import Span

_MOST = 16_384  # 4 MB; a text that is read by words (encoding.py) brings fewer
_LONGEST_CHARS = 32


def reads_by_words(tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether a space is a border to it, whatever stands around: BERT looks at single characters, then at words."""
    added = tokenizer.get_added_tokens_decoder().values()
    return (
        isinstance(tokenizer.normalizer, tokenizers.normalizers.BertNormalizer | None)
        and isinstance(tokenizer.pre_tokenizer, tokenizers.pre_tokenizers.BertPreTokenizer)
        and isinstance(tokenizer.model, tokenizers.models.WordPiece)
        and not any(each.lstrip or each.rstrip or each.single_word or " " in each.content for each in added)
    )


class Words:
    """Token ids by word: what stands between two spaces, of whatever characters.

    Right for tokenizers alone that read by words: the ids of a text are then those of its words, one after the other.
    A text from memory takes a tenth of the time. Thread-safe.
    """

    def __init__(self, tokens_of: Callable[[list[str]], list[tokenizers.Encoding]]) -> None:
        """`tokens_of` is asked about words that are not known (any more)."""
        self._tokens_of = tokens_of
        self._known: dict[str, tuple[int, ...]] = {}

    def read(self, text: str) -> tuple[list[int], Places]:
        """The ids of all tokens, and where these stand."""
        pieces = self._pieces(text.split(" "))
        return list(chain.from_iterable(pieces)), Places(text, array("H", map(len, pieces)), self.spans)

    def _pieces(self, words: list[str]) -> list[tuple[int, ...]]:
        """The token ids of each."""
        known: list[Any] = list(map(self._known.get, words))
        if None not in known:
            return known
        unknown = list(dict.fromkeys(word for word, pieces in zip(words, known, strict=True) if pieces is None))
        found = dict(zip(unknown, (tuple(each.ids) for each in self._tokens_of(unknown)), strict=True))
        self._remember(found)
        return [found[word] if pieces is None else pieces for word, pieces in zip(words, known, strict=True)]

    def _remember(self, found: dict[str, tuple[int, ...]]) -> None:
        short = {word: pieces for word, pieces in found.items() if len(word) <= _LONGEST_CHARS}
        if len(self._known) + len(short) > _MOST:
            self._known.clear()  # those that are common are soon back
        self._known.update(short)

    def spans(self, word: str) -> list[Span]:
        """Characters of a word's tokens."""
        (encoding,) = self._tokens_of([word])
        spans: list[Span] = encoding.offsets
        return spans


class Places:
    """Characters of a text's tokens, looked up when somebody wants to know.

    What it keeps lies close together: words and their tokens are all over the memory, and no longer in a core's caches
    when a pass has run in between. Each word is tokenized at most once: a text without a space is one word, whose spans
    may be looked up thousands of times. Not thread-safe.
    """

    __slots__ = ("_before", "_begins", "_known", "_sizes", "_spans", "_text")

    def __init__(self, text: str, sizes: array[int], spans: Callable[[str], list[Span]]) -> None:
        """The text, how many tokens each of its words has, and what tells a word's characters by token."""
        self._text = text
        self._sizes = sizes
        self._spans = spans
        self._before: list[int] = []
        """Tokens before each word."""
        self._begins: list[int] = []
        """Characters of all words before each word, spaces not counted."""
        self._known: dict[int, list[Span]] = {}
        """Spans by word, of those that were tokenized again."""

    def span(self, token: int) -> Span:
        """Of the token with this number."""
        if not self._before:
            self._before = list(accumulate(self._sizes, initial=0))
            self._begins = list(accumulate(map(len, self._text.split(" ")), initial=0))
        word = bisect_right(self._before, token) - 1  # the last of those that begin there: the others are empty
        begin, stop = self._begins[word] + word, self._begins[word + 1] + word
        spans = self._known.get(word)
        if spans is None:
            text = self._text[begin:stop]
            if self._sizes[word] == 1 and text.isascii() and text.isalnum():
                return begin, stop  # nothing of it is left out of its one token
            spans = self._known[word] = self._spans(text)
        start, end = spans[token - self._before[word]]
        return begin + start, begin + end
