"""Scores of a model, measured through `service.tasks`: what is measured is what is served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rouge_score.rouge_scorer import RougeScorer
from torch import tensor
from torchmetrics.functional.classification import multilabel_f1_score
from torchmetrics.functional.text import squad
from tqdm import tqdm

from models.quantize import quantize_artifact
from models.rows import Row
from service.artifact import Artifact
from service.config import Settings
from service.registry import Registry
from service.schemas import AnswerParameters, ClassifyParameters, Question, SummarizeParameters

Scores = dict[str, float]
_AT_ONCE = 64
_PATIENCE_S = 3600.0
_ROUGE = ("rouge1", "rouge2", "rougeL")


def _score_labels(artifact: Artifact, rows: list[Row], results: list[dict[str, Any]]) -> Scores:
    names = artifact.labels
    if artifact.multi_label:
        wanted = [[int(name in row["labels"]) for name in names] for row in rows]
        given = [[_score_of(result, name) for name in names] for result in results]
        return {"macro_f1": 100 * float(multilabel_f1_score(tensor(given), tensor(wanted), len(names)))}
    labels = [row["label"] if isinstance(row["label"], str) else names[row["label"]] for row in rows]
    right = sum(label == result["label"] for label, result in zip(labels, results, strict=True))
    return {"accuracy": 100 * right / len(rows)}


def _score_of(result: dict[str, Any], label: str) -> float:
    return next(float(each["score"]) for each in result["scores"] if each["label"] == label)


def _score_answers(_: Artifact, rows: list[Row], results: list[dict[str, Any]]) -> Scores:
    """SQuAD v1.1's exact match and F1, over the questions that have an answer."""
    pairs = [(row, result) for row, result in zip(rows, results, strict=True) if row["answers"]["text"]]
    given = [{"id": str(index), "prediction_text": result["answer"]} for index, (_, result) in enumerate(pairs)]
    wanted = [{"id": str(index), "answers": row["answers"]} for index, (row, _) in enumerate(pairs)]
    scores = squad(given, wanted)
    return {"f1": float(scores["f1"]), "exact_match": float(scores["exact_match"])}


def _score_summaries(_: Artifact, rows: list[Row], results: list[dict[str, Any]]) -> Scores:
    """ROUGE F-measures without stemming: the stricter of the two common settings."""
    scorer = RougeScorer(list(_ROUGE), use_stemmer=False)
    sums = dict.fromkeys(_ROUGE, 0.0)
    for row, result in zip(rows, results, strict=True):
        scores = scorer.score(row["tldr"], result["summary"])
        for name in _ROUGE:
            sums[name] += 100 * scores[name].fmeasure
    return {name: value / len(rows) for name, value in sums.items()}


_INPUTS: dict[str, tuple[str, Callable[[Row], Any], Any]] = {
    "text-classification": ("classify", lambda row: row["text"], ClassifyParameters()),
    "question-answering": (
        "answer",
        lambda row: Question.model_construct(question=row["question"], context=row["context"]),
        AnswerParameters(),
    ),
    "summarization": ("summarize", lambda row: row["abstract"], SummarizeParameters()),
}
_SCORERS = {
    "text-classification": _score_labels,
    "question-answering": _score_answers,
    "summarization": _score_summaries,
}


async def _results(artifact: Artifact, rows: list[Row]) -> list[dict[str, Any]]:
    """Results in the order of `rows`, a bounded number of requests in flight."""
    route, inputs_of, parameters = _INPUTS[artifact.task]
    registry = Registry(Settings(models_dir=artifact.folder.parent, models=artifact.name, deadline_s=_PATIENCE_S))
    registry.start()
    gate = asyncio.Semaphore(_AT_ONCE)
    bar = tqdm(total=len(rows), desc=f"evaluating {artifact.name}", unit="row", mininterval=1)

    async def one(row: Row) -> dict[str, Any]:
        async with gate:
            done = await registry.infer(route, [inputs_of(row)], parameters, artifact.name)
        bar.update()
        return done.results[0]

    try:
        return await asyncio.gather(*(one(row) for row in rows))
    finally:
        bar.close()
        registry.close()


def evaluate(folder: Path, rows: list[Row]) -> tuple[Scores, dict[str, Any]]:
    """Run `rows` through the folder's model as the server would; return its scores in points, and how they were made.

    Raises ArtifactError for a folder that cannot be served, KeyError for rows of another task.
    """
    artifact = Artifact(folder)
    began_s = time.perf_counter()
    results = asyncio.run(_results(artifact, rows))
    seconds = time.perf_counter() - began_s
    scores = {name: round(value, 2) for name, value in _SCORERS[artifact.task](artifact, rows, results).items()}
    return scores, {"rows": len(rows), "seconds": round(seconds, 1)}


def quantize_scored(
    fp32: Path, target: Path, rows: list[Row], tolerance: dict[str, float], *, name: str
) -> dict[str, Any]:
    """Make the int8 artifact `target` and return what metrics.json says of it; `name` is what `rows` are called.

    Raises QuantizationLoss, and leaves nothing, when int8 scores lower on `rows` than `tolerance` allows.
    """
    measured: list[tuple[Scores, dict[str, Any]]] = []

    def score(folder: Path) -> Scores:
        measured.append(evaluate(folder, rows))
        return measured[-1][0]

    quantize_artifact(fp32, target, score=score, tolerance=tolerance)
    (before, _), (after, how) = measured
    return {"score": after, "fp32": before, "data": name, **how}
