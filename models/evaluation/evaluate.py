"""Scores of a model, measured through `service.tasks`: what is measured is what is served."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import tensor
from torchmetrics.functional.classification import multilabel_f1_score

from models.data.rows import Row
from models.evaluation.answer_scores import answered_questions, squad_scores
from models.evaluation.served import served_results
from models.evaluation.summary_scores import summary_scores
from models.graphs.quantize import quantize_artifact
from service.artifact import Artifact
from service.tasks import task_of

Scores = dict[str, float]


def _score_labels(artifact: Artifact, rows: list[Row], results: list[dict[str, Any]]) -> Scores:
    names = artifact.label_names()
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
    return squad_scores(answered_questions(rows, results))


def _score_summaries(_: Artifact, rows: list[Row], results: list[dict[str, Any]]) -> Scores:
    return summary_scores(rows, results)


_SCORERS = {
    "text-classification": _score_labels,
    "question-answering": _score_answers,
    "summarization": _score_summaries,
}


def evaluate(folder: Path, rows: list[Row]) -> tuple[Scores, dict[str, Any]]:
    """Run `rows` through the folder's model as the server would; return its scores in points, and how they were made.

    Raises ArtifactError for a folder that cannot be served, KeyError for rows of another task.
    """
    artifact = Artifact(folder)
    began_s = time.perf_counter()
    results = served_results(artifact, rows)
    seconds = time.perf_counter() - began_s
    scores = {
        name: round(value, 2) for name, value in _SCORERS[task_of(artifact).name](artifact, rows, results).items()
    }
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
