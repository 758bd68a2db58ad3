"""How many texts and tokens artifacts take a second on one thread, through the service's own code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from models.data.rows import Row
from models.evaluation.served import INPUTS
from service.artifact import Artifact
from service.config import Settings
from service.engine.registry import Registry
from service.tasks import task_of

_PATIENCE_S = 3600.0


@dataclass(frozen=True)
class Throughput:
    """Throughput on one thread when all rows are queued at once, so that the scheduler chooses the batches."""

    texts_per_s: float
    tokens_per_s: float
    """Read by an encoder; written by an encoder-decoder, the reading of its source included in the time."""


async def _round(registry: Registry, artifact: Artifact, rows: Sequence[Row]) -> Throughput:
    route, input_of, parameters = INPUTS[task_of(artifact).name]
    asked = [registry.infer(route, [input_of(row)], parameters, artifact.name) for row in rows]
    began_s = time.perf_counter()
    done = await asyncio.gather(*asked)
    seconds = time.perf_counter() - began_s
    tokens = sum(each.output_tokens or each.input_tokens for each in done)
    return Throughput(len(rows) / seconds, tokens / seconds)


async def _rounds(folder: Path, work: Mapping[Artifact, Sequence[Row]], rounds: int) -> list[list[Throughput]]:
    longest = max(map(len, work.values()))
    settings = Settings(
        models_dir=folder,
        workers=1,
        intra_op_threads=1,
        request_timeout_s=_PATIENCE_S,
        max_queue_size=64 * longest,
        cache_bytes=0,
    )
    registry = Registry(settings)
    registry.start()
    try:
        for artifact, rows in work.items():  # Not counted: the first pass of a shape also finds its memory.
            await _round(registry, artifact, rows)
        return [[await _round(registry, artifact, rows) for artifact, rows in work.items()] for _ in range(rounds)]
    finally:
        registry.close()


def measure_throughput(work: Mapping[Artifact, Sequence[Row]], *, rounds: int = 5) -> list[Throughput]:
    """Medians of rounds in which each artifact answers its rows, one after the other in the order of `work`.

    In turns, so that what else the machine does slows all alike. Identical rows of an artifact would be computed once,
    so there must be none; names of artifacts must differ too. Raises ArtifactError, KeyError for rows of another task.
    """
    with TemporaryDirectory() as folder:
        for artifact in work:
            (Path(folder) / artifact.name).symlink_to(artifact.folder.resolve(), target_is_directory=True)
        measured = asyncio.run(_rounds(Path(folder), work, rounds))
    return [
        Throughput(median(each.texts_per_s for each in mine), median(each.tokens_per_s for each in mine))
        for mine in zip(*measured, strict=True)
    ]
