"""An encoder-decoder as the scheduler runs it: passes over texts that are written together, join and leave."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import cast

from service.runtime.session import Array, padded_pass
from service.scheduling.job import Pass, Passes, Row, RunningPasses, WarmUps
from service.seq2seq.batch import DecodeBatch
from service.seq2seq.graphs import EncoderOutput, Seq2SeqGraphs
from service.seq2seq.options import GenerationOptions, SpecialTokens
from service.seq2seq.search import Search, new_search
from service.seq2seq.source_names import SourceNameConstraint, TokenTexts
from service.text.tokenizer import Encoding

ROWS_A_STEP = 16
"""Decoder rows (texts times beams) that share a step. A text counts as at least two rows, for its source's caches.

With more rows none gets cheaper, and every text takes longer: for 32 greedy clients, the p95 with 8 texts a step was
0.9, 0.9 and 0.7 times that with 16.
"""
_MIN_ROWS = 2
_PADDING_TOKENS_A_ROW = 128  # source padding that costs as much as one more row
_TEXT_S = 50e-3  # the estimate for decoding a text, before any was decoded
_LEARNING_RATE = 1 / 32


@dataclass(frozen=True, slots=True)
class GenerateInput:
    """A text to be generated from its source. Its row's output is the generated token ids; None if it was cancelled."""

    encoding: Encoding
    options: GenerationOptions
    final: bool = True
    """Whether the text is the client's result, and not an intermediate one."""
    source: str = ""
    """The source as text, for `names_from_source`."""


@dataclass(frozen=True, slots=True)
class EncodeInput:
    """A text to be encoded only. Its row's output is the encoder's last hidden states, [tokens, hidden]."""

    encoding: Encoding


class Seq2SeqModel:
    """Runs rows of GenerateInputs and EncodeInputs: one encoder pass, then decoder steps until all texts have ended.

    Batches may merge between any two passes. Texts with different numbers of beams take turns within a batch.
    """

    max_batch_rows = ROWS_A_STEP
    """Decoder rows of a running batch."""

    def __init__(self, graphs: Seq2SeqGraphs, special: SpecialTokens, token_texts: TokenTexts | None = None) -> None:
        """`token_texts` of the vocabulary are needed only for texts with `names_from_source`."""
        self.graphs = graphs
        self._special = special
        self._token_texts = token_texts
        self.cost = graphs.encoder.cost
        self._text_s = _TEXT_S

    def warm_up(self) -> tuple[WarmUps, WarmUps]:
        """The encoder's warm-up passes, and before them the tables that `names_from_source` needs."""
        single_thread, multi_thread = self.graphs.encoder.warm_up()
        tables = [] if self._token_texts is None else [self._token_texts.prepare]
        return [*tables, *single_thread], multi_thread

    def remaining_s(self, inputs: object) -> float:
        """Seconds of decoding that a row costs after its encoder pass, as recent texts did."""
        return self._text_s if isinstance(inputs, GenerateInput) else 0.0

    def record_text_seconds(self, texts: int, seconds: float) -> None:
        """Learn the decoding time of a text: `texts` ended, and the steps since the last one did took `seconds`."""
        for _ in range(texts):
            self._text_s += _LEARNING_RATE * (seconds / texts - self._text_s)

    def run(self, rows: list[Row], *, exclusive: bool) -> Passes:
        """The passes of these rows: the encoder's, on all cores if `exclusive`, then the decoder's."""
        return RunningBatch(self, rows, exclusive=exclusive)

    def encode(self, rows: list[Row], *, exclusive: bool) -> tuple[Pass, tuple[DecodeBatch, ...]]:
        """Run the encoder pass. EncodeInputs finish with it; GenerateInputs are returned by number of beams."""
        inputs = cast("list[GenerateInput | EncodeInput]", [row.inputs for row in rows])
        encodings = [each.encoding for each in inputs]
        encoded = self.graphs.encoder.run(encodings, exclusive=exclusive)
        done = padded_pass(encodings)
        by_beams: dict[int, list[int]] = {}
        searches: dict[int, Search] = {}
        for index, each in enumerate(inputs):
            if isinstance(each, EncodeInput):
                done.finished.append((rows[index], _states(encoded, index)))
            else:
                by_beams.setdefault(each.options.num_beams, []).append(index)
                searches[index] = self._search(each)
        batches = (
            DecodeBatch(
                self.graphs.steps(encoded.select(chosen), beams),
                [(rows[index], searches[index]) for index in chosen],
                beams,
            )
            for beams, chosen in by_beams.items()
        )
        return done, tuple(batches)

    def _search(self, inputs: GenerateInput) -> Search:
        names = None
        if inputs.options.names_from_source:
            assert self._token_texts is not None, "names_from_source needs the token texts"
            names = SourceNameConstraint(self._token_texts, inputs.source)
        return new_search(inputs.options, self._special, names)


def _states(encoded: EncoderOutput, index: int) -> Array:
    assert encoded.states is not None, "EncodeInputs are only for graphs that give hidden states"
    return encoded.states[index, : encoded.lengths[index]].copy()


class RunningBatch(RunningPasses):
    """A batch of a Seq2SeqModel. `size` may be read from any thread; everything else belongs to one worker."""

    def __init__(self, model: Seq2SeqModel, rows: list[Row], *, exclusive: bool) -> None:
        self._model = model
        self._new_rows = rows
        """Rows before their encoder pass."""
        self._exclusive = exclusive
        self._decode_batches: tuple[DecodeBatch, ...] = ()
        """One for each number of beams; more where texts cannot share a pass. The first is next."""
        self._steps_s = 0.0
        """Seconds that steps took since a text last ended."""

    @property
    def size(self) -> int:
        """Decoder rows, as ROWS_A_STEP counts them."""
        beams = [row.inputs.options.num_beams for row in self._new_rows if isinstance(row.inputs, GenerateInput)]
        for batch in self._decode_batches:
            beams += [batch.beams] * len(batch)
        return sum(max(_MIN_ROWS, each) for each in beams)

    def __next__(self) -> Pass:
        if self._new_rows:
            done, self._decode_batches = self._model.encode(self._new_rows, exclusive=self._exclusive)
            self._new_rows = []
            return done
        if not self._decode_batches:
            raise StopIteration
        batch, *others = self._decode_batches
        began_s = time.perf_counter()
        done = batch.step()
        self._steps_s += time.perf_counter() - began_s
        # Texts with other numbers of beams are next.
        self._decode_batches = (*others, batch) if len(batch) else tuple(others)
        if done.finished:
            self._model.record_text_seconds(len(done.finished), self._steps_s)
            self._steps_s = 0.0
        return done

    def join_cost(self, other: RunningPasses) -> float:
        """Rows of this batch plus the source padding that merging causes, in rows; inf before the encoder pass."""
        assert isinstance(other, RunningBatch)
        if self._new_rows or other._new_rows:
            return math.inf
        own_tokens, other_tokens = self._max_source_tokens(), other._max_source_tokens()
        padding = max(0, other_tokens - own_tokens) * self.size + max(0, own_tokens - other_tokens) * other.size
        return self.size + padding / _PADDING_TOKENS_A_ROW

    def _max_source_tokens(self) -> int:
        return max((batch.max_source_tokens for batch in self._decode_batches), default=0)

    def merge(self, other: RunningPasses) -> None:
        assert isinstance(other, RunningBatch)
        for joining in other._decode_batches:
            if not any(batch.merge(joining) for batch in self._decode_batches):
                self._decode_batches += (joining,)
        other._decode_batches = ()
