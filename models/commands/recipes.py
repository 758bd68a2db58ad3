"""What makes a model of a recipe: training, export, quantization, scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from models.commands.options import (
    DATA,
    RUNS,
    ArtifactsFolder,
    DataFolder,
    RecipeName,
    RowLimit,
    RunsFolder,
)
from models.data.model_card import ARTIFACTS, finish_artifact, model_card
from models.data.recipe import Recipe, load_recipe
from models.data.rows import evaluation_rows, references_of, source_of
from models.errors import Missing
from service.artifact import Artifact


def export(recipe: RecipeName, *, runs: RunsFolder = RUNS) -> None:
    """Export the trained model to fp32 ONNX in runs/NAME/fp32."""
    plan = load_recipe(recipe)
    trained = runs / plan.name / plan.stages[-1].name / "final"
    if not (trained / "config.json").is_file():
        raise Missing(f"no trained model in {trained}: python -m models finetune {recipe} makes it")
    from models.graphs.export import export_model

    serving = {**plan.serving, "precision": "fp32"}
    print(f"exported: {export_model(str(trained), _fp32(plan, runs), plan.task, serving=serving)}")


def quantize(
    recipe: RecipeName,
    *,
    data: DataFolder = DATA,
    runs: RunsFolder = RUNS,
    limit: RowLimit = None,
    artifacts: ArtifactsFolder = ARTIFACTS,
) -> None:
    """Make the int8 artifact of a recipe, unless it loses more than the recipe allows."""
    plan = load_recipe(recipe)
    if not _fp32(plan, runs).is_dir():
        raise Missing(f"no exported model in {_fp32(plan, runs)}: python -m models export {recipe} makes it")
    from models.evaluation.evaluate import quantize_scored

    rows = evaluation_rows(plan, data, limit)
    target = artifacts / plan.name
    allowed = plan.evaluation.tolerance
    metrics = quantize_scored(_fp32(plan, runs), target, rows, allowed, name=plan.evaluation.home)
    finish_artifact(target, metrics, model_card(target, plan, metrics))
    print(f"artifact: {target}")


def evaluate(
    name: RecipeName,
    *,
    data: DataFolder = DATA,
    limit: RowLimit = None,
    artifacts: ArtifactsFolder = ARTIFACTS,
    write: Annotated[bool, Option("--write", help="write metrics.json, the card and SHA256SUMS anew")] = False,
) -> None:
    """Score a recipe's artifact as it is served, against the recipe's bars."""
    plan = load_recipe(name)
    rows = evaluation_rows(plan, data, limit)
    from models.evaluation.evaluate import evaluate as score

    folder = artifacts / plan.name
    scores, how = score(folder, rows)
    for measure, value in scores.items():
        bar = plan.evaluation.bars.get(measure)
        said = "" if bar is None else f"  (bar {bar:g}: {'reached' if value >= bar else 'MISSED'})"
        print(f"{measure}: {value:.2f}{said}")
    print(f"{how['rows']} rows in {how['seconds']} s")
    if write:
        metrics = {**Artifact(folder).metrics, "score": scores, **how}
        finish_artifact(folder, metrics, model_card(folder, plan, metrics))


def sentences(
    name: RecipeName,
    *,
    data: DataFolder = DATA,
    limit: RowLimit = None,
    artifacts: ArtifactsFolder = ARTIFACTS,
) -> None:
    """Make a summarizer's sentences.onnx, which chooses sentences, and score it. After `quantize`: it reads int8."""
    from models.evaluation.extraction_scores import score_extraction
    from models.training.sentence_scorer import finetune_sentences

    plan = load_recipe(name)
    folder = artifacts / plan.name
    finetune_sentences(folder, data)
    rows = [row for row in evaluation_rows(plan, data, limit) if "tldr" in row]
    scores = score_extraction(folder, [{"text": source_of(row), "summary": references_of(row)[0]} for row in rows])
    metrics = {**Artifact(folder).metrics, "extractive": scores}
    finish_artifact(folder, metrics, model_card(folder, plan, metrics))
    print(scores)


def domain(name: RecipeName, *, data: DataFolder = DATA, artifacts: ArtifactsFolder = ARTIFACTS) -> None:
    """Make a summarizer's domain.json, which says of which texts it writes, and score that on held-out ones."""
    from models.training.domain import finetune_domain, score_domain

    plan = load_recipe(name)
    folder = artifacts / plan.name
    finetune_domain(folder, data)
    scores = score_domain(folder, data)
    metrics = {**Artifact(folder).metrics, "written": scores}
    finish_artifact(folder, metrics, model_card(folder, plan, metrics))
    print(scores)


def _fp32(plan: Recipe, runs: Path) -> Path:
    return runs / plan.name / "fp32" / plan.name
