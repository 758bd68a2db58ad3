"""Sentences of a text by character offsets, and pieces of whole sentences that a model can read."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate, pairwise

from nupunkt import PunktSentenceTokenizer
from nupunkt.models import load_default_model

Span = tuple[int, int]

# nupunkt's model was learnt from legal texts. Of 94,669 stops before a capitalized function word in arXiv abstracts and
# Wikinews it misses 453, three quarters of them after these words, which it takes for abbreviations.
_NO_ABBREVIATIONS = ("cancer", "code", "reports", "rounds", "series", "tables", "tasks", "works")
_ABBREVIATIONS = ("lt", "tab", "w.r.t")
_BLANK_LINE = re.compile(r"\n\s*\n")
# Stops of scripts that need no space after them, or that nupunkt does not know.
# A run of them is looked at from its first alone: from each of them in turn would take the square of its length.
_OTHER_STOPS = re.compile(r"[。！？]+[」』”）]*|(?<![।॥؟۔])[।॥؟۔]++(?=\s)")
# Lines of more characters are paragraphs: no editor broke them to fit a page.
_WIDEST_PAGE_CHARS = 100
_FULL = 0.8  # of a page's width that a line fills at least, if it was broken to fit; the lines of a PDF are ragged
# Of a list, a dialogue or a letter's head.
_BEGINS_ITEM = re.compile(r"(?:[-*•–]|\d+[.)]|\[[^\]\n]*\]|(?![a-z])[^\W\d_][\w .-]{0,30}:)\s")
# nupunkt takes a minute for 200,000 question marks in a row, and remembers words of any length. A border needs a space,
# so that only the ends of a long word matter to it.
_LONG_WORD = re.compile(r"(?<!\S)\S{100,}")
_WORD_END_CHARS = 20


@cache
def _splitter() -> PunktSentenceTokenizer:
    splitter = load_default_model()
    for word in _NO_ABBREVIATIONS:
        splitter.remove_abbreviation(word)
    splitter.add_abbreviations(list(_ABBREVIATIONS))
    return splitter


def _without_long_words(text: str) -> str:
    """The same length, long words blotted out but for their ends."""
    end = _WORD_END_CHARS
    return _LONG_WORD.sub(lambda word: word[0][:end] + " " * (len(word[0]) - 2 * end) + word[0][-end:], text)


def _trimmed(text: str, start: int, end: int) -> Span:
    """Without space at either end; (start, start) if there is nothing else."""
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip())


def _ends_of_lines(text: str) -> Iterator[int]:
    """Line breaks that end something, such as a heading, an item of a list or a turn of a dialogue."""
    start = 0
    for paragraph in _BLANK_LINE.split(text):
        start = text.index(paragraph, start)
        lines = paragraph.split("\n")
        width = max(map(len, lines))
        for line, following in pairwise(lines):
            start += len(line)
            if _is_end(line, following, width):
                yield start
            start += 1
        start += len(lines[-1])


def _is_end(line: str, following: str, width: int) -> bool:
    """Whether a line was broken off for another reason than that the next word did not fit into the page's width."""
    if not following[:1].strip():  # indented: it belongs to what stands above
        return False
    if width > _WIDEST_PAGE_CHARS or _BEGINS_ITEM.match(following):
        return True
    had_fitted = len(line) + 1 + len(following.split(" ", 1)[0]) <= _FULL * width
    return had_fitted and not following[0].islower()


def sentence_spans(text: str) -> list[Span]:
    """Where each sentence begins and ends, in order, without space at either end.

    Every other character lies in exactly one sentence. A blank line is a border too, and a line break that was not
    made to fit a page's width.
    """
    cuts = {0, len(text)}
    cuts.update(end for _, end in _splitter().span_tokenize(_without_long_words(text)))
    cuts.update(match.start() for match in _BLANK_LINE.finditer(text))
    cuts.update(_ends_of_lines(text))
    cuts.update(match.end() for match in _OTHER_STOPS.finditer(text))
    spans = (_trimmed(text, start, end) for start, end in pairwise(sorted(cuts)))
    return [(start, end) for start, end in spans if start < end]


def _parts(text: str, span: Span, count: int) -> list[Span]:
    """`count` stretches of about one length, cut at the last space of each where there is one."""
    start, end = span
    parts: list[Span] = []
    for left in range(count, 0, -1):
        cut = end if left == 1 else start + max(1, (end - start) // left)
        while cut < end and cut > start and not text[cut].isspace():
            cut -= 1
        if cut == start:  # one long word
            cut = start + max(1, (end - start) // left)
        parts.append(_trimmed(text, start, cut))
        start = cut
    return [(first, last) for first, last in parts if first < last]


def fit(
    text: str, spans: list[Span], room: int, count_tokens: Callable[[list[str]], list[int]]
) -> tuple[list[Span], list[int]]:
    """The spans with those of more than `room` tokens cut up, at spaces if possible; and the tokens of each.

    Nothing is dropped but space; one character is not cut, whatever it takes.
    """
    lengths = count_tokens([text[start:end] for start, end in spans])
    while any(length > room and end - start > 1 for (start, end), length in zip(spans, lengths, strict=True)):
        fitted: list[Span] = []
        known: list[int | None] = []
        for (start, end), length in zip(spans, lengths, strict=True):
            long = length > room and end - start > 1
            parts = _parts(text, (start, end), min(-(-length // room), end - start)) if long else [(start, end)]
            fitted += parts
            known += [None if long else length] * len(parts)
        unknown = (text[start:end] for (start, end), length in zip(fitted, known, strict=True) if length is None)
        counted = iter(count_tokens(list(unknown)))
        spans, lengths = fitted, [next(counted) if length is None else length for length in known]
    return spans, lengths


def _fewest_pieces(ends: list[int], room: int) -> list[int]:
    """How many pieces the sentences from each one on need; `ends` are running sums of tokens, from 0."""
    count = len(ends) - 1
    needed = [0] * (count + 1)
    for first in range(count - 1, -1, -1):
        # The furthest end that the room allows, but one sentence at least.
        after = max(first + 1, bisect_left(ends, ends[first] + room + 1) - 1)
        needed[first] = 1 + needed[after]
    return needed


def pack(lengths_in_tokens: list[int], room: int) -> list[range]:
    """Consecutive sentences in as few pieces of at most `room` tokens as there can be, of about one size.

    A sentence longer than `room` is a piece of its own. Deterministic.
    """
    ends = list(accumulate(lengths_in_tokens, initial=0))
    needed = _fewest_pieces(ends, room)
    pieces: list[range] = []
    first = 0
    while first < len(lengths_in_tokens):
        left = needed[0] - len(pieces)
        target = (ends[-1] - ends[first]) / left
        after = first + 1
        while after < len(lengths_in_tokens) and ends[after + 1] - ends[first] <= room:
            middle = (ends[after] + ends[after + 1]) / 2 - ends[first]
            if needed[after] < left and middle > target:
                break
            after += 1
        pieces.append(range(first, after))
        first = after
    return pieces
