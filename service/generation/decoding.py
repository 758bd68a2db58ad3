"""A batch of texts written together: the passes that the scheduler takes turns over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from service.cost import CostSurface
from service.encoding import Encoding
from service.generation.options import GenerationOptions, SpecialTokens
from service.generation.search import Search, new_search
from service.generation.seq2seq import Caches, Seq2SeqGraphs
from service.job import Pass, Passes, Row, WarmUps
from service.model import Array, padded_pass, take_rows, tensor

# A text being written is many passes: more of them share a batch than rows that are one pass each.
_TEXTS_BATCH = 8
# Before any batch ran, of a small decoder: some forty steps, and what a source's token adds to them.
_BATCH_S, _SOURCE_TOKEN_S = 60e-3, 0.2e-3


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a row of a summarizer's queue holds."""

    encoding: Encoding
    options: GenerationOptions


class Decoder:
    """Runs rows of Prompts to their texts. Each row's result is the list of token ids written.

    Encoder passes come first, each within a token budget so that none holds a worker for long; then one decoder pass
    a step over all beams of all rows. A row leaves, its cache rows with it, when its text is done or nobody waits.
    """

    def __init__(self, graphs: Seq2SeqGraphs, special: SpecialTokens, *, max_tokens: int, batch_tokens: int) -> None:
        self._graphs = graphs
        self._special = special
        self._batch_tokens = batch_tokens
        # Of a whole batch, from encoder to last token. Learnt from batches that ran: their steps depend on the texts.
        self.cost = CostSurface(
            max_tokens=max_tokens, batch_tokens=batch_tokens * _TEXTS_BATCH, pass_s=_BATCH_S, token_s=_SOURCE_TOKEN_S
        )

    def warm_up(self) -> tuple[WarmUps, WarmUps]:
        """Nothing to measure before there are texts."""
        return [], []

    def run(self, rows: list[Row], *, alone: bool) -> Passes:
        """One pass a `next()`: encoder passes, then decoder steps until every row is finished."""
        del alone  # a decoder's step is too little work for more than one core
        tokens, left, seconds = max(row.tokens for row in rows), len(rows), 0.0
        passes = self._passes(rows)
        while left:
            began_s = time.perf_counter()
            done = next(passes)
            seconds += time.perf_counter() - began_s
            left -= len(done.finished)
            if not left:
                self.cost.observe(len(rows), tokens, seconds)
            yield done

    def _passes(self, rows: list[Row]) -> Passes:
        cross: list[Caches] = []
        masks: list[Array] = []
        width = max(row.tokens for row in rows)
        for part in self._parts(rows, width):
            caches, mask = self._graphs.encode([row.inputs.encoding for row in part])
            cross.append(caches)
            masks.append(mask)
            yield padded_pass([row.inputs.encoding for row in part])
        batch = _Texts(self._graphs, rows, self._special, _stack_caches(cross), _stack(masks, axis=1))
        del cross, masks
        while batch.searches:
            yield batch.step()

    def _parts(self, rows: list[Row], width: int) -> Iterator[list[Row]]:
        size = max(1, self._batch_tokens // width)
        return (rows[begin : begin + size] for begin in range(0, len(rows), size))


class _Texts:
    """Rows that are being written, beam by beam, with their caches."""

    def __init__(
        self, graphs: Seq2SeqGraphs, rows: list[Row], special: SpecialTokens, cross: Caches, mask: Array
    ) -> None:
        self._graphs = graphs
        self.searches: list[tuple[Row, Search]] = [(row, new_search(row.inputs.options, special)) for row in rows]
        self._cross = cross
        self._mask = mask
        self._past = graphs.empty_past(len(rows))

    def step(self) -> Pass:
        """One decoder pass; rows that end with it, or that nobody waits for, leave."""
        tokens = [beam[-1] for _, search in self.searches for beam in search.beams]
        logits, self._past = self._graphs.step(tokens, self._mask, self._cross, self._past)
        done = Pass([], len(tokens), len(tokens), len(tokens))
        kept: list[tuple[Row, Search]] = []
        sources: list[int] = []
        first = 0
        for row, search in self.searches:
            count = len(search.beams)
            search.advance(logits[first : first + count])
            if search.finished or row.job.cancelled:
                done.finished.append((row, search.written))
            else:
                kept.append((row, search))
                sources += [first + parent for parent in search.parents]
            first += count
        self.searches = kept
        if kept and sources != list(range(len(tokens))):
            self._reorder(np.array(sources), owners_change=len(sources) != len(tokens))
        return done

    def _reorder(self, sources: Array, *, owners_change: bool) -> None:
        """Let cache row i go on from row sources[i]; beams of one text share their source."""
        self._past = {name: take_rows(value, sources) for name, value in self._past.items()}
        if owners_change:
            self._cross = {name: take_rows(value, sources) for name, value in self._cross.items()}
            self._mask = self._mask[sources]


def _stack(arrays: list[Array], *, axis: int) -> Array:
    """Concatenate along rows, each padded with zeros along `axis` to the widest."""
    width = max(array.shape[axis] for array in arrays)
    padded = []
    for array in arrays:
        missing = [(0, 0)] * array.ndim
        missing[axis] = (0, width - array.shape[axis])
        padded.append(np.pad(array, missing))
    return np.concatenate(padded)


def _stack_caches(parts: list[Caches]) -> Caches:
    if len(parts) == 1:
        return parts[0]
    return {name: tensor(_stack([part[name].numpy() for part in parts], axis=2)) for name in parts[0]}
