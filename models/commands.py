"""What the workshop's commands do, one function each."""

from __future__ import annotations

from pathlib import Path

from models.artifact import ARTIFACTS, finish_artifact, model_card
from models.recipe import Recipe, load_recipe
from models.rows import Row, read_rows
from service.artifact import Artifact


def finetune(recipe: str, *, base: str | None, data: Path, runs: Path) -> None:
    """Train a recipe's stages; goes on from the last checkpoint."""
    from models.finetune.run import finetune_recipe

    print(f"trained: {finetune_recipe(load_recipe(recipe), base=base, data=data, runs=runs)}")


def export(recipe: str, *, runs: Path) -> None:
    """Export the trained model to fp32 ONNX in runs/NAME/fp32."""
    from models.export import export_model

    plan = load_recipe(recipe)
    trained = runs / plan.name / plan.stages[-1].name / "final"
    serving = {**plan.serving, "precision": "fp32"}
    print(f"exported: {export_model(str(trained), _fp32(plan, runs), plan.task, serving=serving)}")


def quantize(recipe: str, *, data: Path, runs: Path, limit: int | None) -> None:
    """Make the int8 artifact of a recipe, unless it loses more than the recipe allows."""
    from models.evaluate import quantize_scored

    plan = load_recipe(recipe)
    rows = evaluation_rows(plan, data, limit)
    target = ARTIFACTS / plan.name
    allowed = plan.evaluation.tolerance
    metrics = quantize_scored(_fp32(plan, runs), target, rows, allowed, name=plan.evaluation.home)
    finish_artifact(target, metrics, model_card(target, plan, metrics))
    print(f"artifact: {target}")


def evaluate(name: str, *, data: Path, limit: int | None, artifacts: Path, write: bool) -> None:
    """Score a recipe's artifact as it is served, against the recipe's bars."""
    from models.evaluate import evaluate as score

    plan = load_recipe(name)
    folder = artifacts / plan.name
    scores, how = score(folder, evaluation_rows(plan, data, limit))
    for measure, value in scores.items():
        bar = plan.evaluation.bars.get(measure)
        said = "" if bar is None else f"  (bar {bar:g}: {'reached' if value >= bar else 'MISSED'})"
        print(f"{measure}: {value:.2f}{said}")
    print(f"{how['rows']} rows in {how['seconds']} s")
    if write:
        metrics = {**Artifact(folder).metrics, "score": scores, **how}
        finish_artifact(folder, metrics, model_card(folder, plan, metrics))


def evaluation_rows(plan: Recipe, data: Path, limit: int | None) -> list[Row]:
    """The rows that a recipe is scored on, the first `limit` of them if that is given."""
    rows = [row for file in plan.evaluation.files for row in read_rows(data / file)]
    return rows[:limit]


def speed(folder: Path, *, repeats: int, longest: int) -> None:
    """Time an fp32 artifact beside stock dynamic int8 and ours, in tokens a second on one thread."""
    from models.quantize.speed import measure_speed, speed_table

    print(speed_table(measure_speed(folder, repeats=repeats, longest=longest)))


def add(source: str, *, name: str, data: Path | None, tolerance: float) -> None:
    """Export, quantize and (with rows to score on) evaluate somebody's model, and put it beside the others."""
    from models.add import add_model

    print(f"artifact: {add_model(source, ARTIFACTS / name, data=data, tolerance=tolerance)}")


def _fp32(plan: Recipe, runs: Path) -> Path:
    folder = runs / plan.name / "fp32" / plan.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder
