"""The models that are served: loaded once, found by name or task."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.artifact import Artifact, find_artifacts
from service.config import Settings
from service.cpus import cpus
from service.engine import Engine, Inference
from service.errors import ModelNotFound
from service.metrics import PassMetrics, watch_queues
from service.queue import Queue, Urgency
from service.request import Served
from service.tasks.answering import Answering
from service.tasks.classification import Classification
from service.tasks.summarization import Summarization

log = logging.getLogger(__name__)

_TASKS = {
    "text-classification": Classification,
    "question-answering": Answering,
    "summarization": Summarization,
}


class Registry:
    """Loads every model under the settings' folders, and the engine that asks them."""

    def __init__(self, settings: Settings) -> None:
        """Raises ArtifactError if there is nothing to serve, or a folder cannot be served."""
        self.settings = settings
        self._cpus = cpus()
        self.threads = settings.threads or self._cpus.usable
        self.wide_threads = settings.wide_threads or self.threads
        self._engine = Engine(settings, threads=self.threads)
        self._scheduler = self._engine.scheduler
        self._unwatch: Callable[[], None] = lambda: None
        first, *more = settings.model_folders()
        artifacts = find_artifacts(first, settings.model_names(), more=tuple(more))
        with ThreadPoolExecutor(self.threads) as pool:
            self.models = {served.artifact.name: served for served in pool.map(self._load, artifacts)}
        urgency = Urgency()
        for name, served in self.models.items():
            model = served.task.model
            queue = Queue(limit=settings.queue_rows, cost=model.cost, urgency=urgency, rest_s=model.rest_s)
            self._scheduler.add(name, model.run, queue, served.metrics, most=model.most)
            self._scheduler.warm_up(*model.warm_up())

    def _load(self, artifact: Artifact) -> Served:
        artifact.verify()
        task = _TASKS[artifact.task](artifact, batch_tokens=self.settings.batch_tokens, wide_threads=self.wide_threads)
        log.info(
            "loaded %s: %s, %s, %d MB", artifact.name, artifact.task, artifact.precision, artifact.size_bytes >> 20
        )
        return Served(artifact, task, PassMetrics(artifact.name))

    def thread_plan(self) -> str:
        """What runs on how many cores, for the log."""
        wide = f"a lone one on up to {self.wide_threads}" if self.wide_threads > 1 else "none wider"
        return f"{self._cpus}: {self.threads} passes side by side on a core each, {wide}"

    def start(self) -> None:
        """Start the workers; answers come to the event loop that this is called on."""
        self._unwatch = watch_queues(self._scheduler.depths)
        self._engine.start()

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
        chosen = self.default(route) if name is None else name
        served = self.models.get(chosen) if chosen is not None else None
        if served is not None and served.task.route == route:
            return served
        fitting = ", ".join(each for each, served in self.models.items() if served.task.route == route)
        what = f"Model {name!r} is for another task" if name in self.models else f"No model named {name!r}"
        if name is None:
            what = "No model for this is loaded"
        raise ModelNotFound(f"{what}; /v1/{route} is served by: {fitting or 'none'}.")

    async def infer(self, route: str, inputs: Sequence[Any], parameters: Any, model: str | None) -> Inference:
        """As Engine.infer, of the model that a request names; raises ModelNotFound too."""
        return await self._engine.infer(self.find(route, model), inputs, parameters)

    def stream(
        self, route: str, inputs: Sequence[Any], parameters: Any, model: str | None
    ) -> AsyncGenerator[str | Inference]:
        """As Engine.stream, of the model that a request names; raises ModelNotFound too."""
        return self._engine.stream(self.find(route, model), inputs, parameters)
