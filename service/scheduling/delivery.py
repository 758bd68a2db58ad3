"""A worker's completed jobs on their way to the event loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from service.scheduling.job import Job

log = logging.getLogger(__name__)

HOLD_S = 0.02
"""Completed jobs are held back for this long at most, and only while each worker has more work than this."""


class ResultBuffer:
    """Delivers jobs at once, unless so much work waits that more of them complete soon; then they go together.

    Waking the event loop after a pass is expensive, because a pass leaves nothing of it in a core's caches. Under load
    the jobs of consecutive passes are therefore delivered together, at most HOLD_S late.

    Owned by one thread, which calls `flush_if_due` before a pass and `flush` before it sleeps.
    """

    def __init__(self, deliver: Callable[[list[Job]], None]) -> None:
        self._deliver = deliver
        self._jobs: list[Job] = []
        self._first_s = math.inf

    def add(self, jobs: list[Job]) -> None:
        """Take jobs that are complete."""
        if not self._jobs:
            self._first_s = time.perf_counter()
        self._jobs += jobs

    def flush_if_due(self, pass_s: float, backlog_s: float) -> None:
        """Deliver before a pass of about `pass_s` seconds, unless holding the jobs until after it is worth it.

        `backlog_s` is the work that waits for each worker, in seconds.
        """
        if self._jobs and (backlog_s < HOLD_S or time.perf_counter() + pass_s > self._first_s + HOLD_S):
            self.flush()

    def flush(self) -> None:
        """Deliver all jobs in one call."""
        jobs, self._jobs = self._jobs, []
        if not jobs:
            return
        try:
            self._deliver(jobs)
        except Exception:  # the event loop has ended: no client waits for these jobs, and the other rows go on
            log.exception("%d finished jobs could not be delivered", len(jobs))
