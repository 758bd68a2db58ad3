"""Whether a new request is accepted: by the room in its model's queue, and by how long the waiting work will take."""

from __future__ import annotations

import math

from service.errors import Overloaded
from service.scheduling.job import Row
from service.scheduling.model_batches import ModelBatches

# A smaller backlog is a pass or two, too little to learn from how long waits are.
_MIN_BACKLOG_S = 0.05
_LEARNING_RATE = 0.05
_MIN_SLOWNESS, _MAX_SLOWNESS = 0.5, 10.0


class Admission:
    """Estimates how long a row that arrives now would wait. Takes no lock, so what it reads may be a moment old."""

    def __init__(self, *, threads: int, max_wait_s: float = math.inf) -> None:
        """`threads` share the work. A request that would wait for longer than `max_wait_s` is refused."""
        self._threads = threads
        self._max_wait_s = max_wait_s
        self._models: list[ModelBatches] = []
        self._slowness = 1.0

    def add(self, model: ModelBatches) -> None:
        """Count this model's queue as work of the threads."""
        self._models.append(model)

    def backlog_s(self) -> float:
        """Seconds of work that wait for each thread, by the cost models."""
        backlog_s = 0.0
        for model in self._models:
            backlog_s += model.queue.backlog_s
        return backlog_s / self._threads

    def check(self, model: ModelBatches) -> float:
        """As `backlog_s`; raises Overloaded if not even a single short row would be accepted."""
        queue = model.queue
        if len(queue) >= queue.limit:
            raise Overloaded(f"Model {model.name!r} has {len(queue)} rows waiting, its limit. Try again in a moment.")
        backlog_s = self.backlog_s()
        wait_s = backlog_s * self._slowness
        if wait_s > self._max_wait_s:
            raise Overloaded(
                f"{wait_s:.1f} s of work are waiting and a request may take {self._max_wait_s:g} s. "
                "Try again in a moment."
            )
        return backlog_s

    def learn(self, row: Row, began_s: float) -> None:
        """Update how much longer waits are than the backlog says, now that a row's first pass begins.

        Passes that run side by side slow each other, and so does whatever else the machine does.
        """
        backlog_s = row.job.backlog_s
        if backlog_s > _MIN_BACKLOG_S:
            # Learn wait / backlog, not the prediction's own error: correcting by the error oscillated between admitting
            # everything and nothing.
            slowness = (began_s - row.arrived_s) / backlog_s
            slowness = min(max(slowness, _MIN_SLOWNESS), _MAX_SLOWNESS)
            self._slowness += _LEARNING_RATE * (slowness - self._slowness)
