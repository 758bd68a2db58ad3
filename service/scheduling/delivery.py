"""A worker's completed jobs on their way to the event loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from service.scheduling.job import Job

log = logging.getLogger(__name__)

HOLD_S = 0.02
"""Answers are kept back for this long at most, and only while workers have more than this to do."""


class ResultBuffer:
    """Sends at once, unless so much waits that its worker has other answers soon: then they go together.

    A pass leaves nothing of the event loop in a core's caches, so that what it does first after one takes many times as
    long as what it does next. Where much waits, an answer's client is one of many, and no worker is short of work
    without the request that it would send now.

    Owned by one thread; whoever puts something in sends it, by `before_pass` or `send`, before it sleeps.
    """

    def __init__(self, deliver: Callable[[list[Job]], None]) -> None:
        self._deliver = deliver
        self._jobs: list[Job] = []
        self._first_s = math.inf

    def put(self, jobs: list[Job]) -> None:
        """Take jobs that are complete."""
        if not self._jobs:
            self._first_s = time.perf_counter()
        self._jobs += jobs

    def flush_if_due(self, pass_s: float, backlog_s: float) -> None:
        """A pass of about `pass_s` is next, and so much work waits for each worker: send, or keep until after it."""
        if self._jobs and (backlog_s < HOLD_S or time.perf_counter() + pass_s > self._first_s + HOLD_S):
            self.send()

    def send(self) -> None:
        """All there is, in one call."""
        jobs, self._jobs = self._jobs, []
        if not jobs:
            return
        try:
            self._deliver(jobs)
        except Exception:  # the event loop is gone: nobody is left to tell, and the other rows go on
            log.exception("%d finished jobs could not be delivered", len(jobs))
