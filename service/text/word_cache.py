"""A cache of the token ids of words, for tokenizers that read word by word: most words of a text came before."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, chain
from typing import cast

import tokenizers

from service.text.sentences import Span

_MAX_WORDS = 16_384  # 4 MB; a text that is read by words (tokenizer.py) has fewer
_MAX_CHARS = 32  # of a word that is worth keeping


def reads_by_words(tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether a text's token ids are those of its words between spaces, in order, whatever stands in the words.

    That is so for BERT's tokenizers, whose normalizer reads single characters and whose model reads words.
    """
    added = tokenizer.get_added_tokens_decoder().values()
    return (
        isinstance(tokenizer.normalizer, tokenizers.normalizers.BertNormalizer | None)
        and isinstance(tokenizer.pre_tokenizer, tokenizers.pre_tokenizers.BertPreTokenizer)
        and isinstance(tokenizer.model, tokenizers.models.WordPiece)
        and not any(each.lstrip or each.rstrip or each.single_word or " " in each.content for each in added)
    )


class WordCache:
    """Token ids by word. A word is what stands between two spaces, of whatever characters. Thread-safe.

    Correct only for tokenizers that `reads_by_words` accepts. A text whose words are all cached takes a tenth of the
    time that the tokenizer takes.
    """

    def __init__(self, tokenize: Callable[[list[str]], list[tokenizers.Encoding]]) -> None:
        """`tokenize` gives the encodings of words, without special tokens; it is called for words not in the cache."""
        self._tokenize = tokenize
        self._ids: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> tuple[list[int], LazyOffsets]:
        """The token ids of a text, and their character offsets."""
        ids_by_word = self._ids_of(text.split(" "))
        return list(chain.from_iterable(ids_by_word)), LazyOffsets(text, array("H", map(len, ids_by_word)), self._spans)

    def _ids_of(self, words: list[str]) -> list[tuple[int, ...]]:
        """The token ids of each word."""
        cached = list(map(self._ids.get, words))
        if None not in cached:
            return cast("list[tuple[int, ...]]", cached)
        unknown = list(dict.fromkeys(word for word, ids in zip(words, cached, strict=True) if ids is None))
        found = dict(zip(unknown, (tuple(each.ids) for each in self._tokenize(unknown)), strict=True))
        self._add(found)
        return [found[word] if ids is None else ids for word, ids in zip(words, cached, strict=True)]

    def _add(self, found: dict[str, tuple[int, ...]]) -> None:
        short = {word: ids for word, ids in found.items() if len(word) <= _MAX_CHARS}
        if len(self._ids) + len(short) > _MAX_WORDS:
            self._ids.clear()  # common words are soon cached again
        self._ids.update(short)

    def _spans(self, word: str) -> list[Span]:
        """The character offsets of a word's tokens, counted from the word's beginning."""
        (encoding,) = self._tokenize([word])
        spans: list[Span] = encoding.offsets
        return spans


class LazyOffsets:
    """The character offsets of a text's tokens, computed for those tokens only that are looked up. Not thread-safe.

    It keeps the text and a flat array, which lie close together. The words and their ids are spread over the memory,
    and no longer in a core's caches when a pass has run in between. Each word is tokenized again at most once: a text
    without a space is one word, whose offsets may be looked up thousands of times.
    """

    __slots__ = ("_chars_before", "_sizes", "_spans", "_spans_of", "_text", "_tokens_before")

    def __init__(self, text: str, sizes: array[int], spans_of: Callable[[str], list[Span]]) -> None:
        """`sizes` are the numbers of tokens of the text's words; `spans_of` gives the offsets of a word's tokens."""
        self._text = text
        self._sizes = sizes
        self._spans_of = spans_of
        self._tokens_before: list[int] = []
        """Number of tokens before each word."""
        self._chars_before: list[int] = []
        """Number of characters in the words before each word; spaces are not counted."""
        self._spans: dict[int, list[Span]] = {}
        """Offsets by number of the word, for words that were tokenized again."""

    def span(self, token: int) -> Span:
        """The characters of the token with this number."""
        if not self._tokens_before:
            self._tokens_before = list(accumulate(self._sizes, initial=0))
            self._chars_before = list(accumulate(map(len, self._text.split(" ")), initial=0))
        # The last of the words that begin at this token: the others have no tokens.
        word = bisect_right(self._tokens_before, token) - 1
        begin, stop = self._chars_before[word] + word, self._chars_before[word + 1] + word
        spans = self._spans.get(word)
        if spans is None:
            text = self._text[begin:stop]
            if self._sizes[word] == 1 and text.isascii() and text.isalnum():
                return begin, stop  # the word's only token holds every character of it
            spans = self._spans[word] = self._spans_of(text)
        start, end = spans[token - self._tokens_before[word]]
        return begin + start, begin + end
