"""Rows through `service.tasks`, as the server would run them: what is measured is what is served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from models.data.rows import Row, source_of
from service.artifact import Artifact
from service.config import Settings
from service.engine.registry import Registry
from service.tasks import task_of
from service.tasks.parameters import AnswerParameters, ClassifyParameters, Question, SummarizeParameters

_AT_ONCE = 64
_PATIENCE_S = 3600.0
INPUTS: dict[str, tuple[str, Callable[[Row], Any], Any]] = {
    "text-classification": ("classify", lambda row: row["text"], ClassifyParameters()),
    "question-answering": (
        "answer",
        lambda row: Question.model_construct(question=row["question"], context=row["context"]),
        # The best span stands in what a model says that may decline, with the score that it has without.
        AnswerParameters(handle_impossible_answer=True, top_k=2),
    ),
    "summarization": ("summarize", source_of, SummarizeParameters()),
}
"""By task: the route, what a row asks of it, and with which parameters."""


async def _results(artifact: Artifact, rows: list[Row]) -> list[dict[str, Any]]:
    route, inputs_of, parameters = INPUTS[task_of(artifact).name]
    registry = Registry(
        Settings(models_dir=artifact.folder.parent, models=artifact.name, request_timeout_s=_PATIENCE_S)
    )
    registry.start()
    gate = asyncio.Semaphore(_AT_ONCE)
    bar = tqdm(total=len(rows), desc=f"evaluating {artifact.name}", unit="row", mininterval=1)

    async def one(row: Row) -> dict[str, Any]:
        async with gate:
            done = await registry.infer(route, [inputs_of(row)], parameters, artifact.name)
        bar.update()
        return asdict(done.results[0])

    try:
        return await asyncio.gather(*(one(row) for row in rows))
    finally:
        bar.close()
        registry.close()


def served_results(artifact: Artifact, rows: list[Row]) -> list[dict[str, Any]]:
    """Results in the order of `rows`, a bounded number of requests in flight; what stands twice is run once.

    Raises ArtifactError for a folder that cannot be served, KeyError for rows of another task.
    """
    distinct = {_input_of(row): row for row in rows}  # SQuAD 2.0's questions with an answer are those of 1.1
    results = dict(zip(distinct, asyncio.run(_results(artifact, list(distinct.values()))), strict=True))
    return [results[_input_of(row)] for row in rows]


def _input_of(row: Row) -> tuple[object, ...]:
    return tuple(str(row.get(field)) for field in ("text", "question", "context", "abstract", "source"))


def scores_by_label(artifact: Artifact, results: list[dict[str, Any]]) -> list[list[float]]:
    """A classifier's scores, [rows, labels], in the order of the artifact's labels."""
    columns = {label: index for index, label in enumerate(artifact.label_names())}
    table = []
    for result in results:
        scores = [0.0] * len(columns)
        for each in result["scores"]:
            scores[columns[each["label"]]] = float(each["score"])
        table.append(scores)
    return table
