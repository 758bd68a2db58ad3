"""Summarization: a shorter text, written by an encoder-decoder or made of the text's own sentences."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple, cast

from pydantic import BaseModel

from service.artifact import Artifact
from service.errors import InvalidInput
from service.scheduling.job import ModelInput
from service.seq2seq.graphs import Seq2SeqGraphs
from service.seq2seq.model import GenerateInput, Seq2SeqModel
from service.seq2seq.options import GenerationOptions, default_options, special_tokens
from service.seq2seq.source_names import TokenTexts
from service.tasks.base import Result, Rounds, TaskResult
from service.tasks.domain import DomainClassifier, domain_ids
from service.tasks.extractive_summary import ExtractiveSummarizer
from service.tasks.parameters import Strategy, SummarizeParameters
from service.tasks.sentence_scorer import SentenceScorer
from service.tasks.summary_result import SummaryResult
from service.tasks.summary_sources import SourceAttribution
from service.text.tokenizer import REPLACEMENT_CHARACTER, Encoding, Tokenizer

_DEFAULT_POSITIONS = 512
# The summary of a piece is a quarter of what the model reads at most, so that every round shortens the text.
_PIECE_SHARE = 4


class _Source(NamedTuple):
    """What a summary is written from."""

    strategy: Strategy
    pieces: list[Encoding]
    truncated_at: int | None
    """Character of the text where reading stops, None when all is read."""


class _Generated(NamedTuple):
    """Token ids of a summary, and the tokens of all rounds that led to it."""

    ids: list[int]
    input_tokens: int
    output_tokens: int


class Summarization:
    """Summarizes texts. Parameters that a request leaves out take the model's own defaults."""

    name: ClassVar[str] = "summarization"
    route: ClassVar[str] = "summarize"
    heads: ClassVar[tuple[str, ...]] = ("ForConditionalGeneration", "MTModel")
    encoder_decoder: ClassVar[bool] = True
    description: ClassVar[
        str
    ] = """Write a short text that says what a longer one is about, or choose the sentences that do.

    With "stream": true the answer is server-sent events: pieces of the summary, then the whole answer. An error that
    comes after the first piece is the last event."""
    item_type: ClassVar[type] = str
    parameters_type: ClassVar[type[BaseModel]] = SummarizeParameters
    result_type: ClassVar[type[Result]] = SummaryResult
    labels: ClassVar[Sequence[str]] = ()

    def __init__(self, artifact: Artifact, *, batch_tokens: int, intra_op_threads: int) -> None:
        config = artifact.generation_config
        self._tokenizer = Tokenizer(artifact.folder)
        self._max_tokens = artifact.max_tokens
        graphs = Seq2SeqGraphs(artifact, batch_tokens=batch_tokens, intra_op_threads=intra_op_threads)
        self.model = Seq2SeqModel(graphs, special_tokens(config), TokenTexts(self._tokenizer.decode, graphs.vocabulary))
        scorer = SentenceScorer(artifact)
        self._extractive = ExtractiveSummarizer(self._tokenizer, self.model, scorer, max_tokens=self._max_tokens)
        self._sources = SourceAttribution(self._tokenizer, self.model, scorer, max_tokens=self._max_tokens)
        path = artifact.domain_classifier
        self._domain = None if path is None else DomainClassifier(path, vocabulary=graphs.vocabulary)
        self._defaults = default_options(config, artifact.serving)
        positions = int(config.get("max_position_embeddings") or config.get("n_positions") or _DEFAULT_POSITIONS)
        self._max_new_tokens = positions - 1  # the first is the start token's
        task_params = (config.get("task_specific_params") or {}).get("summarization") or {}
        self._prefix = str(config.get("prefix") or task_params.get("prefix") or "")

    def options(self, parameters: SummarizeParameters) -> GenerationOptions:
        """The model's defaults with the request's choices; raises InvalidInput for more tokens than it can write."""
        requested = parameters.model_dump(exclude_none=True, exclude={"strategy", "num_sentences", "sources"})
        options = replace(self._defaults, **requested)
        if options.max_new_tokens > self._max_new_tokens:
            raise InvalidInput(
                f"max_new_tokens is {options.max_new_tokens}; this model writes {self._max_new_tokens} at most."
            )
        if options.min_new_tokens > options.max_new_tokens:
            if parameters.min_new_tokens is not None:
                raise InvalidInput(
                    f"min_new_tokens is {options.min_new_tokens}, above max_new_tokens, {options.max_new_tokens}."
                )
            options = replace(options, min_new_tokens=options.max_new_tokens)
        return options

    def texts(self, item: str) -> Sequence[str]:
        return (item,)

    def run(self, item: str, parameters: SummarizeParameters) -> Rounds[SummaryResult]:
        """The summary of one text, in as many rounds as its strategy takes."""
        options = self.options(parameters)
        strategy = parameters.strategy
        reason = self._reason_to_extract(item) if strategy == "auto" else None
        if strategy == "extractive" or reason is not None:
            return (yield from self._extractive.run(item, parameters, reason))
        source = self._source(item, None if strategy == "auto" else strategy)
        text = item[: source.truncated_at]
        ids, input_tokens, output_tokens = yield from self._generate(source.pieces, text, options)
        summary, sources = self._tokenizer.decode(ids), None
        if parameters.sources:
            sources, more_tokens = yield from self._sources.run(text, summary)
            input_tokens += more_tokens
        result = SummaryResult(
            summary=summary,
            strategy=source.strategy,
            pieces=len(source.pieces),
            sources=sources,
            finish_reason="length" if len(ids) >= options.max_new_tokens else "stop",
            truncated=source.truncated_at is not None,
            truncated_at=source.truncated_at,
        )
        return TaskResult(result, input_tokens, output_tokens, truncated=result.truncated)

    def _reason_to_extract(self, text: str) -> str | None:
        """Why `auto` chooses sentences of this text; None if it writes, as where the model cannot choose sentences."""
        if self._domain is None or not self._extractive.available:
            return None
        if self._domain.accepts(domain_ids(self._tokenizer, text, self._max_tokens)):
            return None
        return f"The text is not like those that this model was trained to summarize: {self._domain.texts}."

    def _source(self, text: str, strategy: Strategy | None) -> _Source:
        """The pieces that a strategy reads; without one, the text is truncated only if nothing is lost by that."""
        encoding = self._tokenizer.encode(self._prefix + text, self._max_tokens)
        cut_at = encoding.truncated_at
        if strategy is None:
            strategy = "truncate" if cut_at is None else "map_reduce"
        if cut_at is None:
            return _Source(strategy, [encoding], None)
        if strategy == "map_reduce":
            return _Source(strategy, self._pieces(text), None)
        return _Source(strategy, [encoding], max(0, cut_at - len(self._prefix)))

    def _pieces(self, text: str) -> list[Encoding]:
        return self._tokenizer.chunks(text, self._max_tokens, prefix=self._prefix)

    def _generate(
        self, pieces: list[Encoding], text: str, options: GenerationOptions
    ) -> Generator[list[ModelInput], Sequence[object], _Generated]:
        """Summarize all pieces of a text side by side, then their summaries, until one piece is left."""
        input_tokens = output_tokens = 0
        longest = self._max_tokens // _PIECE_SHARE
        of_pieces = replace(
            options,
            max_new_tokens=min(options.max_new_tokens, longest),
            min_new_tokens=min(options.min_new_tokens, longest),
        )
        while True:
            final = len(pieces) == 1
            sources = [text] if final else [self._tokenizer.decode(list(piece.ids)) for piece in pieces]
            inputs = [
                GenerateInput(piece, options if final else of_pieces, final, source)
                for piece, source in zip(pieces, sources, strict=True)
            ]
            rows = [ModelInput(each, len(each.encoding), each.final) for each in inputs]
            outputs = cast("list[list[int]]", (yield rows))
            input_tokens += sum(map(len, pieces))
            output_tokens += sum(map(len, outputs))
            if final:
                return _Generated(outputs[0], input_tokens, output_tokens)
            text = " ".join(filter(None, map(self._tokenizer.decode, outputs))) or "."
            pieces = self._pieces(text)

    def text_so_far(self, tokens: list[int]) -> str:
        """The summary's text by these first tokens, without an incomplete character or a space at its end."""
        return self._tokenizer.decode(tokens).rstrip(REPLACEMENT_CHARACTER).rstrip()

    def text_of(self, result: Result) -> str:
        """The summary."""
        assert isinstance(result, SummaryResult)
        return result.summary
