"""What the server would make of a folder: it is loaded, asked, timed and weighed. Without torch."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from models.custom.source import NotAModel
from models.errors import Missing
from service.api.examples import EXAMPLES
from service.api.schemas import InferenceRequest, request_schema
from service.artifact import Artifact
from service.config import Settings
from service.engine.default_models import SHIPPED, default_of
from service.engine.engine import Inference
from service.engine.loaded_model import LoadedModel
from service.engine.registry import Registry
from service.errors import StartupError
from service.hub_cache import snapshot
from service.tasks import task_of

_PATIENCE_S = 3600.0
_SLOW_S, _REPEATS = 1.0, 5
_MOST_LABELS, _MOST_CHARS = 8, 200
_POLL_S = 0.02


def model_folder(folder: Path) -> Path:
    """The folder that the server would load: `folder`, or the one that is meant by it.

    That is the present snapshot of a model in the Hub's cache, and the folder around an onnx/ sub-folder. Raises
    Missing, and NotAModel for a folder of models, naming them.
    """
    if not folder.is_dir():
        raise Missing(f"there is no folder {folder}")
    if (folder / "config.json").is_file():
        return folder
    if (revision := snapshot(folder)) is not None:
        return revision
    if (folder.parent / "config.json").is_file() and any(folder.glob("*.onnx")):
        return folder.parent
    names = sorted(each.parent.name for each in folder.glob("*/config.json"))
    names += sorted(each.name for each in folder.glob("models--*"))
    if names:
        raise NotAModel(f"{folder} holds models, name one of them: {', '.join(names)}")
    return folder


def check_folder(folder: Path, settings: Settings) -> list[str]:
    """Lines that say what a server with these settings makes of a model's folder.

    Raises Missing, NotAModel, ArtifactError for what is not served, and ServiceError if the model fails when asked.
    """
    artifact = Artifact(model_folder(folder))
    before_bytes = _resident_bytes()
    patient = settings.model_copy(update={"request_timeout_s": _PATIENCE_S, "default_models": "", "cache_bytes": 0})
    registry = Registry(patient, [artifact])
    lines = [f"folder: {artifact.folder}"]
    for served in registry.models.values():
        lines += _facts(served, settings)
    lines += asyncio.run(_asked(registry))
    if before_bytes is not None:
        lines.append(
            # Less than before, where memory that was free already is used again.
            f"memory: {max(0, (_resident_bytes() or 0) - before_bytes) >> 20} MB, with all that was loaded and asked"
        )
    return lines


def _facts(served: LoadedModel, settings: Settings) -> Iterator[str]:
    artifact, task = served.artifact, served.task
    yield f"task: {task.name}, POST /v1/{task.route}"
    if task.labels:
        more = f" and {len(task.labels) - _MOST_LABELS} more" if len(task.labels) > _MOST_LABELS else ""
        yield f"labels: {', '.join(task.labels[:_MOST_LABELS])}{more}"
    elif "vocab_size" in artifact.config:
        yield f"vocabulary: {artifact.config['vocab_size']} tokens"
    aside = f"; not loaded beside it: {', '.join(artifact.left_aside)}" if artifact.left_aside else ""
    graphs = ", ".join(path.relative_to(artifact.folder).as_posix() for path in artifact.graphs)
    yield f"precision: {artifact.precision}, {artifact.size_bytes / 1e6:.1f} MB ({graphs}{aside})"
    yield f"max tokens: {artifact.max_tokens}"
    yield f"default: {_default(artifact, task.route, settings)}"


def _default(artifact: Artifact, route: str, settings: Settings) -> str:
    """Who answers a route's requests that name no model, if a server has this model beside those that it has now."""
    names = sorted({artifact.name, *_served_names(settings, route)})
    default = default_of(names, (), settings.default_names().get(route) or SHIPPED.get(route))
    if default == artifact.name:
        return f"this model answers /v1/{route} when none is named"
    return (
        f"{default} answers /v1/{route} when none is named; SHOAL_DEFAULT_MODELS={route}={artifact.name} changes that"
    )


def _served_names(settings: Settings, route: str) -> Iterator[str]:
    """Names of the models in the settings' folders that serve a route, as far as their config.json tells."""
    wanted = settings.model_names()
    for folder in settings.model_folders():
        for path in sorted(folder.glob("*/config.json")):
            with suppress(StartupError):
                if task_of(Artifact(path.parent)).route == route and (not wanted or path.parent.name in wanted):
                    yield path.parent.name


async def _asked(registry: Registry) -> list[str]:
    """The answer to a route's example, and what a short and a long input take, for each route that is served."""
    registry.start()
    try:
        while registry.warming_up():  # noqa: ASYNC110  workers tell nobody when they have measured the last shape
            await asyncio.sleep(_POLL_S)
        return [line for served in registry.models.values() for line in await _ask(registry, served)]
    finally:
        registry.close()


async def _ask(registry: Registry, served: LoadedModel) -> list[str]:
    route, limit = served.task.route, served.artifact.max_tokens
    body: Any = next(iter(EXAMPLES[route].values())).get("value")
    first, first_ms = await _timed(registry, served, body)
    repeats = limit // max(1, first.input_tokens)
    long_body = body | {"inputs": _longer(body["inputs"], repeats)}
    long, long_ms = await _timed(registry, served, long_body) if repeats > 1 else (first, first_ms)
    answer = orjson.dumps(first.results[0]).decode()
    times = f"{first_ms:.1f} ms for {first.input_tokens} tokens, {long_ms:.1f} ms for {long.input_tokens}"
    return [
        f"answer: {answer if len(answer) <= _MOST_CHARS else f'{answer[:_MOST_CHARS]}…'}",
        f"time: {times}, one request at a time on {registry.workers} cores",
    ]


async def _timed(registry: Registry, served: LoadedModel, example: object) -> tuple[Inference, float]:
    """The answer, and the median of a few requests in milliseconds, after one that finds its memory."""
    body: InferenceRequest = request_schema(type(served.task)).model_validate(example)
    times_s: list[float] = []
    while True:
        began_s = time.perf_counter()
        inference = await registry.infer(served.task.route, body.items, body.parameters, served.name)
        times_s.append(time.perf_counter() - began_s)
        if len(times_s) > _REPEATS or sum(times_s) > _SLOW_S:
            return inference, 1000 * median(times_s[1:] or times_s)


def _longer(inputs: Any, repeats: int) -> Any:
    """An example's inputs with their longest text written several times over, such as a question's context."""
    if isinstance(inputs, str):
        return " ".join([inputs] * repeats)
    if isinstance(inputs, list):
        return [_longer(inputs[0], repeats), *inputs[1:]]
    longest = max(inputs, key=lambda name: len(str(inputs[name])))
    return {**inputs, longest: _longer(inputs[longest], repeats)}


def _resident_bytes() -> int | None:
    """Memory of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
