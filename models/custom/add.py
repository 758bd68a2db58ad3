"""Somebody's own model: export, quantize, evaluate, serve."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoConfig

from models.custom.source import NotAModel
from models.data.model_card import finish_artifact
from models.data.rows_to_score import rows_to_score
from models.errors import NameTaken
from models.evaluation.evaluate import quantize_scored
from models.graphs.export import export_model
from models.graphs.quantize import quantize_artifact
from models.graphs.sentence_files import embeds
from service.tasks import task_for

# What a user's rows are scored by, and may lose, where no recipe says.
_MEASURES = {
    "text-classification": ("accuracy", "macro_f1"),
    "question-answering": ("f1",),
    "summarization": ("rouge1",),
}


def add_model(source: str, target: Path, *, data: Path | None, tolerance: float) -> Path:
    """Make the int8 artifact `target` of the transformers model in folder or Hub id `source`; return `target`.

    With `data` (`rows_to_score`) int8 is scored against fp32 first. Raises ArtifactError for a head that no task
    serves, NotAModel, WrongRows, NameTaken, and QuantizationLoss when int8 loses more than `tolerance` points; nothing
    is written then.
    """
    if target.exists():
        raise NameTaken(f"{target} is there already; take another --name or remove it")
    config = _config(source)
    task = task_for(config, source, embeds=embeds(source)).name
    rows = rows_to_score(data, task, config) if data is not None else []
    metrics: dict[str, Any] = {"score": {}, "data": "none"}
    with TemporaryDirectory() as scratch:
        fp32 = export_model(source, Path(scratch) / target.name, task)
        if data is not None:
            metrics = quantize_scored(fp32, target, rows, _tolerances(task, rows, tolerance), name=data.name)
        else:
            quantize_artifact(fp32, target)
    finish_artifact(target, metrics, _card(target.name, source, task, metrics))
    return target


def _config(source: str) -> dict[str, Any]:
    try:
        return dict(AutoConfig.from_pretrained(source).to_dict())
    except ValueError as error:  # no name on the Hub, or a config.json of no known model
        raise NotAModel(str(error).partition("\n")[0]) from error


def _tolerances(task: str, rows: list[dict[str, Any]], points: float) -> dict[str, float]:
    names = _MEASURES[task]
    return {names[-1] if "labels" in rows[0] else names[0]: points}


def _card(name: str, source: str, task: str, metrics: dict[str, Any]) -> str:
    scores = "\n".join(f"- {key}: {value:.2f}" for key, value in metrics["score"].items()) or "- not measured"
    return f"# {name}\n\nMade from `{source}` ({task}) by `python -m models add`.\n\n## Scores, int8\n\n{scores}\n"
