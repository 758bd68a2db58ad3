"""Text classification: single-label rows {"text", "label"}, multi-label rows {"text", "labels"}."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import multilabel_f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EvalPrediction,
    PreTrainedTokenizerBase,
)

from models.data.held_out import held_out_rows, without
from models.data.recipe import Recipe, Stage
from models.data.rows import Row, pick_rows
from models.data.spelling import respell
from models.training.batches import run_by_length
from models.training.calibration import fit_temperature, fit_thresholds, fold
from models.training.teacher_logits import with_teacher
from models.training.trainer import Features, Loss, Validation, train_stage


def _target(row: Row, labels: tuple[str, ...]) -> int | list[float]:
    if "labels" in row:
        return [float(label in row["labels"]) for label in labels]
    label = row["label"]
    return label if isinstance(label, int) else labels.index(label)


def _features(
    rows: list[Row], tokenizer: PreTrainedTokenizerBase, labels: tuple[str, ...], max_length: int
) -> Features:
    encodings = tokenizer([row["text"] for row in rows], truncation=True, max_length=max_length)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": _target(row, labels)}
        for ids, mask, row in zip(encodings["input_ids"], encodings["attention_mask"], rows, strict=True)
    ]


def held_out_of(recipe: Recipe, data: Path) -> list[Row]:
    """The rows that the recipe holds out of its first stage; none if it holds out nothing."""
    plan = recipe.held_out
    if plan is None:
        return []
    first = recipe.stages[0]
    return held_out_rows(pick_rows((first.sources[plan.source],), data, first.training.seed), plan)


def training_features(recipe: Recipe, stage: Stage, start: str, data: Path) -> Features:
    """The stage's rows without the held-out ones, spelled as it says, for the model in `start`."""
    training, tokenizer = stage.training, AutoTokenizer.from_pretrained(start)
    rows = pick_rows(stage.sources, data, training.seed)
    if recipe.held_out is not None:
        rows = without(rows, held_out_of(recipe, data), recipe.held_out)
    rows = respell(rows, training.extra.get("respell", 0.0), training.seed)
    return _features(rows, tokenizer, recipe.labels, training.max_length)


def score_classes(given: EvalPrediction) -> float:
    """Accuracy of a single-label model, macro-F1 of a multi-label one."""
    logits, targets = torch.as_tensor(given.predictions), torch.as_tensor(given.label_ids)
    if targets.ndim == 1:
        return float((logits.argmax(-1) == targets).float().mean())
    return float(multilabel_f1_score(logits.sigmoid(), targets.int(), targets.shape[1]))


@torch.no_grad()
def logits_of(model: Any, features: Features, collate: Any) -> tuple[Tensor, Tensor]:
    """Logits [rows, labels] and targets, in the order of `features`."""
    model.eval()

    def run(part: list[int]) -> Tensor:
        batch = collate([{**features[index]} for index in part])
        inputs = {name: values.to(model.device) for name, values in batch.items() if name != "labels"}
        logits: Tensor = model(**inputs).logits
        return logits.float().cpu()

    logits = run_by_length([len(feature["input_ids"]) for feature in features], run)
    return torch.stack(logits), torch.tensor([feature["labels"] for feature in features])


def _start_model(recipe: Recipe, stage: Stage, start: str, *, multi_label: bool) -> Any:
    training = stage.training
    torch.manual_seed(training.seed)
    return AutoModelForSequenceClassification.from_pretrained(
        start,
        num_labels=len(recipe.labels),
        id2label=dict(enumerate(recipe.labels)),
        label2id={label: index for index, label in enumerate(recipe.labels)},
        ignore_mismatched_sizes=True,  # a base may come with another head
        problem_type="multi_label_classification" if multi_label else "single_label_classification",
        hidden_dropout_prob=training.hidden_dropout,
        attention_probs_dropout_prob=training.attention_dropout,
        attn_implementation=training.attention,
    )


def finetune_classifier(
    recipe: Recipe,
    stage: Stage,
    *,
    start: str,
    data: Path,
    run: Path,
    loss: Loss | None = None,
    teacher: Path | None = None,
) -> tuple[Any, Any]:
    """Train a classification head on `start`, by the stage's `teacher` if it has one; return (model, tokenizer).

    After the recipe's last stage the temperature that its held-out rows ask for is folded into the head.
    """
    training = stage.training
    tokenizer = AutoTokenizer.from_pretrained(start)
    features = training_features(recipe, stage, start, data)
    model = _start_model(recipe, stage, start, multi_label=isinstance(features[0]["labels"], list))
    held = held_out_of(recipe, data)
    head = AutoModelForSequenceClassification
    features, collate, loss = with_teacher(features, tokenizer, stage, head=head, run=run, teacher=teacher, loss=loss)
    held_features = _features(held, tokenizer, recipe.labels, training.max_length) if held else []
    train_stage(
        model,
        tokenizer,
        features,
        collate,
        training,
        run=run,
        validation=Validation(held_features, score_classes) if held else None,
        loss=loss,
    )
    if held and stage is recipe.stages[-1]:
        _calibrate(model, held_features, collate)
    return model, tokenizer


def _calibrate(model: Any, held: Sequence[dict[str, Any]], collate: Any) -> None:
    logits, targets = logits_of(model, held, collate)
    thresholds = fit_thresholds(logits, targets) if targets.ndim > 1 else None
    if thresholds is not None:
        logits = logits - thresholds
    temperature = fit_temperature(logits, targets)
    fold(model, temperature, thresholds)
    score = score_classes(EvalPrediction(predictions=logits.numpy(), label_ids=targets.numpy()))
    print(f"held out: score {100 * score:.2f} of {len(held)} rows; temperature {temperature:.3f}")
