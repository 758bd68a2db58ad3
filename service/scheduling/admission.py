"""Whether more work is taken on: by the room in a queue, and by how long what waits will take."""

from __future__ import annotations

import math

from service.errors import Overloaded
from service.scheduling.job import Row
from service.scheduling.model_batches import ModelBatches

# Less says nothing of how long such waits are: it is a pass or two.
_TELLING_BACKLOG_S = 0.05
_LEARNING_RATE = 0.05
_LEAST_SLOWNESS, _MOST_SLOWNESS = 0.5, 10.0


class Admission:
    """Knows how long a row that came now would wait. Takes no lock: what it reads may be a moment old."""

    def __init__(self, *, threads: int, max_wait_s: float = math.inf) -> None:
        """`threads` share the work; what would wait for longer than `longest_wait_s` is refused."""
        self._threads = threads
        self._max_wait_s = max_wait_s
        self._lines: list[ModelBatches] = []
        self._slowness = 1.0

    def add(self, line: ModelBatches) -> None:
        """One more that the threads work off."""
        self._lines.append(line)

    def backlog_s(self) -> float:
        """What the threads have yet to do, by what is known of its costs."""
        backlog_s = 0.0
        for line in self._lines:
            backlog_s += line.queue.backlog_s
        return backlog_s / self._threads

    def check(self, line: ModelBatches) -> float:
        """As `backlog_s`; raises Overloaded if not even a single short row would be taken."""
        queue = line.queue
        if len(queue) >= queue.limit:
            raise Overloaded(f"Model {line.name!r} has {len(queue)} rows waiting, its limit. Try again in a moment.")
        backlog_s = self.backlog_s()
        wait_s = backlog_s * self._slowness
        if wait_s > self._max_wait_s:
            raise Overloaded(
                f"{wait_s:.1f} s of work are waiting and a request may take {self._max_wait_s:g} s. "
                "Try again in a moment."
            )
        return backlog_s

    def learn(self, row: Row, began_s: float) -> None:
        """A row's first pass began.

        Passes on all cores at once, and whatever else the machine does, make waits longer than the backlog says.
        """
        backlog_s = row.job.backlog_s
        if backlog_s > _TELLING_BACKLOG_S:
            # What is measured must not depend on what is believed: a row was let in long ago, and belief that goes by
            # how wrong itself was then swings between taking all and none.
            slowness = (began_s - row.arrived_s) / backlog_s
            slowness = min(max(slowness, _LEAST_SLOWNESS), _MOST_SLOWNESS)
            self._slowness += _LEARNING_RATE * (slowness - self._slowness)
