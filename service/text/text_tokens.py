"""The tokens of a whole text with the words that they belong to, and windows over them that keep words whole."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from service.text.sentences import Span
from service.text.tokenizer import Tokenizer

Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
_SPACE = ord(" ")


@dataclass(frozen=True, slots=True)
class TextTokens:
    """The tokens of a text, without special tokens; all arrays are [tokens]."""

    text: str
    ids: Integers
    starts: Integers
    """Character of the text where each token begins."""
    ends: Integers
    begins_word: Booleans
    """Whether a token begins a word rather than going on with the one before it."""

    def __len__(self) -> int:
        return len(self.ids)

    def span(self, token: int) -> Span:
        """The characters of the token with this number."""
        return int(self.starts[token]), int(self.ends[token])

    def first(self, count: int) -> TextTokens:
        """The first `count` tokens."""
        return TextTokens(self.text, self.ids[:count], self.starts[:count], self.ends[:count], self.begins_word[:count])


def read_text(tokenizer: Tokenizer, text: str) -> TextTokens:
    """The tokens of a text. Words are as transformers' TokenClassificationPipeline finds them.

    A token of a tokenizer that marks tokens inside of words, such as "##ing", goes on with a word if it has not as many
    characters as what it stands for. Other tokens do if neither their first character nor the one before is a space.
    """
    vocabulary = tokenizer.vocabulary
    token_ids, offsets = tokenizer.tokens_with_spans(text)
    ids = np.array(token_ids, np.int64)
    starts, ends = np.array(offsets, np.int64).reshape(-1, 2).T
    if vocabulary.marks_subwords:
        known, places = np.unique(ids, return_inverse=True)
        lengths = np.array([len(vocabulary.token(token)) for token in known.tolist()], np.int64)
        begins_word = lengths[places] == ends - starts
    else:
        # In one array of the text's characters, because a look at each token's would take Python's time.
        spaces = np.frombuffer(f"{text}.".encode("utf-32-le", "surrogatepass"), np.uint32) == _SPACE
        begins_word = (starts == 0) | spaces[starts - 1] | spaces[starts]
    if vocabulary.unknown_id is not None:
        begins_word |= ids == vocabulary.unknown_id
    begins_word[:1] = True
    return TextTokens(text, ids, starts, ends, begins_word)


def overlapping_windows(begins_word: Booleans, *, size: int, shared: int) -> list[range]:
    """Ranges of at most `size` tokens that hold all tokens; neighbours share `shared`, or half a range if that is less.

    They share more where a word crosses the earlier one's end, so that it is whole in the later one, unless it has more
    tokens than half a range.
    """
    count, words = len(begins_word), np.flatnonzero(begins_word)
    shared = min(shared, size // 2)
    windows = [range(min(size, count))]
    while (end := windows[-1].stop) < count:
        begin = end - shared
        word = int(words[np.searchsorted(words, end, "right") - 1])
        if word >= windows[-1].start + (size + 1) // 2:
            begin = min(begin, word)
        windows.append(range(begin, min(begin + size, count)))
    return windows


def window_parts(windows: list[range], begins_word: Booleans) -> list[range]:
    """For each window the tokens for which it counts; the parts follow each other and together are all tokens.

    A word belongs to the window in which it is farther from the border with the neighbour. Of a word that no window
    holds whole each token does.
    """
    count, words = len(begins_word), np.flatnonzero(begins_word)
    borders = [0]
    for earlier, later in pairwise(windows):
        middle = (later.start + earlier.stop) // 2
        place = int(np.searchsorted(words, middle, "right"))
        begin, stop = int(words[place - 1]), int(words[place]) if place < len(words) else count
        border = begin if begin + stop > later.start + earlier.stop else stop
        borders.append(border if later.start <= border <= earlier.stop else middle)
    return [range(*pair) for pair in pairwise([*borders, count])]
