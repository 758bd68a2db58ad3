"""Text classification: single-label rows {"text", "label"}, multi-label rows {"text", "labels"}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from models.finetune.trainer import train_stage
from models.recipe import Recipe, Stage
from models.rows import Row, pick_rows


def _target(row: Row, labels: tuple[str, ...]) -> int | list[float]:
    if "labels" in row:
        return [float(label in row["labels"]) for label in labels]
    label = row["label"]
    return label if isinstance(label, int) else labels.index(label)


def finetune_classifier(recipe: Recipe, stage: Stage, *, start: str, data: Path, run: Path) -> tuple[Any, Any]:
    """Train a classification head on `start`; return (model, tokenizer)."""
    training = stage.training
    rows = pick_rows(stage.sources, data, training.seed)
    several = "labels" in rows[0]
    tokenizer = AutoTokenizer.from_pretrained(start)
    torch.manual_seed(training.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        start,
        num_labels=len(recipe.labels),
        id2label=dict(enumerate(recipe.labels)),
        label2id={label: index for index, label in enumerate(recipe.labels)},
        problem_type="multi_label_classification" if several else "single_label_classification",
        hidden_dropout_prob=training.hidden_dropout,
        attention_probs_dropout_prob=training.attention_dropout,
        attn_implementation=training.attention,
    )
    encodings = tokenizer([row["text"] for row in rows], truncation=True, max_length=training.max_length)
    features = [
        {"input_ids": ids, "attention_mask": mask, "labels": _target(row, recipe.labels)}
        for ids, mask, row in zip(encodings["input_ids"], encodings["attention_mask"], rows, strict=True)
    ]
    collate = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
    return train_stage(model, tokenizer, features, collate, training, run=run), tokenizer
