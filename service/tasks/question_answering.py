"""Extractive question answering: the span of the context that answers a question."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import BaseModel

from service.artifact import Artifact
from service.errors import InferenceError, InvalidInput
from service.runtime.encoder import TOKENS, EncoderModel, OutputAxes, output_arrays
from service.runtime.session import Array
from service.scheduling.job import ModelInput
from service.tasks.answer_spans import Candidate, best_candidates, log_sum_exp, span_logits
from service.tasks.base import Result, Rounds, TaskResult
from service.tasks.parameters import AnswerParameters, Question
from service.text.tokenizer import Tokenizer, Window


@dataclass(frozen=True, slots=True)
class WindowedQuestion:
    """A question with its context, which is read in windows."""

    context: str
    windows: list[Window]
    question_cut_at: int | None
    """Character of the question where reading stopped, None when all was read."""


@dataclass(frozen=True, slots=True)
class Answer(Result):
    """A span of the context."""

    answer: str
    score: float
    start: int
    """Character offsets into the context: context[start:end] is the answer."""
    end: int


@dataclass(frozen=True, slots=True)
class AnswerResult(Result):
    """The answers to a question; the best one's fields stand beside the list too."""

    answer: str
    score: float
    start: int
    """Character offsets into the context: context[start:end] is the answer."""
    end: int
    answers: list[Answer]
    """The top_k answers, best first."""
    windows: int
    """Overlapping windows that the context was read in."""
    truncated: bool
    """Whether the model read less than the whole input."""
    truncated_at: int | None
    """Character where the question was cut; contexts never are."""


class QuestionAnswering:
    """Answers questions by spans of their contexts, which may have any length: they are read in overlapping windows."""

    name: ClassVar[str] = "question-answering"
    route: ClassVar[str] = "answer"
    heads: ClassVar[tuple[str, ...]] = ("ForQuestionAnswering",)
    encoder_decoder: ClassVar[bool] = False
    outputs: ClassVar[OutputAxes] = {"start_logits": (TOKENS,), "end_logits": (TOKENS,)}
    description: ClassVar[str] = "Find the answer to a question in its context, of any length."
    item_type: ClassVar[type] = Question
    parameters_type: ClassVar[type[BaseModel]] = AnswerParameters
    result_type: ClassVar[type[Result]] = AnswerResult
    labels: ClassVar[Sequence[str]] = ()

    def __init__(self, artifact: Artifact, *, batch_tokens: int, intra_op_threads: int) -> None:
        self._tokenizer = Tokenizer(artifact.folder)
        self.model = EncoderModel(
            artifact, outputs=self.outputs, batch_tokens=batch_tokens, intra_op_threads=intra_op_threads
        )
        self._max_tokens = artifact.max_tokens
        self._no_answer_bias = float(artifact.serving.get("no_answer_bias", 0.0))

    def texts(self, item: Question) -> Sequence[str]:
        return item.question, item.context

    def run(self, item: Question, parameters: AnswerParameters) -> Rounds[AnswerResult]:
        """The answers to one question, in one round; raises InvalidInput if the context has no tokens."""
        windows, cut_at = self._tokenizer.windows(
            item.question, item.context, max_tokens=self._max_tokens, stride=parameters.doc_stride
        )
        if not windows[0].size:
            raise InvalidInput("The context holds nothing that the model can read; send text.")
        outputs = yield [ModelInput(window.encoding, len(window.encoding)) for window in windows]
        question = WindowedQuestion(item.context, windows, cut_at)
        result = self._result(question, [output_arrays(output) for output in outputs], parameters)
        input_tokens = sum(len(window.encoding) for window in windows)
        return TaskResult(result, input_tokens, truncated=result.truncated)

    def _result(
        self, question: WindowedQuestion, outputs: Sequence[Mapping[str, Array]], parameters: AnswerParameters
    ) -> AnswerResult:
        """The best spans over all windows, with scores that are shares of all spans and of "no answer".

        Windows are compared by logits: scores that are softmaxed within each window are not comparable. Raises
        InferenceError for logits that are not finite.
        """
        kept: list[Array] = []
        spans: list[tuple[Array, Array]] = []
        best: dict[tuple[int, int], Candidate] = {}
        no_answer_logit, highest = math.inf, -math.inf
        for window, output in zip(question.windows, outputs, strict=True):
            both = np.array((output["start_logits"], output["end_logits"]), np.float64)
            if not math.isfinite(both.sum()):  # opposite infinities add up to nan
                raise InferenceError("The model gave no finite scores for this input.")
            starts, ends = both[:, window.first : window.first + window.size]
            logits = span_logits(starts, ends, parameters.max_answer_len)
            spans.append((starts, ends))
            if len(outputs) == 1:
                kept.append(logits)
            highest = max(highest, float(logits.max()))
            no_answer_logit = min(no_answer_logit, float(both[:, 0].sum()))
            # Neighbouring windows may have the same spans of characters, so each window gives top_k.
            for candidate in best_candidates(window, logits, question.context, parameters.top_k):
                known = best.get((candidate.start, candidate.end))
                if known is None or candidate.logit > known.logit:
                    best[candidate.start, candidate.end] = candidate
        no_answer_logit += self._no_answer_bias
        candidates = list(best.values())
        if parameters.handle_impossible_answer or not candidates:
            candidates.append(Candidate(no_answer_logit, 0, 0))
        # Computed again where there are several: together the tables of a long context would take up to a gigabyte.
        tables: Iterable[Array] = kept or (span_logits(*each, parameters.max_answer_len) for each in spans)
        log_total = log_sum_exp(tables, no_answer_logit, max(no_answer_logit, highest))
        return _ranked(question, candidates, log_total, parameters.top_k)


def _ranked(question: WindowedQuestion, candidates: list[Candidate], log_total: float, top_k: int) -> AnswerResult:
    """The `top_k` best candidates with their scores, the best first."""
    answers = [
        Answer(
            question.context[candidate.start : candidate.end],
            math.exp(candidate.logit - log_total),
            candidate.start,
            candidate.end,
        )
        for candidate in sorted(candidates, key=lambda each: (-each.logit, each.start, each.end))[:top_k]
    ]
    best, cut_at = answers[0], question.question_cut_at
    return AnswerResult(
        best.answer, best.score, best.start, best.end, answers, len(question.windows), cut_at is not None, cut_at
    )
