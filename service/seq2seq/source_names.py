"""Names that a text may hold only as its source writes them: numbers and acronyms, `12,000`, `GPT-4`, `IoT`.

A word is letters and digits with dots, commas and hyphens between them; `is_name` says which words are names. A source
has a name where it stands as a whole, or as a whole part between hyphens and the like, but not as a part of a number:
the `GPT` of `GPT-4` and the `LLM` of `LLMs`, not the `12` of `12.5`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from functools import cached_property
from typing import NamedTuple

from service.text.names import is_name
from service.text.tokenizer import REPLACEMENT_CHARACTER

_BORDER = re.compile(r"[^\w.,-]")
_JOINTS = ".,-"
_IN_NAMES = re.compile(r"[\dA-Z]")  # a token without one of these turns no word into a name


class TokenTexts:
    """The text that each token of a vocabulary adds to a text. Its tables are made when they are first used."""

    def __init__(self, decode: Callable[[list[int]], str], size: int) -> None:
        """`decode` gives the text of token ids, without space at either end; `size` is the number of ids."""
        self._decode = decode
        self._size = size

    @cached_property
    def texts(self) -> list[str]:
        """By id, with the space that the token brings; empty for special tokens."""
        return [self.decode_inside((token,)) for token in range(self._size)]

    @cached_property
    def tails(self) -> list[str | None]:
        """By id, the part of the text behind its last border between words; None where it has no border."""
        parts = (_BORDER.split(text.strip(REPLACEMENT_CHARACTER)) for text in self.texts)
        return [tail if closed else None for *closed, tail in parts]

    @cached_property
    def plain(self) -> list[bool]:
        """By id, whether the token never turns a word that is no name into one."""
        return [REPLACEMENT_CHARACTER not in text and not _IN_NAMES.search(text) for text in self.texts]

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token ids by text; the lowest id where several tokens have the same text."""
        return {text: token for token, text in reversed(list(enumerate(self.texts)))}

    @cached_property
    def max_chars(self) -> int:
        """Length of the longest text."""
        return max(map(len, self.texts))

    @cached_property
    def _letter(self) -> tuple[int, str, str]:
        """A token that adds one letter to a word, its text at the start of a text, and its text behind another token.

        Between two of these, the spaces at either end of another token's text are not stripped.
        """
        for token in range(self._size):
            once, twice = self._decode([token]), self._decode([token, token])
            if twice[-1:].isalpha() and twice == once + twice[-1]:
                return token, once, twice[-1]
        raise ValueError("no token of this vocabulary is a single letter")

    def prepare(self) -> None:
        """Make all tables, which takes about 5 us a token."""
        _ = self.tails, self.plain, self.ids, self.max_chars

    def decode_inside(self, tokens: tuple[int, ...]) -> str:
        """The text that token ids have between other tokens, spaces at either end included."""
        token, before, behind = self._letter
        return self._decode([token, *tokens, token]).removeprefix(before).removesuffix(behind)


class SourceText:
    """A text that names are taken from."""

    def __init__(self, text: str, writable: Container[str]) -> None:
        """`writable` holds the characters that are tokens of their own, so that any name made of them can be ended."""
        self._text = text
        self._writable = writable
        self._chars_left: dict[str, int | None] = {}

    def chars_left(self, prefix: str) -> int | None:
        """The fewest characters that complete the beginning of a word to a name of this text; None if none do."""
        if prefix not in self._chars_left:
            counts = (self._until_end(place) for place in self._ends_of(prefix))
            self._chars_left[prefix] = min((count for count in counts if count is not None), default=None)
        return self._chars_left[prefix]

    def continuations(self, prefix: str, max_chars: int) -> Iterator[str]:
        """What follows each occurrence of the beginning of a word, up to `max_chars` characters of it."""
        for place in self._ends_of(prefix):
            yield self._text[place : place + max_chars]

    def _ends_of(self, prefix: str) -> Iterator[int]:
        """The ends of all occurrences of the beginning of a word."""
        start = self._text.find(prefix)
        while start >= 0:
            if self._may_begin(start):
                yield start + len(prefix)
            start = self._text.find(prefix, start + 1)

    def _until_end(self, place: int) -> int | None:
        end = place
        while not self._may_end(end):
            char = self._text[end : end + 1]
            if not char or _BORDER.match(char) or char not in self._writable:
                return None
            end += 1
        return end - place

    def _may_begin(self, place: int) -> bool:
        """Whether a name may begin at this place."""
        inside_number = self._text[place - 1 : place] in (".", ",") and self._is_between_digits(place - 1)
        return not (self._is_alphanumeric(place - 1) or inside_number)

    def _may_end(self, place: int) -> bool:
        """Whether a name may end before this place; the "s" of a plural is left out of it."""
        text = self._text
        if not self._is_alphanumeric(place - 1):
            return False
        if self._is_alphanumeric(place):
            return text[place] == "s" and text[place - 1].isalpha() and not self._is_alphanumeric(place + 1)
        return not (text[place : place + 1] in (".", ",") and self._is_between_digits(place))

    def _is_alphanumeric(self, place: int) -> bool:
        char = self._text[place : place + 1] if place >= 0 else ""
        return char.isalnum() or char == "_"

    def _is_between_digits(self, place: int) -> bool:
        return self._text[max(place - 1, 0)].isdigit() and self._text[place + 1 : place + 2].isdigit()


class LastWord(NamedTuple):
    """The word at the end of a text that is being written; empty behind a border between words."""

    text: str = ""
    is_name: bool = False
    """Whether it is a name; whatever follows, it stays one."""
    tokens: tuple[int, ...] = ()
    """Token ids from the one with the last border on, because several tokens may make one character."""


class SourceNameConstraint:
    """Which tokens may follow, so that a text holds only names of one source.

    The caller keeps the LastWord of each beam, starting from an empty one.
    """

    def __init__(self, tokens: TokenTexts, source: str) -> None:
        self._tokens = tokens
        self._source = SourceText(source, tokens.ids)

    def may_end(self, word: LastWord) -> bool:
        """Whether the word may end here."""
        return not word.is_name or self._is_complete(word.text)

    def allows(self, word: LastWord, token: int, tokens_left: int) -> bool:
        """Whether a token may follow, if `tokens_left` more fit behind it: a name that begins must be completed."""
        if self._tokens.plain[token] and not word.is_name:
            return True
        *closed, last = _BORDER.split(self._extended(word, token))
        if not all(self._is_complete(each) for each in closed if is_name(each)):
            return False
        if not is_name(last) or self._is_complete(last):
            return True
        chars_left = self._source.chars_left(last.lstrip(_JOINTS))
        # A partial character may become any, so that it is not known to begin one of the source's.
        partial = self._tokens.texts[token].endswith(REPLACEMENT_CHARACTER)
        return chars_left is not None and chars_left <= tokens_left and not partial

    def completions(self, word: LastWord, tokens_left: int) -> list[int]:
        """The tokens by which a word that may not end goes on as in the source, sorted."""
        texts = {
            text[:size]
            for text in self._source.continuations(word.text.lstrip(_JOINTS), self._tokens.max_chars)
            for size in range(1, len(text) + 1)
        }
        tokens = [self._tokens.ids[text] for text in texts & self._tokens.ids.keys()]
        return sorted(token for token in tokens if self.allows(word, token, tokens_left))

    def next_word(self, word: LastWord, token: int) -> LastWord:
        """The last word of the text after this token."""
        tail = self._tokens.tails[token]
        tokens = (*word.tokens, token) if tail is None else (token,)
        if self._tokens.plain[token]:
            if tail is None:
                return LastWord(word.text + self._tokens.texts[token], word.is_name, tokens)
            return LastWord(tail, False, tokens)
        last = _BORDER.split(self._extended(word, token))[-1]
        return LastWord(last, is_name(last), tokens)

    def _extended(self, word: LastWord, token: int) -> str:
        """The word with a token's text, without a partial character at its end."""
        text = self._tokens.texts[token]
        if REPLACEMENT_CHARACTER not in text:
            return word.text + text
        before = self._tokens.decode_inside(word.tokens).rstrip(REPLACEMENT_CHARACTER)
        return (
            word.text + self._tokens.decode_inside((*word.tokens, token)).rstrip(REPLACEMENT_CHARACTER)[len(before) :]
        )

    def _is_complete(self, word: str) -> bool:
        # Behind a hyphen a name goes on, or there would be "GPT- based" where the source has no "GPT-based".
        return not word.endswith("-") and self._source.chars_left(word.strip(_JOINTS)) == 0
