"""The models that are served: loaded once, found by name or task."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel

from service.artifact import Artifact, find_artifacts
from service.config import Settings
from service.engine.default_models import choose_defaults
from service.engine.engine import Engine, Inference
from service.engine.loaded_model import LoadedModel
from service.errors import ArtifactError, ModelNotFound
from service.metrics import PassMetrics, watch_queues
from service.process import cpus
from service.scheduling.queue import Queue, Urgency
from service.tasks import TASKS, task_of

log = logging.getLogger(__name__)


class Registry:
    """Loads every model under the settings' folders, and the engine that asks them."""

    def __init__(self, settings: Settings, artifacts: Sequence[Artifact] | None = None) -> None:
        """Raises StartupError if there is nothing to serve, or the settings name what is not there.

        `artifacts` are loaded instead of those that the settings name. A folder that cannot be served is left out, and
        said in the log; with `strict_models` it is an error too.
        """
        self.settings = settings
        self._cpus = cpus()
        self.workers = settings.workers or self._cpus.usable
        self.intra_op_threads = settings.intra_op_threads or self.workers
        self._engine = Engine(settings, threads=self.workers)
        self._scheduler = self._engine.scheduler
        self._unwatch: Callable[[], None] = lambda: None
        if artifacts is None:
            first, *more = settings.model_folders()
            artifacts = find_artifacts(first, settings.model_names(), more=tuple(more))
        self.models: dict[str, LoadedModel] = {}
        self.missing: dict[str, str] = {}
        """Why a folder could not be loaded, by its name."""
        with ThreadPoolExecutor(self.workers) as pool:
            for artifact, loaded in zip(artifacts, pool.map(self._load, artifacts), strict=True):
                if isinstance(loaded, LoadedModel):
                    self.models[artifact.name] = loaded
                else:
                    self.missing[artifact.name] = loaded
        self._refuse_missing({artifact.name: artifact.folder for artifact in artifacts})
        routes = {name: served.task.route for name, served in self.models.items()}
        tasks = [task.route for task in TASKS]
        self._defaults = choose_defaults(routes, self.missing, settings.default_names(), tasks)
        urgency = Urgency()
        for name, served in self.models.items():
            model = served.task.model
            queue = Queue(
                limit=settings.max_queue_size, cost=model.cost, urgency=urgency, remaining_s=model.remaining_s
            )
            self._scheduler.add(name, model.run, queue, served.metrics, max_batch_rows=model.max_batch_rows)
            self._scheduler.warm_up(*model.warm_up())

    def _load(self, artifact: Artifact) -> LoadedModel | str:
        """The model, or why it cannot be served."""
        try:
            artifact.verify()
            _ = artifact.score  # listed later, by a request that should not be the first to find it broken
            task_type = task_of(artifact)
            task = task_type(
                artifact, batch_tokens=self.settings.max_batch_tokens, intra_op_threads=self.intra_op_threads
            )
            size_mb = artifact.size_bytes >> 20
            log.info("loaded %s: %s, %s, %d MB", artifact.name, task.name, artifact.precision, size_mb)
            if artifact.left_aside:
                log.info("%s: %s not loaded beside these", artifact.name, ", ".join(artifact.left_aside))
            return LoadedModel(artifact, task, PassMetrics(artifact.name))
        except Exception as error:  # whatever a folder holds, the others are served
            log.debug("loading %s failed", artifact.name, exc_info=error)
            return _reason(error, artifact.folder)

    def _refuse_missing(self, folders: Mapping[str, Path]) -> None:
        """Log the folders that are left out; raises ArtifactError if none is left, or if none may be left out."""
        told = "; ".join(f"{name}: {why}" for name, why in self.missing.items())
        if self.missing and self.settings.strict_models:
            raise ArtifactError(f"{len(self.missing)} of the models cannot be served (SHOAL_STRICT_MODELS): {told}")
        if not self.models and len(folders) == 1:
            ((name, folder),) = folders.items()
            raise ArtifactError(f"{folder} cannot be served: {self.missing[name]}")
        if not self.models:
            places = " and ".join(sorted({str(folder.parent) for folder in folders.values()}))
            raise ArtifactError(f"{places}: none of the models can be served: {told}")
        for name, why in self.missing.items():
            log.warning("%s is left out: %s", folders[name], why)

    def thread_plan(self) -> str:
        """What runs on how many cores, for the log."""
        if self.intra_op_threads > 1:
            single = f"a single batch on {self.intra_op_threads} cores where that is faster"
        else:
            single = "a single batch on one core too"
        return f"{self._cpus}; {self.workers} forward passes side by side, {single}"

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

    def warming_up(self) -> bool:
        """Whether passes that measure the models' costs still wait; they run while nothing else does."""
        return self._scheduler.warming_up()

    def default(self, route: str) -> str | None:
        """The model that a route's requests get when they name none."""
        return self._defaults.get(route)

    def default_plan(self) -> str:
        """Which model answers what when none is named, for the log."""
        return ", ".join(f"/v1/{route} by {name}" for route, name in self._defaults.items())

    def find(self, route: str, name: str | None) -> LoadedModel:
        """Raises ModelNotFound, saying which names would do."""
        chosen = self.default(route) if name is None else name
        served = self.models.get(chosen) if chosen is not None else None
        if served is not None and served.task.route == route:
            return served
        fitting = ", ".join(each for each, served in self.models.items() if served.task.route == route)
        what = f"Model {name!r} is for another task" if name in self.models else f"No model named {name!r}"
        if name is None:
            what = "The default model could not be loaded" if fitting else "No model for this is loaded"
        elif name in self.missing:
            what = f"Model {name!r} could not be loaded: {self.missing[name]}"
        raise ModelNotFound(f"{what}; /v1/{route} is served by: {fitting or 'none'}.")

    async def infer(
        self,
        route: str,
        inputs: Sequence[object],
        parameters: BaseModel,
        model: str | None,
        *,
        arrived_s: float | None = None,
        per_item: bool = False,
    ) -> Inference:
        """As Engine.infer, of the model that a request names; raises ModelNotFound too."""
        loaded = self.find(route, model)
        return await self._engine.infer(loaded, inputs, parameters, arrived_s=arrived_s, per_item=per_item)

    def stream(
        self,
        route: str,
        inputs: Sequence[object],
        parameters: BaseModel,
        model: str | None,
        *,
        arrived_s: float | None = None,
    ) -> AsyncGenerator[str | Inference]:
        """As Engine.stream, of the model that a request names; raises ModelNotFound too."""
        return self._engine.stream(self.find(route, model), inputs, parameters, arrived_s=arrived_s)


def _reason(error: Exception, folder: Path) -> str:
    """Why a model's folder cannot be served, in one line that names files but not where they are."""
    if isinstance(error, OSError):
        text = f"{error.filename or folder}: it cannot be read ({error.strerror})"
    else:
        text = str(error) if isinstance(error, ArtifactError) else f"{type(error).__name__}: {error}"
    text = text.replace(f"{folder}: ", "").replace(f"{folder}/", "")
    # onnxruntime also names the files and folders that links lead to.
    files = {str(path.resolve()): path.name for path in (folder, *folder.rglob("*"))}
    for place in sorted(files, key=len, reverse=True):
        text = text.replace(place, files[place])
    places = {str(folder), str(folder.parent), *(str(Path(place).parent) for place in files)} - {"/", "."}
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(f"{place}/", "").replace(place, folder.name)
    return " ".join(text.split())
