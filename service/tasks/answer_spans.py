"""Spans of a context that may be the answer: their logits, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from service.runtime.session import Array
from service.text.sentences import without_outer_space
from service.text.tokenizer import Window


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span of the context. Its logit may be compared with those of the other windows."""

    logit: float
    start: int
    end: int


def span_logits(starts: Array, ends: Array, max_tokens: int) -> Array:
    """Logits of all spans, [length - 1, first token]; -inf for spans that do not end within the window.

    `starts` and `ends` are [tokens]; spans have at most `max_tokens` tokens.
    """
    tokens = len(ends)
    padded = np.full(tokens + max_tokens - 1, -math.inf)
    padded[:tokens] = ends
    # Each row is the same numbers, one further on: what sliding_window_view() makes, but without its overhead.
    windows: Array = np.ndarray((max_tokens, tokens), padded.dtype, padded, strides=padded.strides * 2)
    return np.asarray(starts + windows)


def count_spans(max_tokens: int, tokens: int) -> int:
    """The number of spans of at most `max_tokens` tokens in a window of `tokens`."""
    longest = min(max_tokens, tokens)
    return longest * tokens - longest * (longest - 1) // 2


def best_places(logits: Array, count: int) -> list[tuple[int, int]]:
    """Indices into `span_logits` of the `count` highest, the highest first.

    Of equal logits the one that starts first goes first, and of those the shortest.
    """
    longest, tokens = logits.shape
    # Only columns with a high maximum can hold them, and finding those columns is cheap. All columns with equal maxima
    # are sorted, so that the order does not depend on `count`.
    firsts = np.arange(tokens)
    if count < tokens:
        highest = logits.max(axis=0)
        firsts = np.flatnonzero(highest >= np.partition(highest, tokens - count)[tokens - count])
    best = np.argsort(-logits[:, firsts].T.ravel(), kind="stable")[:count].tolist()
    chosen = firsts.tolist()
    return [(place % longest, chosen[place // longest]) for place in best]


def best_place(logits: Array) -> tuple[int, int]:
    """The first of `best_places`, in fewer calls: most requests need only this."""
    first = int(logits.max(axis=0).argmax())
    return int(logits[:, first].argmax()), first


def _characters(window: Window, context: str, extra: int, first: int) -> tuple[int, int]:
    """Characters of the context from token `first` of the window to the one `extra` further on.

    Without white space at either end: byte-level tokens include the space before them.
    """
    start, end = window.span(first)
    return without_outer_space(context, start, window.span(first + extra)[1] if extra else end)


def best_candidates(window: Window, logits: Array, context: str, count: int) -> list[Candidate]:
    """The `count` best spans of characters in a window, best first and each once; fewer if there are no more.

    Several spans of tokens may be the same characters, because a character may have several byte-level tokens.
    """
    if count == 1:
        place = best_place(logits)
        start, end = _characters(window, context, *place)
        if start < end:
            return [Candidate(float(logits[place]), start, end)]
    found: dict[tuple[int, int], Candidate] = {}
    examined, total = 0, count_spans(*logits.shape)
    while len(found) < count and examined < total:
        skip, examined = examined, min(4 * (examined + count), total)
        for extra, first in best_places(logits, examined)[skip:]:
            if len(found) == count:
                break
            start, end = _characters(window, context, extra, first)
            if start < end:
                found.setdefault((start, end), Candidate(float(logits[extra, first]), start, end))
    return list(found.values())


def log_sum_exp(tables: Iterable[Array], no_answer_logit: float, highest: float) -> float:
    """The logarithm of the sum of the exponentials of all spans' logits and that of "no answer".

    `highest` is the highest of them all. Overwrites the tables.
    """
    total = math.exp(no_answer_logit - highest)
    for table in tables:
        table -= highest
        total += float(np.exp(table, out=table).sum())
    return highest + math.log(total)
