"""Encoders: passes narrow or wide by what each costs, and the model of the tasks that need no more than one pass."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from service.artifact import Artifact
from service.conformity import TEXT_INPUTS, TRIAL_ROWS, TRIAL_TOKENS, check_names, check_shape, trial_encodings, tried
from service.cost import CostSurface
from service.encoding import Encoding
from service.job import Passes, Row, WarmUps
from service.model import Array, Graph, pad, padded_pass

# What a task needs of its graph: outputs [rows, size].
_OUTPUTS = {
    "text-classification": {"logits": "labels"},
    "question-answering": {"start_logits": "tokens", "end_logits": "tokens"},
}
_REPEATS = 2  # the first pass of a shape also finds its memory
Outputs = TypeVar("Outputs")


class Encoder(Generic[Outputs]):
    """A graph that reads padded texts.

    Passes run side by side on one core each, because together they answer more than one pass on all cores does. A batch
    that has the machine to itself may take all cores, where that is faster: from a second session, whose copy of the
    weights that it computes with is what it costs.

    A narrow pass costs what its thread's CPU clock says: losing the core for a moment is no property of a shape.
    """

    def __init__(
        self,
        path: Path,
        artifact: Artifact,
        run: Callable[[Graph, list[Encoding]], Outputs],
        *,
        batch_tokens: int,
        wide_threads: int,
    ) -> None:
        """`run` makes the pass, on whichever session it is given. `wide_threads` 1: never wide."""
        self._path = path
        self._run = run
        self._vocabulary = int(artifact.config.get("vocab_size") or 2)
        self._wide_threads = wide_threads
        self.narrow = Graph(path)
        self._wide: Graph | None = None
        self.cost = CostSurface(max_tokens=artifact.max_tokens, batch_tokens=batch_tokens)
        self._wide_cost = CostSurface(max_tokens=artifact.max_tokens, batch_tokens=batch_tokens)

    def run(self, encodings: list[Encoding], *, alone: bool) -> Outputs:
        """One pass over all of them; `alone` says that it has the machine to itself."""
        rows, width = len(encodings), max(map(len, encodings))
        graph, cost, clock = self.narrow, self.cost, time.thread_time
        if alone and self._wide and self._wide_cost.seconds(rows, width) < cost.seconds(rows, width):
            graph, cost, clock = self._wide, self._wide_cost, time.perf_counter
        began_s = clock()
        outputs = self._run(graph, encodings)
        cost.observe(rows, width, clock() - began_s)
        return outputs

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
        graph, clock = (self._wide, time.perf_counter) if wide else (self.narrow, time.thread_time)
        if graph is None:  # it could not be loaded, which is logged
            return
        ids = array("q", (number % self._vocabulary for number in range(tokens)))
        encodings = [Encoding(ids, array("q", [0]) * tokens)] * rows
        times = []
        for _ in range(_REPEATS):
            began_s = clock()
            self._run(graph, encodings)
            times.append(clock() - began_s)
        cost.measured(rows, tokens, min(times))


class EncoderModel:
    """An encoder with a head: one pass answers every row; rows' inputs are Encodings."""

    most = math.inf
    """Rows of a batch under way: it is through after its pass."""

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        """Raises ArtifactError if the graph does not give what the artifact's task needs of it."""
        pad_id = int(artifact.config.get("pad_token_id") or 0)

        def run(graph: Graph, encodings: list[Encoding]) -> dict[str, Array]:
            return graph.run_arrays(pad(encodings, pad_id))

        self._encoder = Encoder(artifact.graphs[0], artifact, run, batch_tokens=batch_tokens, wide_threads=wide_threads)
        self.cost = self._encoder.cost
        self.warm_up = self._encoder.warm_up
        self.labels = self._check(artifact, pad_id)
        """How many labels the logits are for; 0 where they are for spans."""

    def _check(self, artifact: Artifact, pad_id: int) -> int:
        graph, encodings = self._encoder.narrow, trial_encodings(artifact)
        wanted = _OUTPUTS[artifact.task]
        check_names(graph, inputs=TEXT_INPUTS, outputs=list(wanted))
        outputs = tried(graph, lambda: graph.run_arrays(pad(encodings, pad_id)))
        for name, size in wanted.items():
            check_shape(graph, name, outputs[name], (TRIAL_ROWS, TRIAL_TOKENS if size == "tokens" else size))
        return int(outputs["logits"].shape[1]) if "logits" in wanted else 0

    def rest_s(self, inputs: Encoding) -> float:
        """What a row costs after its pass."""
        del inputs
        return 0.0

    def run(self, rows: list[Row], *, alone: bool) -> Passes:
        """One pass; each row's result is its outputs by name: logits [labels], or [tokens] for spans, padding cut."""
        encodings = [row.inputs for row in rows]
        done = padded_pass(encodings)
        arrays = self._encoder.run(encodings, alone=alone)
        spans = "start_logits" in arrays
        for index, row in enumerate(rows):
            size = row.tokens if spans else None
            done.finished.append((row, {name: values[index, :size] for name, values in arrays.items()}))
        yield done
