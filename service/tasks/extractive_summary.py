"""Extractive summaries: the sentences of a text that say most of it, as they stand."""

from __future__ import annotations

from dataclasses import replace

from service.errors import InvalidInput
from service.seq2seq.model import Seq2SeqModel
from service.tasks.base import Rounds, TaskResult
from service.tasks.parameters import SummarizeParameters
from service.tasks.sentence_scorer import SentenceScorer
from service.tasks.summary_result import Sentence, SummaryResult, SupportedSentence
from service.text.extractive import choose, fragment_penalties
from service.text.tokenizer import Tokenizer

_MAX_SENTENCES = 3


class ExtractiveSummarizer:
    """Chooses sentences with a summarizer's encoder."""

    def __init__(self, tokenizer: Tokenizer, model: Seq2SeqModel, scorer: SentenceScorer, *, max_tokens: int) -> None:
        """Rows have at most `max_tokens` tokens."""
        self._tokenizer = tokenizer
        self._model = model
        self._scorer = scorer
        self._max_tokens = max_tokens

    @property
    def available(self) -> bool:
        """Whether the model can choose sentences: its encoder gives the hidden states that they are scored by."""
        return self._model.graphs.gives_states

    def run(self, text: str, parameters: SummarizeParameters, reason: str | None) -> Rounds[SummaryResult]:
        """The summary of one text, in one round.

        `reason` says why sentences are chosen if the request did not choose that. Raises InvalidInput for a model that
        cannot choose sentences and a text without tokens.
        """
        if not self.available:
            raise InvalidInput(
                "This model cannot choose sentences: its encoder's graph gives no hidden states; export it anew."
            )
        sentences = self._tokenizer.sentences(text, self._max_tokens)
        if not sentences.passages:
            raise InvalidInput("The text holds nothing that the model can read; send text.")
        scores, units = yield from self._scorer.run(sentences)
        penalties = fragment_penalties([text[start:end] for start, end in sentences.spans])
        # At most half of the sentences, unless requested: most of a short text would not be a summary.
        count = parameters.num_sentences or min(_MAX_SENTENCES, -(-len(sentences.spans) // 2))
        chosen = [
            Sentence(*sentences.spans[index], float(scores[index]))
            for index in choose(scores - penalties, units, count)
        ]
        summary, places = join_sentences([text[each.start : each.end] for each in chosen])
        sources = [
            SupportedSentence(start, end, [replace(sentence, score=1.0)])
            for (start, end), sentence in zip(places, chosen, strict=True)
        ]
        result = SummaryResult(
            summary=summary,
            strategy="extractive",
            reason=reason,
            pieces=len(sentences.passages),
            sentences=chosen,
            sources=sources if parameters.sources else None,
        )
        return TaskResult(result, sum(len(passage.encoding) for passage in sentences.passages))


def join_sentences(sentences: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """The sentences as one text, line breaks as spaces, and the span of each in it."""
    lines = [" ".join(sentence.split()) for sentence in sentences]
    spans, start = [], 0
    for line in lines:
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return " ".join(lines), spans
