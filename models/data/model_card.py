"""What an artifact folder holds beside its graphs: metrics.json, the model card, SHA256SUMS."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from models.data.recipe import Recipe, load_recipe
from service.artifact import Artifact

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
_SUMS = "SHA256SUMS"


def finish_artifact(folder: Path, metrics: dict[str, Any], card: str) -> None:
    """Write metrics.json (its "score" is what GET /v1/models shows), README.md, and the sums of all files.

    The sums are in the form that `sha256sum --check` reads; the service compares them at load.
    """
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _SUMS
    ]
    (folder / _SUMS).write_text("".join(lines), encoding="utf-8")


def _data_lines(recipe: Recipe) -> str:
    seen = {}
    for stage in recipe.stages:
        for source in stage.sources:
            seen[source.home] = source.licence
    return "\n".join(f"- {home} — licence: {licence}" for home, licence in seen.items())


def _teacher_lines(recipe: Recipe) -> str:
    taught = {stage.teacher.recipe: None for stage in recipe.stages if stage.teacher is not None}
    return "".join(f"\n- Taught by: `{name}`, made from {load_recipe(name).base}" for name in taught if name)


def _not_remade(recipe: Recipe) -> str:
    return f"\n- Not remade by that: {' '.join(recipe.not_remade.split())}" if recipe.not_remade else ""


def _score_lines(metrics: dict[str, Any]) -> str:
    lines = ["| score | int8, as served | fp32 |", "| --- | --- | --- |"]
    fp32 = metrics.get("fp32", {})
    for name, value in metrics["score"].items():
        lines.append(f"| {name} | {value:.2f} | {fp32.get(name, float('nan')):.2f} |")
    return "\n".join(lines)


def model_card(folder: Path, recipe: Recipe, metrics: dict[str, Any], *, made_by: str | None = None) -> str:
    """A recipe's model card: what the model is, what it learnt from, how good it measures, what it is bad at.

    `made_by` is the command that made and scored it, for a model that has no recipe file.

    The recipe's `notes` are what only a person can say; everything else is read from the folder.
    """
    artifact = Artifact(folder)
    size = artifact.size_bytes / 1e6
    scored_by = made_by or f"python -m models evaluate {recipe.name}"
    route = {"text-classification": "classify", "question-answering": "answer"}.get(recipe.task, "summarize")
    return f"""# {recipe.name}

{recipe.description}

- Task: {recipe.task}; served on `/v1/{route}`
- Base: {recipe.base}{_teacher_lines(recipe)}
- Precision: {artifact.precision}; graphs of {size:.1f} MB; reads {artifact.max_tokens} tokens at a time
- Made by: `{made_by or f"python -m models finetune|export|quantize|evaluate {recipe.name}"}`{_not_remade(recipe)}

## Data

{_data_lines(recipe)}

The model is a derivative of this data and of its base (Apache-2.0); check that their terms fit your use.

## Scores

Measured through the service's own code on {metrics["data"]} ({metrics["rows"]:,} rows), by
`{scored_by}`:

{_score_lines(metrics)}

## Limits

{recipe.notes.strip()}
"""
