"""A system under test: its processes, and the plain queue before them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path

from load_tests.compare.contender import ROOT
from load_tests.compare.environment import python
from load_tests.generation.inputs import Request
from load_tests.generation.systems import Crew, Setup, System

_START_S = 120
# Threads of one pass may spin between its products; a fifth of a second after the last one they sleep: an engine that
# waits for its turn takes nothing from the others.
_SPIN_MS = 200
_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True)
class Answer:
    """What was written, and when."""

    tokens: int
    text: str
    begun_s: float
    """When the engine got it from the queue."""
    ended_s: float


@dataclass(eq=False)
class _Asked:
    request: Request
    answer: asyncio.Future[Answer]
    asked_s: float


@dataclass(eq=False)
class _Worker:
    process: asyncio.subprocess.Process
    free: int
    under_way: dict[int, tuple[float, list[_Asked]]] = field(default_factory=dict)


class Engine:
    """Started once, asked many times, in any set-up of its crew."""

    def __init__(self, system: System, crew: Crew, folder: Path) -> None:
        """`folder` holds the weights, and gets the processes' logs."""
        self.system = system
        self.crew = crew
        self._folder = folder
        self._setup = Setup(crew)
        self._waiting: deque[_Asked] = deque()
        self._workers: list[_Worker] = []
        self._readers: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._batches = 0

    async def start(self) -> None:
        """Raises RuntimeError if a process does not come up; its log says why."""
        for _ in range(self.crew.processes):
            self._workers.append(_Worker(await self._process(), self.crew.slots))
        for worker in self._workers:
            assert worker.process.stdout is not None
            with suppress(TimeoutError):
                if await asyncio.wait_for(worker.process.stdout.readline(), _START_S) == b"ready\n":
                    self._readers.append(asyncio.create_task(self._read(worker)))
                    continue
            raise RuntimeError(f"{self.system.title} does not start: see {self._log()}")

    def _log(self) -> Path:
        return self._folder / f"{self.system.name}.log"

    async def _process(self) -> asyncio.subprocess.Process:
        options = {
            **self.system.options,
            "folder": str(self._folder),
            "slots": self.crew.slots,
            "threads": self.crew.threads,
        }
        with self._log().open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(str(python(self.system.environment)), "-m", f"load_tests.generation.workers.{self.system.module}"),
                json.dumps(options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={
                    **os.environ,
                    **_ENVIRONMENT,
                    "OMP_NUM_THREADS": str(self.crew.threads),
                    "KMP_BLOCKTIME": str(_SPIN_MS),
                },
                limit=2**20,
            )

    def set_up(self, setup: Setup) -> None:
        """How the queue is served from now on; nobody may be waiting."""
        self._setup = setup

    async def ask(self, request: Request) -> Answer:
        """Raises CancelledError if it is dropped, RuntimeError if the engine ends or writes another length."""
        asked = _Asked(request, asyncio.get_running_loop().create_future(), time.perf_counter())
        self._waiting.append(asked)
        self._dispatch()
        answer = await asked.answer
        if request.tokens not in (0, answer.tokens):
            raise RuntimeError(f"{self.system.title} wrote {answer.tokens} tokens, not {request.tokens}")
        return answer

    def drop(self) -> None:
        """Forget whom no process has got yet."""
        while self._waiting:
            self._waiting.popleft().answer.cancel()

    def _dispatch(self) -> None:
        """Give what waits to whoever is free."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        free = [worker for worker in self._workers if worker.free]
        while free and self._waiting:
            left_s = self._waiting[0].asked_s + self._setup.delay_ms / 1000 - time.perf_counter()
            if len(self._waiting) < self._setup.batch and left_s > 0:
                self._timer = asyncio.get_running_loop().call_later(left_s, self._dispatch)
                return
            batch = [self._waiting.popleft() for _ in range(min(self._setup.batch, len(self._waiting)))]
            self._send(free[0], batch)
            free = [worker for worker in free if worker.free]

    def _send(self, worker: _Worker, batch: list[_Asked]) -> None:
        worker.free -= 1
        self._batches += 1
        worker.under_way[self._batches] = time.perf_counter(), batch
        assert worker.process.stdin is not None
        line = json.dumps([self._batches, [astuple(asked.request) for asked in batch]])
        worker.process.stdin.write(line.encode() + b"\n")

    async def _read(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        while line := await worker.process.stdout.readline():
            number, answers = json.loads(line)
            begun_s, batch = worker.under_way.pop(number)
            worker.free += 1
            ended_s = time.perf_counter()
            for asked, (tokens, text) in zip(batch, answers, strict=True):
                if not asked.answer.done():
                    asked.answer.set_result(Answer(tokens, text, begun_s, ended_s))
            self._dispatch()
        ended = RuntimeError(f"{self.system.title} ended: see {self._log()}")
        for asked in [*self._waiting, *(each for _, batch in worker.under_way.values() for each in batch)]:
            if not asked.answer.done():
                asked.answer.set_exception(ended)

    async def stop(self) -> None:
        """End its processes."""
        for reader in self._readers:
            reader.cancel()
        for worker in self._workers:
            with suppress(ProcessLookupError):
                worker.process.kill()
            await worker.process.wait()
