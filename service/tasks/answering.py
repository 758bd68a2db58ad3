"""Extractive question answering: the stretch of the context that answers a question."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.answers import Answer
from service.artifact import Artifact
from service.encoder import EncoderModel
from service.encoding import Encoding, Tokenizer, Window
from service.errors import InferenceError, InvalidInput
from service.model import Array
from service.schemas import AnswerParameters, Question
from service.tasks.rounds import Rounds


@dataclass(frozen=True, slots=True)
class Reading:
    """A question and its context, cut into windows."""

    context: str
    windows: list[Window]
    question_cut_at: int | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span of the context; its logit is comparable over all windows of the question."""

    logit: float
    start: int
    end: int


def span_logits(starts: Array, ends: Array, max_tokens: int) -> Array:
    """Logit of every span by length - 1 and first token: [max_tokens, tokens], -inf where it leaves the window."""
    tokens = len(ends)
    padded = np.full(tokens + max_tokens - 1, -math.inf)
    padded[:tokens] = ends
    # Each row one further on in the same numbers: sliding_window_view() without what it costs to ask for.
    windows: Array = np.ndarray((max_tokens, tokens), padded.dtype, padded, strides=padded.strides * 2)
    return np.asarray(starts + windows)


def spans_inside(longest: int, tokens: int) -> int:
    """How many spans of at most `longest` tokens do not leave a window of `tokens`."""
    longest = min(longest, tokens)
    return longest * tokens - longest * (longest - 1) // 2


def best_places(logits: Array, count: int) -> list[tuple[int, int]]:
    """Lengths - 1 and first tokens of the `count` highest of [max_tokens, tokens], the highest first.

    Of equal ones that which starts first, and of those the shortest.
    """
    longest, tokens = logits.shape
    # They start at the tokens of the highest maxima, and looking for those in one row is cheap. Of equal ones all are
    # looked at, so that the first comes first, however many are asked for.
    firsts = np.arange(tokens)
    if count < tokens:
        highest = logits.max(axis=0)
        firsts = np.flatnonzero(highest >= np.partition(highest, tokens - count)[tokens - count])
    best = np.argsort(-logits[:, firsts].T.ravel(), kind="stable")[:count].tolist()
    chosen = firsts.tolist()
    return [(place % longest, chosen[place // longest]) for place in best]


def best_place(logits: Array) -> tuple[int, int]:
    """The first of `best_places`, with the fewest calls: for most requests it is the only one."""
    first = int(logits.max(axis=0).argmax())
    return int(logits[:, first].argmax()), first


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Byte-level tokens carry the space before them; an answer does not."""
    if start < end and (context[start].isspace() or context[end - 1].isspace()):
        stretch = context[start:end]
        start = min(end, start + len(stretch) - len(stretch.lstrip()))
        end = start + len(stretch.strip())
    return start, end


def _stretch(window: Window, extra: int, first: int) -> tuple[int, int]:
    """Characters of the context from token `first` of the window to the one `extra` further on."""
    start, end = window.span(first)
    return start, window.span(first + extra)[1] if extra else end


def _best_spans(window: Window, logits: Array, context: str, count: int) -> list[Candidate]:
    """The best `count` stretches of text, each once: spans of a character's several byte tokens are one stretch."""
    if count == 1:
        place = best_place(logits)
        start, end = _trimmed(context, *_stretch(window, *place))
        if start < end:
            return [Candidate(float(logits[place]), start, end)]
    found: dict[tuple[int, int], Candidate] = {}
    looked, inside = 0, spans_inside(*logits.shape)
    while len(found) < count and looked < inside:
        seen = looked
        looked = min(4 * (looked + count), inside)
        for extra, first in best_places(logits, looked)[seen:]:
            if len(found) == count:
                break
            start, end = _trimmed(context, *_stretch(window, extra, first))
            if start < end:
                found.setdefault((start, end), Candidate(float(logits[extra, first]), start, end))
    return list(found.values())


def _log_total(tables: Iterable[Array], nothing: float, highest: float) -> float:
    """Of all spans and "no answer" together: the logarithm of the sum of their exponentials. Takes the tables over.

    `highest` is the highest logit of all.
    """
    total = math.exp(nothing - highest)
    for table in tables:
        table -= highest
        total += float(np.exp(table, out=table).sum())
    return highest + math.log(total)


class Answering:
    """Answers questions with one model. Contexts may have any length: they are read in overlapping windows."""

    route = "answer"

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        self._tokenizer = Tokenizer(artifact.folder)
        self.model = EncoderModel(artifact, batch_tokens=batch_tokens, wide_threads=wide_threads)
        self._max_tokens = artifact.max_tokens
        self._no_answer_bias = float(artifact.serving.get("no_answer_bias", 0.0))

    def prepare(self, item: Question, parameters: AnswerParameters) -> tuple[Reading, list[tuple[Encoding, int]]]:
        """What `finish` wants back, and a row for each window; raises InvalidInput if the context has no tokens."""
        windows, cut_at = self._tokenizer.windows(
            item.question, item.context, max_tokens=self._max_tokens, stride=parameters.doc_stride
        )
        if not windows[0].size:
            raise InvalidInput("The context holds nothing that the model can read; send text.")
        rows = [(window.encoding, len(window.encoding)) for window in windows]
        return Reading(item.context, windows, cut_at), rows

    def finish(self, reading: Reading, outputs: list[dict[str, Array]], parameters: AnswerParameters) -> dict[str, Any]:
        """The best spans over all windows, with scores that are shares of all spans and of "no answer".

        Raw logits are compared, never scores softmaxed a window at a time, which are not comparable. Raises
        InferenceError for logits that are no numbers.
        """
        best: dict[tuple[int, int], Candidate] = {}
        everything: list[tuple[Array, Array]] = []
        kept: list[Array] = []
        nothing, highest = math.inf, -math.inf
        for window, output in zip(reading.windows, outputs, strict=True):
            given = np.array((output["start_logits"], output["end_logits"]), np.float64)
            if not math.isfinite(given.sum()):  # of opposite infinities too
                raise InferenceError("The model gave no finite scores for this input.")
            starts, ends = given[:, window.first : window.first + window.size]
            logits = span_logits(starts, ends, parameters.max_answer_len)
            everything.append((starts, ends))
            if len(outputs) == 1:
                kept.append(logits)
            highest = max(highest, float(logits.max()))
            nothing = min(nothing, float(given[:, 0].sum()))
            # Spans of neighbouring windows may be the same characters, so each window gives enough for all places.
            for candidate in _best_spans(window, logits, reading.context, parameters.top_k):
                known = best.get((candidate.start, candidate.end))
                if known is None or candidate.logit > known.logit:
                    best[candidate.start, candidate.end] = candidate
        nothing += self._no_answer_bias
        candidates = list(best.values())
        if parameters.handle_impossible_answer or not candidates:
            candidates.append(Candidate(nothing, 0, 0))
        # Computed again where there are several: together the tables of a long context would take up to a gigabyte.
        tables: Iterable[Array] = kept or (span_logits(*each, parameters.max_answer_len) for each in everything)
        log_total = _log_total(tables, nothing, max(nothing, highest))
        return self._result(reading, candidates, log_total, parameters.top_k)

    def _result(self, reading: Reading, candidates: list[Candidate], log_total: float, top_k: int) -> dict[str, Any]:
        ranked = [
            {
                "answer": reading.context[candidate.start : candidate.end],
                "score": math.exp(candidate.logit - log_total),
                "start": candidate.start,
                "end": candidate.end,
            }
            for candidate in sorted(candidates, key=lambda each: (-each.logit, each.start, each.end))[:top_k]
        ]
        return {
            **ranked[0],
            "answers": ranked,
            "windows": len(reading.windows),
            "truncated": reading.question_cut_at is not None,
            "truncated_at": reading.question_cut_at,
        }

    def run(self, item: Question, parameters: AnswerParameters) -> Rounds:
        """The answer to one question, in one round."""
        reading, rows = self.prepare(item, parameters)
        outputs = yield rows
        read = sum(len(window.encoding) for window in reading.windows)
        return Answer(self.finish(reading, outputs, parameters), read, 0)
