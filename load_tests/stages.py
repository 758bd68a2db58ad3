"""Where a request's processor time goes: the server in this process, its functions under a clock, wrk outside.

    python -m load_tests.stages [short|long|mixed|qa] [--clients 64] [--seconds 10]

Times are of the thread's own CPU clock, what a function calls under the clock left out; reading the clock costs about a
microsecond a call, which is in the figures.
"""

from __future__ import annotations

import argparse
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from load_tests.ceiling import MODELS
from load_tests.generator import Load, lines, run
from load_tests.server import wait_ready
from load_tests.texts import SETS, bodies
from service.app import create_app
from service.config import Settings
from service.engine.engine import Engine
from service.metrics import PassMetrics
from service.process import run_as_batch
from service.runtime import encoder
from service.runtime.session import Session
from service.scheduling.cost_model import CostModel
from service.scheduling.queue import Queue
from service.scheduling.scheduler import Scheduler
from service.scheduling.step import StepRunner
from service.tasks.classification import Classification
from service.tasks.question_answering import QuestionAnswering
from service.text.tokenizer import Tokenizer

PORT = 8124
RUN = "session.run"
# What is under the clock, and what it is called in the table.
_STAGES: list[tuple[Any, str, str]] = [
    (Session, "run_arrays", RUN),
    (encoder, "pad", "worker: padding"),
    (Queue, "take", "worker: choosing the batch"),
    (CostModel, "record", "worker: cost model"),
    (PassMetrics, "started", "worker: metrics"),
    (PassMetrics, "ran", "worker: metrics"),
    (Engine, "_deliver", "worker: waking the event loop"),
    (StepRunner, "complete", "worker: completing rows"),
    (Tokenizer, "encode", "loop: tokenizing"),
    (Tokenizer, "windows", "loop: tokenizing"),
    (Scheduler, "submit", "loop: queueing"),
    (Classification, "_result", "loop: labels and scores"),
    (QuestionAnswering, "_result", "loop: spans and scores"),
    (Engine, "_on_jobs_done", "loop: waking requests"),
]


class Clock:
    """CPU seconds by stage, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._stopped = False
        self._inner = threading.local()
        self._lock = threading.Lock()

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Put a function under the clock."""
        function = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            outer_s = getattr(self._inner, "seconds", 0.0)
            self._inner.seconds = 0.0
            began_s = time.thread_time()
            try:
                return function(*given, **named)
            finally:
                spent_s = time.thread_time() - began_s
                self._add(stage, spent_s - self._inner.seconds)
                self._inner.seconds = outer_s + spent_s

        setattr(owner, name, timed)

    def _add(self, stage: str, seconds: float) -> None:
        with self._lock:
            if self._stopped:
                return
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
            self.calls[stage] = self.calls.get(stage, 0) + 1

    def stop(self) -> None:
        """Count no more."""
        with self._lock:
            self._stopped = True

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self.seconds.clear()
            self.calls.clear()


def _loop_cpu_s() -> float:
    """CPU seconds of the event loop's thread."""
    return time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident or 0))


def _load(server: uvicorn.Server, name: str, clients: int, seconds: int, clock: Clock) -> tuple[Load, float, float]:
    """A warm load, then the load that counts; what the event loop's thread and all threads took for it."""
    wait_ready(f"http://127.0.0.1:{PORT}/health/ready")
    try:
        with lines(bodies(name)) as file:
            url, path = f"http://127.0.0.1:{PORT}", f"/v1/{SETS[name][0]}"
            run(url, path, file, clients=clients, seconds=3)
            clock.clear()
            loop_s, all_s = _loop_cpu_s(), time.process_time()
            load = run(url, path, file, clients=clients, seconds=seconds, first=clients)
            clock.stop()  # what wrk left unread is still worked at
            return load, _loop_cpu_s() - loop_s, time.process_time() - all_s
    finally:
        server.should_exit = True


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("set", nargs="?", choices=SETS, default="short")
    arguments.add_argument("--clients", type=int, default=64)
    arguments.add_argument("--seconds", type=int, default=10)
    given = arguments.parse_args()
    clock = Clock()
    for owner, name, stage in _STAGES:
        clock.wrap(owner, name, stage)
    run_as_batch()
    config = uvicorn.Config(
        create_app(Settings(models=MODELS[SETS[given.set][0]])),
        port=PORT,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_load, server, given.set, given.clients, given.seconds, clock)
        server.run()
        load, loop_s, all_s = loading.result()
    clock.seconds["loop: HTTP, parsing, validation, serialization"] = loop_s - sum(
        spent for stage, spent in clock.seconds.items() if stage.startswith("loop")
    )
    clock.seconds["worker: the rest"] = (
        all_s - loop_s - sum(spent for stage, spent in clock.seconds.items() if not stage.startswith("loop"))
    )
    busy = 100 * all_s / load.seconds
    print(f"{load.requests} requests, {load.per_s:.0f} a second, {clock.calls[RUN]} passes, CPU {busy:.0f} %")
    for stage in sorted(clock.seconds):
        print(f"{stage:48}{1e6 * clock.seconds[stage] / load.requests:8.1f} us a request")
    print(f"{'all but session.run':48}{1e6 * (all_s - clock.seconds[RUN]) / load.requests:8.1f} us a request")


if __name__ == "__main__":
    main()
