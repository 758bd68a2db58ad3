"""Summarization: a shorter text, written by an encoder-decoder or made of the text's own sentences."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from service.answers import Answer
from service.artifact import Artifact
from service.domain import DomainClassifier, domain_ids
from service.encoding import Encoding, Sentences, Tokenizer
from service.errors import InvalidInput
from service.extraction import choose, fragment_penalties
from service.generation.decoding import Decoder, Prompt, Reading
from service.generation.names import Pieces
from service.generation.options import GenerationOptions, default_options, special_tokens
from service.generation.seq2seq import Seq2SeqGraphs
from service.model import Array
from service.schemas import SummarizeParameters
from service.sentences import sentence_spans
from service.sources import support
from service.tasks.rounds import Rounds, Rows
from service.tasks.salience import Salience

_DEFAULT_POSITIONS = 512
_HALF_A_CHARACTER = "\ufffd"  # what some of the bytes of a character are decoded to
_SENTENCES = 3
_SOURCES = 3
# A piece's own summary is a quarter of it at most, or reducing would have no end.
_PIECE_SHARE = 4

_Written = tuple[list[int], int, int]
"""Token ids of a text, tokens read for it, tokens written for it."""


class Summarization:
    """Summarizes texts with one model; what a request leaves open is the model's own default."""

    route = "summarize"

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        config = artifact.generation_config
        self._tokenizer = Tokenizer(artifact.folder)
        self._max_tokens = artifact.max_tokens
        graphs = Seq2SeqGraphs(artifact, batch_tokens=batch_tokens, wide_threads=wide_threads)
        self.model = Decoder(graphs, special_tokens(config), Pieces(self._tokenizer.decode, graphs.vocabulary))
        self._salience = Salience(artifact)
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

    def run(self, text: str, parameters: SummarizeParameters) -> Rounds:
        """The summary of one text, in as many rounds as its strategy takes."""
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
        ended = "length" if len(ids) >= options.max_new_tokens else "stop"
        result = _result(
            summary, strategy, len(pieces), sources=sources, finish_reason=ended, truncated_at=truncated_at
        )
        return Answer(result, read, written)

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
    ) -> Generator[Rows, list[list[int]], _Written]:
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
                Prompt(piece, options if final else partial, final, source)
                for piece, source in zip(pieces, sources, strict=True)
            ]
            outputs = yield [(prompt, len(prompt.encoding)) for prompt in prompts]
            read += sum(map(len, pieces))
            written += sum(map(len, outputs))
            if final:
                return outputs[0], read, written
            text = " ".join(filter(None, map(self._tokenizer.decode, outputs))) or "."
            pieces = self._pieces(text)

    def _read(self, sentences: Sentences) -> Generator[Rows, list[Array], tuple[Array, Array]]:
        """Scores and unit vectors of sentences."""
        readings = [Reading(passage.encoding) for passage in sentences.passages]
        states = yield [(reading, len(reading.encoding)) for reading in readings]
        return self._salience.weigh(sentences, states)

    def _extract(self, text: str, parameters: SummarizeParameters, reason: str | None) -> Rounds:
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
        own = [{"start": start, "end": end, "score": score} for start, end, score in picked]
        summary, places = _joined([text[start:end] for start, end, _ in picked])
        sources = [
            {"start": begin, "end": end, "sources": [{**sentence, "score": 1.0}]}
            for (begin, end), sentence in zip(places, own, strict=True)
        ]
        result = _result(
            summary,
            "extractive",
            len(sentences.passages),
            reason=reason,
            sentences=own,
            sources=sources if parameters.sources else None,
        )
        return Answer(result, sum(len(passage.encoding) for passage in sentences.passages), 0)

    def _sources(self, text: str, summary: str) -> Generator[Rows, list[Array], tuple[list[dict[str, Any]], int]]:
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
        found = support(
            [summary[start:end] for start, end in spans], [text[start:end] for start, end in theirs.spans],
            similarity, _SOURCES,
        )  # fmt: skip
        supported = []
        for (start, end), sources in zip(spans, found, strict=True):
            places = [(*theirs.spans[index], score) for index, score in sources]
            own_sources = [{"start": begin, "end": stop, "score": score} for begin, stop, score in places]
            supported.append({"start": start, "end": end, "sources": own_sources})
        return supported, read

    def text_so_far(self, tokens: list[int]) -> str:
        """What a reader may see of a summary whose beginning these are: no part of a character, no space at the end."""
        return self._tokenizer.decode(tokens).rstrip(_HALF_A_CHARACTER).rstrip()

    def text_of(self, result: dict[str, Any]) -> str:
        """What the pieces of a stream add up to."""
        return str(result["summary"])


def _result(
    summary: str,
    strategy: str,
    pieces: int,
    *,
    reason: str | None = None,
    sentences: list[dict[str, Any]] | None = None,
    sources: list[dict[str, Any]] | None = None,
    finish_reason: str = "stop",
    truncated_at: int | None = None,
) -> dict[str, Any]:
    """As schemas.Summary has it."""
    return {
        "summary": summary,
        "strategy": strategy,
        "reason": reason,
        "pieces": pieces,
        "sentences": sentences,
        "sources": sources,
        "finish_reason": finish_reason,
        "truncated": truncated_at is not None,
        "truncated_at": truncated_at,
    }


def _joined(sentences: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """One text of them, a space between, and where each stands in it; their line breaks are spaces then."""
    places, length, cleaned = [], 0, [" ".join(sentence.split()) for sentence in sentences]
    for sentence in cleaned:
        places.append((length, length + len(sentence)))
        length += len(sentence) + 1
    return " ".join(cleaned), places
