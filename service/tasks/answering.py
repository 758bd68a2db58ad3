"""Extractive question answering: the stretch of the context that answers a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
    """Logit of every span by first token and length - 1: [tokens, max_tokens], -inf where it leaves the window."""
    tail = np.full(max_tokens - 1, -np.inf)
    return np.asarray(starts[:, None] + sliding_window_view(np.concatenate([ends, tail]), max_tokens))


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Byte-level tokens carry the space before them; an answer does not."""
    while start < end and context[start].isspace():
        start += 1
    while end > start and context[end - 1].isspace():
        end -= 1
    return start, end


def _best_spans(window: Window, logits: Array, context: str, count: int) -> list[Candidate]:
    """The best `count` stretches of text, each once: spans of a character's several byte tokens are one stretch."""
    flat = logits.ravel()
    found: dict[tuple[int, int], Candidate] = {}
    looked = 0
    while len(found) < count and looked < flat.size:
        looked = min(4 * (looked + count), flat.size)
        best = np.argpartition(-flat, looked - 1)[:looked]
        found.clear()
        for index in best[np.argsort(-flat[best], kind="stable")]:
            first, extra = divmod(int(index), logits.shape[1])
            if np.isfinite(flat[index]):
                start, end = _trimmed(context, window.offsets[first][0], window.offsets[first + extra][1])
                if start < end:
                    found.setdefault((start, end), Candidate(float(flat[index]), start, end))
    return list(found.values())


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
        if not windows[0].offsets:
            raise InvalidInput("The context holds nothing that the model can read; send text.")
        rows = [(window.encoding, len(window.encoding)) for window in windows]
        return Reading(item.context, windows, cut_at), rows

    def finish(self, reading: Reading, outputs: list[dict[str, Array]], parameters: AnswerParameters) -> dict[str, Any]:
        """The best spans over all windows, with scores that are shares of all spans and of "no answer".

        Raw logits are compared, never scores softmaxed a window at a time, which are not comparable. Raises
        InferenceError for logits that are no numbers.
        """
        best: dict[tuple[int, int], Candidate] = {}
        everything: list[Array] = []
        nothing = np.inf
        for window, output in zip(reading.windows, outputs, strict=True):
            starts, ends = output["start_logits"].astype(np.float64), output["end_logits"].astype(np.float64)
            if not (np.isfinite(starts).all() and np.isfinite(ends).all()):
                raise InferenceError("The model gave no finite scores for this input.")
            inside = slice(window.first, window.first + len(window.offsets))
            logits = span_logits(starts[inside], ends[inside], parameters.max_answer_len)
            everything.append(logits.ravel())
            nothing = min(nothing, starts[0] + ends[0])
            # Spans of neighbouring windows may be the same characters, so each window gives enough for all places.
            for candidate in _best_spans(window, logits, reading.context, parameters.top_k):
                known = best.get((candidate.start, candidate.end))
                if known is None or candidate.logit > known.logit:
                    best[candidate.start, candidate.end] = candidate
        nothing += self._no_answer_bias
        candidates = list(best.values())
        if parameters.handle_impossible_answer or not candidates:
            candidates.append(Candidate(nothing, 0, 0))
        return self._result(reading, candidates, np.concatenate([*everything, [nothing]]), parameters.top_k)

    def _result(self, reading: Reading, candidates: list[Candidate], logits: Array, top_k: int) -> dict[str, Any]:
        highest = logits.max()
        total = highest + np.log(np.exp(logits - highest).sum())
        ranked = [
            {
                "answer": reading.context[candidate.start : candidate.end],
                "score": float(np.exp(candidate.logit - total)),
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
