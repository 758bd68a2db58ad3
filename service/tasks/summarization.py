"""Summarization: a shorter text, written by an encoder-decoder or made of the text's own sentences."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast

from pydantic import BaseModel

from service.artifact import Artifact
from service.errors import InvalidInput
from service.runtime.session import Array
from service.scheduling.job import ModelInput
from service.seq2seq.graphs import Seq2SeqGraphs
from service.seq2seq.model import EncodeInput, GenerateInput, Seq2SeqModel
from service.seq2seq.options import GenerationOptions, default_options, special_tokens
from service.seq2seq.source_names import Pieces
from service.tasks.base import Result, Rounds, TaskResult
from service.tasks.domain import DomainClassifier, domain_ids
from service.tasks.parameters import Strategy, SummarizeParameters
from service.tasks.sentence_scorer import SentenceScorer
from service.text.attribution import attribute
from service.text.extractive import choose, fragment_penalties
from service.text.sentences import sentence_spans
from service.text.tokenizer import Encoding, Sentences, Tokenizer

_DEFAULT_POSITIONS = 512
_HALF_A_CHARACTER = "\ufffd"  # what some of the bytes of a character are decoded to
_SENTENCES = 3
_SOURCES = 3
# A piece's own summary is a quarter of it at most, or reducing would have no end.
_PIECE_SHARE = 4

_Written = tuple[list[int], int, int]
"""Token ids of a text, tokens read for it, tokens written for it."""


@dataclass(frozen=True, slots=True)
class Sentence(Result):
    """A sentence of the text: text[start:end]."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class SupportedSentence(Result):
    """A sentence of the summary: summary[start:end]."""

    start: int
    end: int
    sources: list[Sentence]
    """What supports it, best first; scores from 0 to 1, below 0.2 it should be doubted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryResult(Result):
    """A summary, and how it was made."""

    summary: str
    strategy: Strategy
    """How it was made."""
    reason: str | None = None
    """Why auto chose sentences instead of writing; null where it did not."""
    pieces: int
    """Parts that the text was read in."""
    sentences: list[Sentence] | None = None
    """The chosen sentences of the text (extractive), else null."""
    sources: list[SupportedSentence] | None = None
    """Null unless asked for."""
    finish_reason: Literal["stop", "length"] = "stop"
    """Why writing ended: by itself, or max_new_tokens."""
    truncated: bool = False
    """Whether the model read less than the whole input."""
    truncated_at: int | None = None
    """Character where reading stopped, null when all was read."""


class Summarization:
    """Summarizes texts with one model; what a request leaves open is the model's own default."""

    name: ClassVar[str] = "summarization"
    route: ClassVar[str] = "summarize"
    heads: ClassVar[tuple[str, ...]] = ("ForConditionalGeneration", "MTModel")
    description: ClassVar[
        str
    ] = """Write a short text that says what a longer one is about, or choose the sentences that do.

    With "stream": true the answer is server-sent events: pieces of the summary, then the whole answer. An error that
    comes after the first piece is the last event."""
    item_type: ClassVar[type] = str
    parameters_type: ClassVar[type[BaseModel]] = SummarizeParameters
    result_type: ClassVar[type[Result]] = SummaryResult
    labels: ClassVar[Sequence[str]] = ()

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        config = artifact.generation_config
        self._tokenizer = Tokenizer(artifact.folder)
        self._max_tokens = artifact.max_tokens
        graphs = Seq2SeqGraphs(artifact, batch_tokens=batch_tokens, wide_threads=wide_threads)
        self.model = Seq2SeqModel(graphs, special_tokens(config), Pieces(self._tokenizer.decode, graphs.vocabulary))
        self._salience = SentenceScorer(artifact)
        path = artifact.domain_classifier
        self._domain = None if path is None else DomainClassifier(path, vocabulary=graphs.vocabulary)
        self._defaults = default_options(config, artifact.serving)
        self._longest = (
            int(config.get("max_position_embeddings") or config.get("n_positions") or _DEFAULT_POSITIONS) - 1
        )
        own = (config.get("task_specific_params") or {}).get("summarization") or {}
        self._prefix = str(config.get("prefix") or own.get("prefix") or "")

    def options(self, parameters: SummarizeParameters) -> GenerationOptions:
        """The model's defaults with the request's choices; raises InvalidInput for more tokens than it can write."""
        own = parameters.model_dump(exclude_none=True, exclude={"strategy", "num_sentences", "sources"})
        chosen = replace(self._defaults, **own)
        if chosen.max_new_tokens > self._longest:
            raise InvalidInput(f"max_new_tokens is {chosen.max_new_tokens}; this model writes {self._longest} at most.")
        if chosen.min_new_tokens > chosen.max_new_tokens:
            if parameters.min_new_tokens is not None:
                raise InvalidInput(
                    f"min_new_tokens is {chosen.min_new_tokens}, above max_new_tokens, {chosen.max_new_tokens}."
                )
            chosen = replace(chosen, min_new_tokens=chosen.max_new_tokens)
        return chosen

    def texts(self, item: str) -> Sequence[str]:
        return (item,)

    def run(self, item: str, parameters: SummarizeParameters) -> Rounds[SummaryResult]:
        """The summary of one text, in as many rounds as its strategy takes."""
        text = item
        options = self.options(parameters)
        requested = parameters.strategy or "auto"
        reason = self._reason_not_to_write(text) if requested == "auto" else None
        if requested == "extractive" or reason is not None:
            return (yield from self._extract(text, parameters, reason))
        whole = self._tokenizer.encode(self._prefix + text, self._max_tokens)
        cut_at, pieces = whole.truncated_at, [whole]
        strategy = ("truncate" if cut_at is None else "map_reduce") if requested == "auto" else requested
        if strategy == "map_reduce" and cut_at is not None:
            cut_at, pieces = None, self._pieces(text)
        truncated_at = None if cut_at is None else max(0, cut_at - len(self._prefix))
        ids, read, written = yield from self._write(pieces, text[:truncated_at], options)
        summary, sources = self._tokenizer.decode(ids), None
        if parameters.sources:
            sources, more = yield from self._sources(text[:truncated_at], summary)
            read += more
        result = SummaryResult(
            summary=summary,
            strategy=strategy,
            pieces=len(pieces),
            sources=sources,
            finish_reason="length" if len(ids) >= options.max_new_tokens else "stop",
            truncated=truncated_at is not None,
            truncated_at=truncated_at,
        )
        return TaskResult(result, read, written, truncated=result.truncated)

    def _reason_not_to_write(self, text: str) -> str | None:
        """What `auto` says where it chooses sentences; None where it writes, as it does if it cannot tell or choose."""
        if self._domain is None or not self.model.graphs.gives_states:
            return None
        if self._domain.accepts(domain_ids(self._tokenizer, text, self._max_tokens)):
            return None
        return f"The text is not like those that this model was trained to summarize: {self._domain.texts}."

    def _pieces(self, text: str) -> list[Encoding]:
        return self._tokenizer.pieces(text, self._max_tokens, prefix=self._prefix)

    def _write(
        self, pieces: list[Encoding], text: str, options: GenerationOptions
    ) -> Generator[list[ModelInput], Sequence[object], _Written]:
        """Summarize all pieces of a text side by side, then their summaries, until one is left."""
        read = written = 0
        shorter = self._max_tokens // _PIECE_SHARE
        partial = replace(
            options,
            max_new_tokens=min(options.max_new_tokens, shorter),
            min_new_tokens=min(options.min_new_tokens, shorter),
        )
        while True:
            final = len(pieces) == 1
            sources = [text] if final else [self._tokenizer.decode(list(piece.ids)) for piece in pieces]
            prompts = [
                GenerateInput(piece, options if final else partial, final, source)
                for piece, source in zip(pieces, sources, strict=True)
            ]
            outputs = cast(
                "list[list[int]]",
                (yield [ModelInput(prompt, len(prompt.encoding), prompt.final) for prompt in prompts]),
            )
            read += sum(map(len, pieces))
            written += sum(map(len, outputs))
            if final:
                return outputs[0], read, written
            text = " ".join(filter(None, map(self._tokenizer.decode, outputs))) or "."
            pieces = self._pieces(text)

    def _read(self, sentences: Sentences) -> Generator[list[ModelInput], Sequence[object], tuple[Array, Array]]:
        """Scores and unit vectors of sentences."""
        readings = [EncodeInput(passage.encoding) for passage in sentences.passages]
        states = yield [ModelInput(reading, len(reading.encoding)) for reading in readings]
        return self._salience.weigh(sentences, cast("list[Array]", states))

    def _extract(self, text: str, parameters: SummarizeParameters, reason: str | None) -> Rounds[SummaryResult]:
        """The sentences that say most of a text, as they stand; `reason` is given if nobody asked for them."""
        if not self.model.graphs.gives_states:
            raise InvalidInput("This model cannot choose sentences: its encoder keeps its states; export it anew.")
        sentences = self._tokenizer.sentences(text, self._max_tokens)
        if not sentences.passages:
            raise InvalidInput("The text holds nothing that the model can read; send text.")
        scores, units = yield from self._read(sentences)
        penalties = fragment_penalties([text[start:end] for start, end in sentences.spans])
        # A summary that leaves out a single sentence of four is none.
        count = parameters.num_sentences or min(_SENTENCES, -(-len(sentences.spans) // 2))
        chosen = choose(scores - penalties, units, count)
        picked = [(*sentences.spans[index], float(scores[index])) for index in chosen]
        own = [Sentence(*each) for each in picked]
        summary, places = _joined([text[start:end] for start, end, _ in picked])
        sources = [
            SupportedSentence(begin, end, [replace(sentence, score=1.0)])
            for (begin, end), sentence in zip(places, own, strict=True)
        ]
        result = SummaryResult(
            summary=summary,
            strategy="extractive",
            reason=reason,
            pieces=len(sentences.passages),
            sentences=own,
            sources=sources if parameters.sources else None,
        )
        return TaskResult(result, sum(len(passage.encoding) for passage in sentences.passages))

    def _sources(
        self, text: str, summary: str
    ) -> Generator[list[ModelInput], Sequence[object], tuple[list[SupportedSentence], int]]:
        """For each sentence of the summary what supports it, and the tokens read for that."""
        theirs = self._tokenizer.sentences(text, self._max_tokens)
        spans = sentence_spans(summary)
        similarity, read = None, 0
        ours = self._tokenizer.sentences(summary, self._max_tokens)
        if self.model.graphs.gives_states and theirs.passages and len(ours.spans) == len(spans) > 0:
            _, units = yield from self._read(theirs)
            _, own = yield from self._read(ours)
            similarity = own @ units.T
            read = sum(len(passage.encoding) for passage in (*theirs.passages, *ours.passages))
        found = attribute(
            [summary[start:end] for start, end in spans], [text[start:end] for start, end in theirs.spans],
            similarity, _SOURCES,
        )  # fmt: skip
        supported = []
        for (start, end), sources in zip(spans, found, strict=True):
            places = [(*theirs.spans[index], score) for index, score in sources]
            supported.append(SupportedSentence(start, end, [Sentence(*place) for place in places]))
        return supported, read

    def text_so_far(self, tokens: list[int]) -> str:
        """What a reader may see of a summary whose beginning these are: no part of a character, no space at the end."""
        return self._tokenizer.decode(tokens).rstrip(_HALF_A_CHARACTER).rstrip()

    def text_of(self, result: Result) -> str:
        """The summary, which the pieces of a stream add up to."""
        assert isinstance(result, SummaryResult)
        return result.summary


def _joined(sentences: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """One text of them, a space between, and where each stands in it; their line breaks are spaces then."""
    places, length, cleaned = [], 0, [" ".join(sentence.split()) for sentence in sentences]
    for sentence in cleaned:
        places.append((length, length + len(sentence)))
        length += len(sentence) + 1
    return " ".join(cleaned), places
