"""Encoders: passes on one core or on all, whichever costs less, and the model of the tasks that take one pass."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar, cast

from service.artifact import Artifact
from service.runtime.conformity import (
    TEXT_INPUTS,
    TRIAL_ROWS,
    TRIAL_TOKENS,
    check_names,
    check_shape,
    trial_encodings,
    tried,
)
from service.runtime.session import Array, Session, pad, padded_pass
from service.scheduling.cost_model import CostModel
from service.scheduling.job import Passes, Row, WarmUps
from service.text.tokenizer import Encoding

TOKENS = "tokens"
"""The name of the axis whose size is the length of the padded row."""
OutputAxes: TypeAlias = Mapping[str, tuple[int | str, ...]]
"""The outputs that a task needs of its graph, each with its axes after that of the rows.

A number is a size; TOKENS, which can be the first only, is the row's; any other name is of a size that the graph has.
"""
_REPEATS = 2  # the first pass of a shape also finds its memory
Outputs = TypeVar("Outputs")


class Encoder(Generic[Outputs]):
    """A graph that reads padded texts. `run` may be called from several threads at once.

    Passes run side by side on one core each, because together they answer more than one pass on all cores does. A batch
    that has the machine to itself may take all cores, where that is faster. That takes a second session, which keeps
    its own copy of the weights in memory.

    A single-thread pass is timed by its thread's CPU clock: losing the core for a moment is no property of a shape.
    """

    def __init__(
        self,
        path: Path,
        artifact: Artifact,
        run: Callable[[Session, list[Encoding]], Outputs],
        *,
        batch_tokens: int,
        intra_op_threads: int,
    ) -> None:
        """`run` makes a pass on the session that it is given.

        `intra_op_threads` of the multi-thread session: 0 takes all cores, 1 makes no such session. Raises ArtifactError
        if the graph cannot be loaded.
        """
        self._path = path
        self._run = run
        self._vocabulary = int(artifact.config.get("vocab_size") or 2)
        self._intra_op_threads = intra_op_threads
        self.single_thread = Session(path)
        self._multi_thread: Session | None = None
        self.cost = CostModel(max_tokens=artifact.max_tokens, batch_tokens=batch_tokens)
        self._multi_thread_cost = CostModel(max_tokens=artifact.max_tokens, batch_tokens=batch_tokens)

    def run(self, encodings: list[Encoding], *, exclusive: bool) -> Outputs:
        """One pass over all of them; `exclusive` if no other batch runs or waits, so that it may take all cores."""
        rows, width = len(encodings), max(map(len, encodings))
        graph, cost, clock = self.single_thread, self.cost, time.thread_time
        multi, multi_cost = self._multi_thread, self._multi_thread_cost
        if exclusive and multi and multi_cost.seconds(rows, width) < cost.seconds(rows, width):
            graph, cost, clock = multi, multi_cost, time.perf_counter
        began_s = clock()
        outputs = self._run(graph, encodings)
        cost.record(rows, width, clock() - began_s)
        return outputs

    def warm_up(self) -> tuple[WarmUps, WarmUps]:
        """Passes that measure the cost models: those on one core, and those on all."""
        shapes = self.cost.shapes()
        single_thread = [partial(self._measure, rows, tokens, multi_thread=False) for rows, tokens in shapes]
        if self._intra_op_threads == 1:
            return single_thread, []
        multi_thread = [partial(self._measure, rows, tokens, multi_thread=True) for rows, tokens in shapes]
        return single_thread, [self._load_multi_thread, *multi_thread]

    def _load_multi_thread(self) -> None:
        self._multi_thread = Session(self._path, threads=self._intra_op_threads)

    def _measure(self, rows: int, tokens: int, *, multi_thread: bool) -> None:
        graph: Session | None = self.single_thread
        cost, clock = self.cost, time.thread_time
        if multi_thread:
            graph, cost, clock = self._multi_thread, self._multi_thread_cost, time.perf_counter
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
    """An encoder with a head: every row takes one pass.

    Rows' inputs are Encodings. Their outputs are arrays by the graph's output names; see `output_arrays`.
    """

    max_batch_rows = math.inf

    def __init__(
        self,
        artifact: Artifact,
        *,
        outputs: OutputAxes | Sequence[OutputAxes],
        batch_tokens: int,
        intra_op_threads: int,
    ) -> None:
        """`outputs` may be several choices: the first that the graph gives is taken, else the last is wanted.

        Raises ArtifactError if the artifact has no encoder's graph, or one that does not give `outputs`.
        """
        pad_id = int(artifact.config.get("pad_token_id") or 0)

        def run(session: Session, encodings: list[Encoding]) -> dict[str, Array]:
            return session.run_arrays(pad(encodings, pad_id), self.outputs)

        self._encoder = Encoder(
            artifact.encoder_graph, artifact, run, batch_tokens=batch_tokens, intra_op_threads=intra_op_threads
        )
        self.cost = self._encoder.cost
        self.warm_up = self._encoder.warm_up
        given = self._encoder.single_thread.outputs
        choices = [outputs] if isinstance(outputs, Mapping) else outputs
        chosen = next((each for each in choices if set(each) <= set(given)), choices[-1])
        self.outputs = list(chosen)
        """Names of the outputs that rows have."""
        self._per_token = {name: axes[:1] == (TOKENS,) for name, axes in chosen.items()}
        self.sizes = self._check(artifact, chosen, pad_id)
        """Sizes of the outputs' named axes, such as "labels"."""

    def _check(self, artifact: Artifact, outputs: OutputAxes, pad_id: int) -> dict[str, int]:
        """Sizes of the named axes in a first pass; raises ArtifactError if it does not give `outputs`."""
        session, encodings = self._encoder.single_thread, trial_encodings(artifact)
        check_names(session, inputs=TEXT_INPUTS, outputs=list(outputs))
        arrays = tried(session, lambda: session.run_arrays(pad(encodings, pad_id)))
        sizes: dict[str, int] = {}
        for name, axes in outputs.items():
            shape = tuple(TRIAL_TOKENS if axis == TOKENS else axis for axis in axes)
            check_shape(session, name, arrays[name], (TRIAL_ROWS, *shape))
            named = zip(axes, arrays[name].shape[1:], strict=True)
            sizes |= {axis: size for axis, size in named if isinstance(axis, str) and axis != TOKENS}
        return sizes

    def remaining_s(self, inputs: object) -> float:
        """0: a row is done after its only pass."""
        del inputs
        return 0.0

    def run(self, rows: list[Row], *, exclusive: bool) -> Passes:
        """One pass; each row's output is the graph's outputs by name, without the batch axis and padding."""
        encodings = cast("list[Encoding]", [row.inputs for row in rows])
        done = padded_pass(encodings)
        arrays = self._encoder.run(encodings, exclusive=exclusive)
        outputs = [(name, arrays[name], per_token) for name, per_token in self._per_token.items()]
        for index, row in enumerate(rows):
            of_row = {name: array[index, : row.tokens if per_token else None] for name, array, per_token in outputs}
            done.finished.append((row, of_row))
        yield done


def output_arrays(output: object) -> dict[str, Array]:
    """A row's output of an EncoderModel: arrays by the graph's output names, such as logits [labels]."""
    assert isinstance(output, dict), "an EncoderModel made it"
    return output
