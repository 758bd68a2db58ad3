"""An encoder-decoder as the scheduler runs it: passes over texts that come, go and are written side by side."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import cast

from service.runtime.session import Array, padded_pass
from service.scheduling.job import Pass, Passes, Row, RunningPasses, WarmUps
from service.seq2seq.batch import DecodeBatch
from service.seq2seq.graphs import Seq2SeqGraphs, Sources
from service.seq2seq.options import GenerationOptions, SpecialTokens
from service.seq2seq.search import Search, new_search
from service.seq2seq.source_names import Pieces, SourceNameConstraint
from service.text.tokenizer import Encoding

ROWS_A_STEP = 16
"""Decoder rows (texts times beams) that share a step, each text counted as two at least, for its source's caches.

With more a row gets no cheaper, and every text takes longer: of 32 greedy clients 8 texts a step had 0.9, 0.9 and 0.7
times the p95 of 16.
"""
_LEAST_ROWS = 2
_TOKENS_A_ROW = 128  # of padding, that cost what a row more does
_TEXT_S = 50e-3  # of decoding a text, before any was
_LEARNING_RATE = 1 / 32


@dataclass(frozen=True, slots=True)
class GenerateInput:
    """A text to be written from its source. Its row's result is the token ids written; None if nobody waited."""

    encoding: Encoding
    options: GenerationOptions
    final: bool = True
    """Whether it is what the client reads, and not a step on the way."""
    source: str = ""
    """What is read, as text, for `names_from_source`."""


@dataclass(frozen=True, slots=True)
class EncodeInput:
    """A text to be read only. Its row's result is the encoder's last hidden states, [tokens, hidden]."""

    encoding: Encoding


class Seq2SeqModel:
    """Runs rows of Prompts and Readings: an encoder pass for those that are new, then steps until all have ended.

    Batches under way may be joined between any two passes. Rows with unlike numbers of beams take turns in one batch.
    """

    max_batch_rows = ROWS_A_STEP
    """Decoder rows of a batch under way."""

    def __init__(self, graphs: Seq2SeqGraphs, special: SpecialTokens, pieces: Pieces | None = None) -> None:
        """`pieces` of the vocabulary are needed for Prompts with `names_from_source` only."""
        self.graphs = graphs
        self._special = special
        self._pieces = pieces
        self.cost = graphs.encoder.cost
        self._text_s = _TEXT_S

    def warm_up(self) -> tuple[WarmUps, WarmUps]:
        """The encoder's; and what names need is made before anybody asks."""
        narrow, wide = self.graphs.encoder.warm_up()
        return narrow if self._pieces is None else [self._pieces.prepare, *narrow], wide

    def remaining_s(self, inputs: object) -> float:
        """What a row costs after its encoder pass, by what the last ones did."""
        return self._text_s if isinstance(inputs, GenerateInput) else 0.0

    def wrote(self, texts: int, seconds: float) -> None:
        """So many texts ended, and steps took so long since the last did."""
        for _ in range(texts):
            self._text_s += _LEARNING_RATE * (seconds / texts - self._text_s)

    def run(self, rows: list[Row], *, exclusive: bool) -> Passes:
        """The passes of these rows, the encoder's first."""
        return RunningBatch(self, rows, exclusive=exclusive)

    def begin(self, rows: list[Row], *, exclusive: bool) -> tuple[Pass, tuple[DecodeBatch, ...]]:
        """An encoder pass over new rows, which ends the Readings; the Prompts by their number of beams."""
        inputs = cast("list[GenerateInput | EncodeInput]", [row.inputs for row in rows])
        encodings = [each.encoding for each in inputs]
        sources = self.graphs.encoder.run(encodings, exclusive=exclusive)
        done = padded_pass(encodings)
        by_beams: dict[int, list[int]] = {}
        searches: dict[int, Search] = {}
        for index, each in enumerate(inputs):
            if isinstance(each, EncodeInput):
                done.finished.append((rows[index], _states(sources, index)))
            else:
                by_beams.setdefault(each.options.num_beams, []).append(index)
                searches[index] = self._search(each)
        texts = (
            DecodeBatch(
                self.graphs.steps(sources.part(chosen), beams),
                [(rows[index], searches[index]) for index in chosen],
                beams,
            )
            for beams, chosen in by_beams.items()
        )
        return done, tuple(texts)

    def _search(self, prompt: GenerateInput) -> Search:
        names = None
        if prompt.options.names_from_source:
            assert self._pieces is not None, "told how pieces are written"
            names = SourceNameConstraint(self._pieces, prompt.source)
        return new_search(prompt.options, self._special, names)


def _states(sources: Sources, index: int) -> Array:
    assert sources.states is not None, "tasks read with graphs that give their states"
    return sources.states[index, : sources.lengths[index]].copy()


class RunningBatch(RunningPasses):
    """A batch under way. Its size may be asked from any thread."""

    def __init__(self, decoder: Seq2SeqModel, rows: list[Row], *, exclusive: bool) -> None:
        self._decoder = decoder
        self._new = rows
        self._exclusive = exclusive
        self._texts: tuple[DecodeBatch, ...] = ()
        self._seconds = 0.0

    @property
    def size(self) -> int:
        """Decoder rows, as ROWS_A_STEP counts them."""
        beams = [row.inputs.options.num_beams for row in self._new if isinstance(row.inputs, GenerateInput)]
        for texts in self._texts:
            beams += [texts.beams] * len(texts)
        return sum(max(_LEAST_ROWS, each) for each in beams)

    def __next__(self) -> Pass:
        if self._new:
            done, self._texts = self._decoder.begin(self._new, exclusive=self._exclusive)
            self._new = []
            return done
        if not self._texts:
            raise StopIteration
        texts, *others = self._texts
        began_s = time.perf_counter()
        done = texts.step()
        self._seconds += time.perf_counter() - began_s
        # Those with other numbers of beams are next.
        self._texts = (*others, texts) if len(texts) else tuple(others)
        if done.finished:
            self._decoder.wrote(len(done.finished), self._seconds)
            self._seconds = 0.0
        return done

    def join_cost(self, other: RunningPasses) -> float:
        """Rows that a step has already, padding of sources counted as rows; infinite before the encoder's pass."""
        assert isinstance(other, RunningBatch)
        if self._new or other._new:
            return math.inf
        mine, theirs = self._source_tokens(), other._source_tokens()
        padding = max(0, theirs - mine) * self.size + max(0, mine - theirs) * other.size
        return self.size + padding / _TOKENS_A_ROW

    def _source_tokens(self) -> int:
        return max((texts.source_tokens for texts in self._texts), default=0)

    def merge(self, other: RunningPasses) -> None:
        assert isinstance(other, RunningBatch)
        for theirs in other._texts:
            if not any(mine.merge(theirs) for mine in self._texts):
                self._texts += (theirs,)
        other._texts = ()
