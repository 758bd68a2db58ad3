"""A classifier on a user's own table: columns, split, training, export, int8, card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from models.custom.card import classifier_card, confusion_table, given_labels, score_table, wanted_labels
from models.custom.recipe import SEED, TEST, TRAIN, ClassifierOptions, Split, balance_table, recipe_for
from models.data.model_card import finish_artifact
from models.data.recipe import Recipe
from models.data.rows import Row
from models.errors import NameTaken
from models.evaluation.evaluate import quantize_scored
from models.evaluation.served import scores_by_label, served_results
from models.graphs.export import export_model
from models.training.run_folder import keep_plan
from models.training.stages import finetune_recipe
from service.artifact import Artifact

_LOST_POINTS = 0.5
_LOST_ROWS = 2


def _write(rows: list[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _sums(data: Path) -> dict[str, str]:
    return {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in (TRAIN, TEST)}


def _finish(target: Path, plan: Recipe, split: Split, metrics: dict[str, Any]) -> None:
    artifact = Artifact(target)
    scores = torch.tensor(scores_by_label(artifact, served_results(artifact, split.test)))
    wanted, given = wanted_labels(split.test, plan.labels), given_labels(scores, multi_label=artifact.multi_label)
    tables = score_table(plan.labels, wanted, given), confusion_table(plan.labels, wanted, given)
    finish_artifact(target, metrics, classifier_card(plan, metrics, balance_table(split), *tables))


def make_classifier(options: ClassifierOptions, split: Split, *, runs: Path, target: Path) -> Path:
    """Make the int8 artifact `target` of the rows that `read_split` gives; return it.

    A run that was cut off goes on from its last checkpoint. Raises OtherRun, NameTaken, and QuantizationLoss when int8
    loses more than half a point, or two test rows where those are more.
    """
    if target.exists():
        raise NameTaken(f"{target} is there already; take another --serve-as or remove it")
    print(balance_table(split))
    run = runs / options.name
    data = run / "data"
    _write(split.train, data / TRAIN)
    _write(split.test, data / TEST)
    plan = recipe_for(options, split, seed=SEED)
    keep_plan(run, {"recipe": plan.model_dump(mode="json"), "sha256": _sums(data)})
    trained = finetune_recipe(plan, base=options.base, data=data, runs=runs)
    fp32 = export_model(str(trained), run / "fp32" / options.name, plan.task, serving={"precision": "fp32"})
    measure = "macro_f1" if "labels" in split.test[0] else "accuracy"
    allowed = {measure: max(_LOST_POINTS, 100 * _LOST_ROWS / len(split.test))}
    metrics = quantize_scored(fp32, target, split.test, allowed, name=plan.evaluation.home)
    _finish(target, plan, split, metrics)
    print(f"{measure} {metrics['score'][measure]:.2f} on {len(split.test):,} test rows; by label: {target}/README.md")
    return target
