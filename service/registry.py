"""The models that are served: loaded once, found by name or task, and asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from service.artifact import Artifact, find_artifacts
from service.config import Settings
from service.cpus import usable_cpus
from service.errors import InputTooLong, InvalidInput, ModelNotFound
from service.job import Job
from service.metrics import PassMetrics, watch_queues
from service.queue import Queue
from service.scheduler import Scheduler
from service.tasks.answering import Answering
from service.tasks.classification import Classification
from service.tasks.summarization import Summarization

log = logging.getLogger(__name__)

_TASKS = {
    "text-classification": Classification,
    "question-answering": Answering,
    "summarization": Summarization,
}
# A text being written is many passes: more of them share a batch than rows that are one pass each.
_SUMMARY_BATCH = 8
# Tokenizing this many characters takes a few milliseconds; more goes off the event loop, and so do their results.
_CHARS_ON_LOOP = 10_000


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded model."""

    artifact: Artifact
    task: Any
    metrics: PassMetrics


@dataclass(frozen=True, slots=True)
class Inference:
    """What a request is answered with."""

    model: str
    results: list[dict[str, Any]]
    input_tokens: int
    output_tokens: int


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if not job.waiter.done():
            job.waiter.set_result(None)


class Registry:
    """Loads every model under the settings' folder, and owns the scheduler that runs them."""

    def __init__(self, settings: Settings) -> None:
        """Raises ArtifactError if there is nothing to serve, or a folder cannot be served."""
        self.settings = settings
        self.threads = settings.threads or usable_cpus()
        self._scheduler = Scheduler(threads=self.threads, deliver=self._deliver)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unwatch: Callable[[], None] = lambda: None
        artifacts = find_artifacts(settings.models_dir, settings.model_names())
        with ThreadPoolExecutor(self.threads) as pool:
            self.models = {served.artifact.name: served for served in pool.map(self._load, artifacts)}
        for name, served in self.models.items():
            self._scheduler.add(name, served.task.run, self._queue(served), served.metrics)

    def _load(self, artifact: Artifact) -> Served:
        artifact.verify()
        task = _TASKS[artifact.task](artifact, batch_tokens=self.settings.batch_tokens)
        log.info(
            "loaded %s: %s, %s, %d MB", artifact.name, artifact.task, artifact.precision, artifact.size_bytes >> 20
        )
        return Served(artifact, task, PassMetrics(artifact.name))

    def _queue(self, served: Served) -> Queue:
        times = _SUMMARY_BATCH if served.artifact.task == "summarization" else 1
        return Queue(
            limit=self.settings.queue_rows,
            batch_tokens=self.settings.batch_tokens * times,
            slack_tokens=self.settings.batch_slack_tokens * times,
        )

    def start(self) -> None:
        """Start the workers; answers come to the event loop that this is called on."""
        self._loop = asyncio.get_running_loop()
        self._unwatch = watch_queues(self._scheduler.depths)
        self._scheduler.start()

    def close(self) -> None:
        """Stop the workers; whatever waits is answered with Unavailable. Blocks for a pass at most.

        A second call does nothing.
        """
        self._unwatch()
        self._unwatch = lambda: None
        self._scheduler.close()

    def healthy(self) -> bool:
        """Whether requests would be answered."""
        return self._scheduler.healthy(self.settings.stuck_after_s)

    def default(self, route: str) -> str | None:
        """The model that a route's requests get when they name none: the first by name."""
        return next((name for name, served in self.models.items() if served.task.route == route), None)

    def find(self, route: str, name: str | None) -> Served:
        """Raises ModelNotFound, saying which names would do."""
        fitting = {each: served for each, served in self.models.items() if served.task.route == route}
        chosen = self.default(route) if name is None else name
        if chosen in fitting:
            return fitting[chosen]
        what = f"Model {name!r} is for another task" if name in self.models else f"No model named {name!r}"
        if name is None:
            what = "No model for this is loaded"
        raise ModelNotFound(f"{what}; /v1/{route} is served by: {', '.join(fitting) or 'none'}.")

    async def infer(self, route: str, inputs: Sequence[Any], parameters: Any, model: str | None) -> Inference:
        """Run `inputs` and answer in their order. Raises InvalidInput, ModelNotFound, Overloaded, InferenceError."""
        assert self._loop is not None, "start() comes first"
        served = self.find(route, model)
        chars = self._checked_chars(inputs)
        if chars > _CHARS_ON_LOOP:
            prepared = await asyncio.to_thread(self._prepare, served, inputs, parameters)
        else:
            prepared = self._prepare(served, inputs, parameters)
        job = Job([row for _, rows in prepared for row in rows], self._loop.create_future())
        if len(job.rows) > self.settings.queue_rows:
            raise InputTooLong(
                f"This request makes {len(job.rows)} rows for the model and its queue holds "
                f"{self.settings.queue_rows}; send fewer or shorter inputs."
            )
        self._scheduler.submit(served.artifact.name, job)
        try:
            await job.waiter
        except asyncio.CancelledError:
            job.cancel()
            raise
        if chars > _CHARS_ON_LOOP:
            return await asyncio.to_thread(self._finish, served, prepared, job.results(), parameters)
        return self._finish(served, prepared, job.results(), parameters)

    def _checked_chars(self, inputs: Sequence[Any]) -> int:
        """Characters in all; raises InvalidInput for too many inputs, InputTooLong for a text over the limit."""
        if len(inputs) > self.settings.max_inputs:
            raise InvalidInput(
                f"{len(inputs)} inputs in one request; the limit is {self.settings.max_inputs}. Send several requests."
            )
        total = 0
        for item in inputs:
            for text in (item,) if isinstance(item, str) else (item.question, item.context):
                total += len(text)
                if len(text) > self.settings.max_input_chars:
                    raise InputTooLong(
                        f"A text of {len(text)} characters; the limit is {self.settings.max_input_chars}. "
                        "Send it in parts."
                    )
        return total

    def _prepare(self, served: Served, inputs: Sequence[Any], parameters: Any) -> list[tuple[Any, list[Any]]]:
        return [served.task.prepare(item, parameters) for item in inputs]

    def _finish(
        self, served: Served, prepared: list[tuple[Any, list[Any]]], outputs: list[Any], parameters: Any
    ) -> Inference:
        results: list[dict[str, Any]] = []
        read = written = first = 0
        for context, rows in prepared:
            own = outputs[first : first + len(rows)]
            first += len(rows)
            results.append(served.task.finish(context, own, parameters))
            tokens_in, tokens_out = served.task.usage(context, own)
            read += tokens_in
            written += tokens_out
        served.metrics.generated.inc(written)
        served.metrics.truncated.inc(sum(result["truncated"] for result in results))
        return Inference(served.artifact.name, results, read, written)

    def _deliver(self, jobs: list[Job]) -> None:
        """From a worker thread: one wake-up of the event loop for all jobs of a pass."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(_resolve, jobs)
