"""Names that a text may hold only as its source writes them: numbers and acronyms, `12,000`, `GPT-4`, `IoT`.

A word is letters and digits with dots, commas and hyphens between them; a name is a word with a digit in it, or with
two capitals that only letters stand between. A source has a name where it stands as a whole, or as a whole part between
hyphens and the like, but no part of a number: the `GPT` of `GPT-4` and the `LLM` of `LLMs`, not the `12` of `12.5`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from functools import cached_property
from typing import NamedTuple

_BORDER = re.compile(r"[^\w.,-]")
_JOINTS = ".,-"
_NAME = re.compile(r"\d|[A-Z]\w*[A-Z]")
_NEWS = re.compile(r"[\dA-Z]")  # without which a piece makes no name of what was none
_PART = "\ufffd"  # what some of the bytes of a character are decoded to


def is_name(word: str) -> bool:
    """Whether a word may be written only as the source has it."""
    return _NAME.search(word) is not None


class Pieces:
    """What each token id of a vocabulary adds to a text, worked out when it is first asked for."""

    def __init__(self, decode: Callable[[list[int]], str], size: int) -> None:
        """`decode` gives the text of ids, a space at either end left out; there are `size` ids."""
        self._decode = decode
        self._size = size

    @cached_property
    def texts(self) -> list[str]:
        """By id, each with the space that it brings; empty for special tokens."""
        return [self.spelled((token,)) for token in range(self._size)]

    @cached_property
    def tails(self) -> list[str | None]:
        """By id, what it leaves of a word behind the last border in it; None where it has no border."""
        parts = (_BORDER.split(text.strip(_PART)) for text in self.texts)
        return [opened if closed else None for *closed, opened in parts]

    @cached_property
    def plain(self) -> list[bool]:
        """By id, whether it makes no name of a word that is none."""
        return [_PART not in text and not _NEWS.search(text) for text in self.texts]

    @cached_property
    def ids(self) -> dict[str, int]:
        """By text, the first of those that write it."""
        return {text: token for token, text in reversed(list(enumerate(self.texts)))}

    @cached_property
    def longest(self) -> int:
        """Characters of the longest."""
        return max(map(len, self.texts))

    @cached_property
    def _letter(self) -> tuple[int, str, str]:
        """A piece that adds one letter to a word, by which spaces are seen before and behind others; its texts."""
        for token in range(self._size):
            once, twice = self._decode([token]), self._decode([token, token])
            if twice[-1:].isalpha() and twice == once + twice[-1]:
                return token, once, twice[-1]
        raise ValueError("no piece of this vocabulary is a single letter")

    def prepare(self) -> None:
        """Work all of it out: some 5 us an id."""
        _ = self.tails, self.plain, self.ids, self.longest

    def spelled(self, tokens: tuple[int, ...]) -> str:
        """What ids add to a text that goes on."""
        token, before, behind = self._letter
        return self._decode([token, *tokens, token]).removeprefix(before).removesuffix(behind)


class Source:
    """A text whose names may be written."""

    def __init__(self, text: str, spelled: Container[str]) -> None:
        """`spelled` holds the characters that can be written one by one."""
        self._text = text
        self._spelled = spelled
        self._rests: dict[str, int | None] = {}

    def rest(self, word: str) -> int | None:
        """Characters that make a name of the source's of this beginning of a word, the fewest; None if none do."""
        if word not in self._rests:
            rests = (self._until_end(place) for place in self._places(word))
            self._rests[word] = min((rest for rest in rests if rest is not None), default=None)
        return self._rests[word]

    def follows(self, word: str, most: int) -> Iterator[str]:
        """What stands behind this beginning of a word, `most` characters, wherever the source has it."""
        for place in self._places(word):
            yield self._text[place : place + most]

    def _places(self, word: str) -> Iterator[int]:
        """Where this beginning of a word ends."""
        start = self._text.find(word)
        while start >= 0:
            if self._begins(start):
                yield start + len(word)
            start = self._text.find(word, start + 1)

    def _until_end(self, place: int) -> int | None:
        end = place
        while not self._ends(end):
            char = self._text[end : end + 1]
            if not char or _BORDER.match(char) or char not in self._spelled:
                return None
            end += 1
        return end - place

    def _begins(self, place: int) -> bool:
        return not (self._joins(place - 1) or (self._text[place - 1 : place] in (".", ",") and self._number(place - 1)))

    def _ends(self, place: int) -> bool:
        """Whether a name may end before this place."""
        text = self._text
        if not self._joins(place - 1):
            return False
        if self._joins(place):
            return text[place] == "s" and text[place - 1].isalpha() and not self._joins(place + 1)
        return not (text[place : place + 1] in (".", ",") and self._number(place))

    def _joins(self, place: int) -> bool:
        """Whether a letter or a digit stands here."""
        char = self._text[place : place + 1] if place >= 0 else ""
        return char.isalnum() or char == "_"

    def _number(self, place: int) -> bool:
        """Whether the dot or comma here stands between digits."""
        return self._text[max(place - 1, 0)].isdigit() and self._text[place + 1 : place + 2].isdigit()


class Word(NamedTuple):
    """The word that a text ends in, as far as it is written; empty behind a border."""

    text: str = ""
    name: bool = False
    """Whether it is a name, which it then stays."""
    tokens: tuple[int, ...] = ()
    """From the one with the last border on, by which halves of characters are made whole."""


class SourceNameConstraint:
    """The rule for a text of one source. Words are the caller's to keep: there may be several beams."""

    def __init__(self, pieces: Pieces, source: str) -> None:
        self._pieces = pieces
        self._source = Source(source, pieces.ids)

    def may_end(self, word: Word) -> bool:
        """Whether the text may end here, or another word begin."""
        return not word.name or self._whole(word.text)

    def allows(self, word: Word, token: int, left: int) -> bool:
        """Whether a piece may follow, with room for `left` more behind it: names must have an end."""
        if self._pieces.plain[token] and not word.name:
            return True
        *closed, opened = _BORDER.split(self._grown(word, token))
        if not all(self._whole(each) for each in closed if is_name(each)):
            return False
        if not is_name(opened) or self._whole(opened):
            return True
        rest = self._source.rest(opened.lstrip(_JOINTS))
        # Half a character may become anything, and none of the source's begins here.
        return rest is not None and rest <= left and not self._pieces.texts[token].endswith(_PART)

    def completing(self, word: Word, left: int) -> list[int]:
        """The pieces by which a word that may not end goes on as the source does."""
        texts = {
            text[:size]
            for text in self._source.follows(word.text.lstrip(_JOINTS), self._pieces.longest)
            for size in range(1, len(text) + 1)
        }
        tokens = [self._pieces.ids[text] for text in texts & self._pieces.ids.keys()]
        return sorted(token for token in tokens if self.allows(word, token, left))

    def after(self, word: Word, token: int) -> Word:
        """The word that the text ends in when this piece follows."""
        tail = self._pieces.tails[token]
        tokens = (*word.tokens, token) if tail is None else (token,)
        if self._pieces.plain[token]:
            return (
                Word(word.text + self._pieces.texts[token], word.name, tokens)
                if tail is None
                else Word(tail, False, tokens)
            )
        opened = _BORDER.split(self._grown(word, token))[-1]
        return Word(opened, is_name(opened), tokens)

    def _grown(self, word: Word, token: int) -> str:
        """The word with a piece, the beginning of a character at its end left out."""
        text = self._pieces.texts[token]
        if _PART not in text:
            return word.text + text
        before = self._pieces.spelled(word.tokens).rstrip(_PART)
        return word.text + self._pieces.spelled((*word.tokens, token)).rstrip(_PART)[len(before) :]

    def _whole(self, word: str) -> bool:
        # Behind a hyphen a name goes on, or there would be "GPT- based" where the source has no "GPT-based".
        return not word.endswith("-") and self._source.rest(word.strip(_JOINTS)) == 0
