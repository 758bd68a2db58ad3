"""An encoder with a head, run narrow or wide by what each costs."""

from __future__ import annotations

import time
from array import array
from functools import partial

from service.artifact import Artifact
from service.cost import CostSurface
from service.encoding import Encoding
from service.job import Passes, Row, WarmUps
from service.model import Graph, pad, padded_pass

_REPEATS = 2  # the first pass of a shape also finds its memory


class EncoderModel:
    """One pass answers every row; rows' inputs are Encodings.

    Passes run side by side on one core each, because together they answer more than one pass on all cores does. A batch
    that has the machine to itself may take all cores, where that is faster: from a second session, whose copy of the
    weights that it computes with is what it costs.

    A narrow pass costs what its thread's CPU clock says: losing the core for a moment is no property of a shape.
    """

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        """`wide_threads` 1: never wide."""
        self._path = artifact.graphs[0]
        self._pad_id = int(artifact.config.get("pad_token_id") or 0)
        self._vocabulary = int(artifact.config.get("vocab_size") or 2)
        self._wide_threads = wide_threads
        self._narrow = Graph(self._path)
        self._wide: Graph | None = None
        self.cost = CostSurface(max_tokens=artifact.max_tokens, batch_tokens=batch_tokens)
        self._wide_cost = CostSurface(max_tokens=artifact.max_tokens, batch_tokens=batch_tokens)

    def run(self, rows: list[Row], *, alone: bool) -> Passes:
        """One pass; each row's result is its outputs by name: logits [labels], or [tokens] for spans, padding cut."""
        encodings = [row.inputs for row in rows]
        done = padded_pass(encodings)
        width = done.padded_tokens // done.rows
        graph, cost, clock = self._narrow, self.cost, time.thread_time
        if alone and self._wide and self._wide_cost.seconds(done.rows, width) < cost.seconds(done.rows, width):
            graph, cost, clock = self._wide, self._wide_cost, time.perf_counter
        began_s = clock()
        arrays = graph.run_arrays(pad(encodings, self._pad_id))
        spans = "start_logits" in arrays
        for index, row in enumerate(rows):
            size = row.tokens if spans else None
            done.finished.append((row, {name: array[index, :size] for name, array in arrays.items()}))
        cost.observe(done.rows, width, clock() - began_s)
        yield done

    def warm_up(self) -> tuple[WarmUps, WarmUps]:
        """Passes that measure the cost surface: those on one core, and those on all."""
        shapes = self.cost.shapes()
        narrow = [partial(self._measure, self.cost, rows, tokens, wide=False) for rows, tokens in shapes]
        if self._wide_threads == 1:
            return narrow, []
        alone = [partial(self._measure, self._wide_cost, rows, tokens, wide=True) for rows, tokens in shapes]
        return narrow, [self._load_wide, *alone]

    def _load_wide(self) -> None:
        self._wide = Graph(self._path, threads=self._wide_threads)

    def _measure(self, cost: CostSurface, rows: int, tokens: int, *, wide: bool) -> None:
        graph, clock = (self._wide, time.perf_counter) if wide else (self._narrow, time.thread_time)
        if graph is None:  # it could not be loaded, which is logged
            return
        ids = array("q", (number % self._vocabulary for number in range(tokens)))
        feeds = pad([Encoding(ids, array("q", [0]) * tokens)] * rows, self._pad_id)
        times = []
        for _ in range(_REPEATS):
            began_s = clock()
            graph.run_arrays(feeds)
            times.append(clock() - began_s)
        cost.measured(rows, tokens, min(times))
