"""What the workshop's commands do, one function each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.artifact import finish_artifact, model_card, own_target
from models.distil.options import Lesson
from models.distil.options import Options as Smaller
from models.errors import Missing
from models.own.options import OWN_BASE, Options
from models.own.plan import read_split
from models.recipe import Recipe, load_recipe
from models.rows import Row, read_rows, references_of, source_of
from models.rows_to_score import rows_to_score
from models.source import check_source
from service.artifact import Artifact, task_of


def finetune(
    recipe: str | None, *, base: str | None, data: Path, runs: Path, task: str | None = None, **own: Any
) -> None:
    """Train a recipe's stages, or with --task a classifier of your own on a file of texts and labels, which is then
    exported, quantized and scored as well. Goes on from the last checkpoint.
    """
    if recipe is None or task is not None:
        finetune_own(Options(data=data, base=base or OWN_BASE, **own), runs=runs)
        return
    plan = load_recipe(recipe)
    from models.finetune.run import finetune_recipe

    print(f"trained: {finetune_recipe(plan, base=base, data=data, runs=runs)}")


def finetune_own(own: Options, *, runs: Path) -> None:
    """Make somebody's own classifier and put it where it is served, or with no name to serve it as beside its run."""
    target = runs / own.name / "int8" / own.name if own.serve_as is None else own_target(own.serve_as)
    check_source(own.base)
    split = read_split(own)
    from models.own.run import make_classifier

    made = make_classifier(own, runs=runs, target=target, split=split)
    print(f"artifact: {made}" + ("" if own.serve_as is None else f"; a server started from now on has {own.name!r}"))


def export(recipe: str, *, runs: Path) -> None:
    """Export the trained model to fp32 ONNX in runs/NAME/fp32."""
    plan = load_recipe(recipe)
    trained = runs / plan.name / plan.stages[-1].name / "final"
    if not (trained / "config.json").is_file():
        raise Missing(f"no trained model in {trained}: python -m models finetune {recipe} makes it")
    from models.export import export_model

    serving = {**plan.serving, "precision": "fp32"}
    print(f"exported: {export_model(str(trained), _fp32(plan, runs), plan.task, serving=serving)}")


def quantize(recipe: str, *, data: Path, runs: Path, limit: int | None, artifacts: Path) -> None:
    """Make the int8 artifact of a recipe, unless it loses more than the recipe allows."""
    plan = load_recipe(recipe)
    if not _fp32(plan, runs).is_dir():
        raise Missing(f"no exported model in {_fp32(plan, runs)}: python -m models export {recipe} makes it")
    from models.evaluate import quantize_scored

    rows = evaluation_rows(plan, data, limit)
    target = artifacts / plan.name
    allowed = plan.evaluation.tolerance
    metrics = quantize_scored(_fp32(plan, runs), target, rows, allowed, name=plan.evaluation.home)
    finish_artifact(target, metrics, model_card(target, plan, metrics))
    print(f"artifact: {target}")


def evaluate(name: str, *, data: Path, limit: int | None, artifacts: Path, write: bool) -> None:
    """Score a recipe's artifact as it is served, against the recipe's bars."""
    plan = load_recipe(name)
    rows = evaluation_rows(plan, data, limit)
    from models.evaluate import evaluate as score

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


def probe(name: str, *, data: Path, limit: int | None, artifacts: Path, errors: int) -> None:
    """Say what a score does not. Of two labels: spelling, calibration, bias, and the worst errors; of an answering
    model: calibration, how often it declines, and errors."""
    from models.answer_probe import answer_report
    from models.probe import probe_report

    plan = load_recipe(name)
    report = answer_report if plan.task == "question-answering" else probe_report
    print(report(Artifact(artifacts / plan.name), evaluation_rows(plan, data, limit), errors=errors))


def evaluation_rows(plan: Recipe, data: Path, limit: int | None) -> list[Row]:
    """The rows that a recipe is scored on, each with its `file`; `limit` of them, evenly spread, if that is given."""
    rows = [{**row, "file": file} for file in plan.evaluation.files for row in read_rows(data / file)]
    return rows if limit is None else rows[:: max(1, len(rows) // limit)][:limit]


def sentences(name: str, *, data: Path, limit: int | None, artifacts: Path) -> None:
    """Make a summarizer's sentences.onnx, which chooses sentences, and score it. After `quantize`: it reads int8."""
    from models.finetune.sentence_scores import score_extraction
    from models.finetune.sentences import finetune_sentences

    plan = load_recipe(name)
    folder = artifacts / plan.name
    finetune_sentences(folder, data)
    rows = [row for row in evaluation_rows(plan, data, limit) if "tldr" in row]
    scores = score_extraction(folder, [{"text": source_of(row), "summary": references_of(row)[0]} for row in rows])
    metrics = {**Artifact(folder).metrics, "extractive": scores}
    finish_artifact(folder, metrics, model_card(folder, plan, metrics))
    print(scores)


def speed(folder: Path, *, repeats: int, longest: int) -> None:
    """Time an fp32 artifact beside stock dynamic int8 and ours, in tokens a second on one thread."""
    from models.quantize.speed import measure_speed, speed_table

    print(speed_table(measure_speed(folder, repeats=repeats, longest=longest)))


def add(source: str, *, name: str, data: Path | None, tolerance: float) -> None:
    """Export, quantize and (with rows to score on) evaluate somebody's model, and put it beside the others."""
    target = own_target(name)
    config = check_source(source)
    if data is not None and config is not None:
        rows_to_score(data, task_of(config, source), config)  # before minutes go by
    from models.add import add_model

    print(f"artifact: {add_model(source, target, data=data, tolerance=tolerance)}")
    print(f"a server started from now on has {name!r}")


def distil(recipe: str, *, layers: int, **asked: Any) -> None:
    """Make a model with fewer layers from a trained one, which teaches it. Goes on from the last checkpoint."""
    from models.distil.run import distil as make

    given = _to_shrink(recipe, "fast", **asked)
    print(f"{make(**given, layers=layers)}\nartifact: {given['target']}")


def prune(recipe: str, *, heads: float, columns: float, sample: int, **asked: Any) -> None:
    """Make a model without a trained one's least important attention heads and feed-forward columns, and let the whole
    one teach what is left. Goes on from the last checkpoint."""
    from models.prune.run import prune as make

    given = _to_shrink(recipe, "pruned", **asked)
    print(f"{make(**given, heads=heads, columns=columns, sample=sample)}\nartifact: {given['target']}")


def _to_shrink(
    recipe: str, suffix: str, *, data: Path, runs: Path, limit: int | None, artifacts: Path | None, **asked: Any
) -> dict[str, Any]:
    """What `distil` and `prune` want alike: the trained model, options, rows to score on, where the artifact goes."""
    from models.distil.run import trained_model

    plan = load_recipe(recipe)
    weights = zip(("logits", "states", "labels"), asked.pop("weights"), strict=True)
    lesson = Lesson(temperature=asked.pop("temperature"), **dict(weights))
    options = Smaller(**{**asked, "name": asked["name"] or f"{plan.name}-{suffix}"}, lesson=lesson)
    folder = artifacts or runs / options.name / "int8"
    return {
        "teacher": trained_model(plan, data=data, runs=runs),
        "options": options,
        "rows": evaluation_rows(plan, data, limit),
        "target": folder / options.name,
    }


def report(*, artifacts: Path, to: Path | None) -> None:
    """Print, or write, one Markdown table of all artifacts: size, parameters, speed, scores, bars."""
    from models.report import report_table

    table = report_table(artifacts)
    if to is None:
        print(table)
    else:
        to.write_text(table + "\n", encoding="utf-8")


def _fp32(plan: Recipe, runs: Path) -> Path:
    return runs / plan.name / "fp32" / plan.name
