"""From a file to a served classifier: columns, split, training, export, int8, card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from models.artifact import finish_artifact
from models.errors import NameTaken
from models.evaluate import quantize_scored
from models.export import export_model
from models.finetune.run import finetune_recipe
from models.own.card import PICTURE, given_labels, own_card, score_table, wanted_labels
from models.own.options import Options
from models.own.picture import confusion_picture
from models.own.plan import SEED, TEST, TRAIN, Split, balance_table, plan_for, read_split
from models.recipe import Recipe
from models.rows import Row
from models.run_folder import keep_plan
from models.served import scores_by_label, served_results
from service.artifact import Artifact

_LOST_POINTS = 0.5
_LOST_ROWS = 2


def _write(rows: list[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _sums(data: Path) -> dict[str, str]:
    return {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in (TRAIN, TEST)}


def _draw_and_describe(target: Path, plan: Recipe, split: Split, metrics: dict[str, Any]) -> None:
    artifact = Artifact(target)
    several = artifact.multi_label
    scores = torch.tensor(scores_by_label(artifact, served_results(artifact, split.test)))
    wanted, given = wanted_labels(split.test, plan.labels), given_labels(scores, several=several)
    counts = (wanted.T @ given).tolist()
    (target / PICTURE).write_text(confusion_picture(plan.labels, counts), encoding="utf-8")
    table = score_table(plan.labels, wanted, given)
    finish_artifact(target, metrics, own_card(plan, metrics, balance_table(split), table, several=several))


def make_classifier(own: Options, *, runs: Path, target: Path, split: Split | None = None) -> Path:
    """Make the int8 artifact `target`; return it. A run that was cut off goes on from its last checkpoint.

    `split` is what `read_split` gives, if it was read already.

    Raises UnclearTable, TooFewRows, OtherRun, NameTaken when the name is taken, and QuantizationLoss when int8
    loses more than half a point, or two test rows where those are more.
    """
    if target.exists():
        raise NameTaken(f"{target} is there already; take another --serve-as or remove it")
    split = split or read_split(own)
    print(balance_table(split))
    run = runs / own.name
    data = run / "data"
    _write(split.train, data / TRAIN)
    _write(split.test, data / TEST)
    plan = plan_for(own, split, seed=SEED)
    keep_plan(run, {"recipe": plan.model_dump(mode="json"), "sha256": _sums(data)})
    trained = finetune_recipe(plan, base=own.base, data=data, runs=runs)
    fp32 = export_model(str(trained), run / "fp32" / own.name, plan.task, serving={"precision": "fp32"})
    measure = "macro_f1" if "labels" in split.test[0] else "accuracy"
    allowed = {measure: max(_LOST_POINTS, 100 * _LOST_ROWS / len(split.test))}
    metrics = quantize_scored(fp32, target, split.test, allowed, name=plan.evaluation.home)
    _draw_and_describe(target, plan, split, metrics)
    print(f"{measure} {metrics['score'][measure]:.2f} on {len(split.test):,} test rows; table and matrix: {target}")
    return target
