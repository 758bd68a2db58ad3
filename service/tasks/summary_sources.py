"""Sources of a summary: for each of its sentences, the sentences of the text that support it."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from service.scheduling.job import ModelInput
from service.seq2seq.model import Seq2SeqModel
from service.tasks.sentence_scorer import SentenceScorer
from service.tasks.summary_result import Sentence, SupportedSentence
from service.text.attribution import attribute
from service.text.sentences import sentence_spans
from service.text.tokenizer import Tokenizer

_MAX_SOURCES = 3  # of a sentence


class SourceAttribution:
    """Finds the sources of summaries by words, and by the encoder's hidden states where its graph gives them."""

    def __init__(self, tokenizer: Tokenizer, model: Seq2SeqModel, scorer: SentenceScorer, *, max_tokens: int) -> None:
        """Rows have at most `max_tokens` tokens."""
        self._tokenizer = tokenizer
        self._model = model
        self._scorer = scorer
        self._max_tokens = max_tokens

    def run(
        self, text: str, summary: str
    ) -> Generator[list[ModelInput], Sequence[object], tuple[list[SupportedSentence], int]]:
        """The summary's sentences with their sources, and the tokens read for that. Takes two rounds or none."""
        spans = sentence_spans(summary)
        of_text = self._tokenizer.sentences(text, self._max_tokens)
        of_summary = self._tokenizer.sentences(summary, self._max_tokens)
        similarity, input_tokens = None, 0
        # A sentence too long for a row is in parts, which are no sentences to compare with.
        whole = len(of_summary.spans) == len(spans) > 0
        if self._model.graphs.gives_states and of_text.passages and whole:
            _, units_of_text = yield from self._scorer.run(of_text)
            _, units_of_summary = yield from self._scorer.run(of_summary)
            similarity = units_of_summary @ units_of_text.T
            input_tokens = sum(len(passage.encoding) for passage in (*of_text.passages, *of_summary.passages))
        found = attribute(
            [summary[start:end] for start, end in spans],
            [text[start:end] for start, end in of_text.spans],
            similarity,
            _MAX_SOURCES,
        )
        supported = [
            SupportedSentence(start, end, [Sentence(*of_text.spans[index], score) for index, score in sources])
            for (start, end), sources in zip(spans, found, strict=True)
        ]
        return supported, input_tokens
