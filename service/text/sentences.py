"""Sentences of a text by character offsets, and groups of whole sentences that a model can read."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate, pairwise

from nupunkt import PunktSentenceTokenizer
from nupunkt.models import load_default_model

Span = tuple[int, int]
"""Begin and end, in characters of a text."""

# nupunkt's model was trained on legal texts. Of 94,669 stops before a capitalized function word in arXiv abstracts and
# Wikinews it misses 453, three quarters of them after these words, which it takes for abbreviations.
_NO_ABBREVIATIONS = ("cancer", "code", "reports", "rounds", "series", "tables", "tasks", "works")
_ABBREVIATIONS = ("lt", "tab", "w.r.t")
_BLANK_LINE = re.compile(r"\n\s*\n")
# Stops that nupunkt does not know: of scripts that put no space after them, and of others.
_CJK_STOPS, _CJK_CLOSERS = "。！？", "」』”）"
_OTHER_STOPS = "।॥؟۔"
# A run of other stops is matched from its first one only: from each in turn would take the square of its length.
_STOPS = re.compile(rf"[{_CJK_STOPS}]+[{_CJK_CLOSERS}]*|(?<![{_OTHER_STOPS}])[{_OTHER_STOPS}]++(?=\s)")
_FINAL_STOP = re.compile(rf"""[.!?…{_CJK_STOPS}{_OTHER_STOPS}]["'”’»)\]{_CJK_CLOSERS}]*$""")
# Longer lines are paragraphs: no editor broke them to fit a page.
_MAX_PAGE_CHARS = 100
# Share of a page's width that a line fills at least if it was broken to fit; the lines of a PDF are ragged.
_FULL = 0.8
# The first line of a list's item, of a turn of a dialogue, or of a line of a letter's head.
_BEGINS_ITEM = re.compile(r"(?:[-*•–]|\d+[.)]|\[[^\]\n]*\]|(?![a-z])[^\W\d_][\w .-]{0,30}:)\s")
# nupunkt takes a minute for 200,000 question marks in a row, and caches words of any length. Sentences end only at a
# space, so that of a long word only its ends matter.
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
    """The text with the middle of long words replaced by spaces, so that offsets stay."""
    end = _WORD_END_CHARS
    return _LONG_WORD.sub(lambda word: word[0][:end] + " " * (len(word[0]) - 2 * end) + word[0][-end:], text)


def without_outer_space(text: str, start: int, end: int) -> Span:
    """text[start:end] without white space at either end; (end, end) if it holds nothing else."""
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip())


def ends_with_stop(sentence: str) -> bool:
    """Whether a sentence ends with a stop, of any script; quotation marks and brackets may follow it."""
    return _FINAL_STOP.search(sentence) is not None


def _ends_of_lines(text: str) -> Iterator[int]:
    """Line breaks that end a heading, an item of a list, a turn of a dialogue and the like."""
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
    """Whether a line ends for another reason than that the next word did not fit into the page's width."""
    if not following[:1].strip():  # an indented line belongs to the one above
        return False
    if width > _MAX_PAGE_CHARS or _BEGINS_ITEM.match(following):
        return True
    next_word_fits = len(line) + 1 + len(following.split(" ", 1)[0]) <= _FULL * width
    return next_word_fits and not following[0].islower()


def sentence_spans(text: str) -> list[Span]:
    """The spans of a text's sentences, in order, without white space at either end.

    Every character but the white space between sentences lies in exactly one of them. Sentences also end at a blank
    line, and at a line break that was not made to fit a page's width.
    """
    cuts = {0, len(text)}
    cuts.update(end for _, end in _splitter().span_tokenize(_without_long_words(text)))
    cuts.update(match.start() for match in _BLANK_LINE.finditer(text))
    cuts.update(_ends_of_lines(text))
    cuts.update(match.end() for match in _STOPS.finditer(text))
    spans = (without_outer_space(text, start, end) for start, end in pairwise(sorted(cuts)))
    return [(start, end) for start, end in spans if start < end]


def _parts(text: str, span: Span, count: int) -> list[Span]:
    """At most `count` parts of about equal length, each cut at its last space where it has one."""
    start, end = span
    parts: list[Span] = []
    for left in range(count, 0, -1):
        cut = end if left == 1 else start + max(1, (end - start) // left)
        while cut < end and cut > start and not text[cut].isspace():
            cut -= 1
        if cut == start:  # the part is one long word
            cut = start + max(1, (end - start) // left)
        parts.append(without_outer_space(text, start, cut))
        start = cut
    return [(first, last) for first, last in parts if first < last]


def fit(
    text: str, spans: list[Span], max_tokens: int, count_tokens: Callable[[list[str]], list[int]]
) -> tuple[list[Span], list[int]]:
    """Cut spans of more than `max_tokens` tokens into parts; returns the spans and the tokens of each.

    Spans are cut at spaces where possible. Only white space is dropped. A single character is not cut, however many
    tokens it has. `count_tokens` gives the tokens of each of several texts.
    """
    lengths = count_tokens([text[start:end] for start, end in spans])
    while any(length > max_tokens and end - start > 1 for (start, end), length in zip(spans, lengths, strict=True)):
        fitted: list[Span] = []
        known: list[int | None] = []
        for (start, end), length in zip(spans, lengths, strict=True):
            long = length > max_tokens and end - start > 1
            parts = _parts(text, (start, end), min(-(-length // max_tokens), end - start)) if long else [(start, end)]
            fitted += parts
            known += [None if long else length] * len(parts)
        unknown = (text[start:end] for (start, end), length in zip(fitted, known, strict=True) if length is None)
        counted = iter(count_tokens(list(unknown)))
        spans, lengths = fitted, [next(counted) if length is None else length for length in known]
    return spans, lengths


def _fewest_chunks(ends: list[int], max_tokens: int) -> list[int]:
    """The number of chunks needed for the sentences from each one on; `ends` are running sums of tokens, from 0."""
    count = len(ends) - 1
    needed = [0] * (count + 1)
    for first in range(count - 1, -1, -1):
        # As many sentences as fit, but at least one.
        after = max(first + 1, bisect_left(ends, ends[first] + max_tokens + 1) - 1)
        needed[first] = 1 + needed[after]
    return needed


def pack(lengths_in_tokens: list[int], max_tokens: int) -> list[range]:
    """Divide consecutive sentences into as few chunks of at most `max_tokens` as possible, of about equal size.

    Returns the sentences of each chunk. A sentence of more than `max_tokens` is a chunk of its own.
    """
    ends = list(accumulate(lengths_in_tokens, initial=0))
    needed = _fewest_chunks(ends, max_tokens)
    chunks: list[range] = []
    first = 0
    while first < len(lengths_in_tokens):
        left = needed[0] - len(chunks)
        target = (ends[-1] - ends[first]) / left
        after = first + 1
        while after < len(lengths_in_tokens) and ends[after + 1] - ends[first] <= max_tokens:
            middle = (ends[after] + ends[after + 1]) / 2 - ends[first]
            if needed[after] < left and middle > target:
                break
            after += 1
        chunks.append(range(first, after))
        first = after
    return chunks
