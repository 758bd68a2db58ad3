"""Somebody's own model: export, quantize, evaluate, serve."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoConfig

from models.data.model_card import finish_artifact
from models.data.rows import read_rows
from models.evaluation.evaluate import quantize_scored
from models.graphs.export import export_model
from models.graphs.quantize import quantize_artifact
from service.tasks import task_for

# What a user's rows are scored by, and may lose, where no recipe says.
_MEASURES = {
    "text-classification": ("accuracy", "macro_f1"),
    "question-answering": ("f1",),
    "summarization": ("rouge1",),
}


def add_model(source: str, target: Path, *, data: Path | None, tolerance: float) -> Path:
    """Make the int8 artifact `target` of the transformers model in folder or Hub id `source`; return `target`.

    With `data` (rows in the fields of the recipes' data sets) int8 is scored against fp32 first. Raises ArtifactError
    for a head that no task serves, QuantizationLoss when int8 loses more than `tolerance` points, and then writes
    nothing; FileExistsError when the name is taken.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already; take another --name or remove it")
    task = task_for(AutoConfig.from_pretrained(source).to_dict(), source).name
    rows = list(read_rows(data)) if data is not None else []
    metrics: dict[str, Any] = {"score": {}, "data": "none"}
    with TemporaryDirectory() as scratch:
        fp32 = export_model(source, Path(scratch) / target.name, task)
        if data is not None and rows:
            metrics = quantize_scored(fp32, target, rows, _tolerances(task, rows, tolerance), name=data.name)
        else:
            quantize_artifact(fp32, target)
    finish_artifact(target, metrics, _card(target.name, source, task, metrics))
    return target


def _tolerances(task: str, rows: list[dict[str, Any]], points: float) -> dict[str, float]:
    names = _MEASURES[task]
    return {names[-1] if "labels" in rows[0] else names[0]: points}


def _card(name: str, source: str, task: str, metrics: dict[str, Any]) -> str:
    scores = "\n".join(f"- {key}: {value:.2f}" for key, value in metrics["score"].items()) or "- not measured"
    return f"# {name}\n\nMade from `{source}` ({task}) by `python -m models add`.\n\n## Scores, int8\n\n{scores}\n"
