"""The model card of a custom classifier: scores, most frequent confusions, how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.data.recipe import Recipe
from models.data.rows import Row

_MOST_CONFUSIONS = 20


def wanted_labels(rows: list[Row], labels: Sequence[str]) -> Tensor:
    """The right labels, [rows, labels] of 0 and 1."""
    return torch.tensor([[int(name in row.get("labels", [row.get("label")])) for name in labels] for row in rows])


def given_labels(scores: Tensor, *, multi_label: bool) -> Tensor:
    """The predicted labels, [rows, labels] of 0 and 1: the best one, or if `multi_label` all scored at least 0.5."""
    if multi_label:
        return (scores >= 0.5).long()
    return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[1])


def score_table(labels: Sequence[str], wanted: Tensor, given: Tensor) -> str:
    """Precision, recall and F1 of every label, in points; a label that is never given has precision 0."""
    lines = ["| label | precision | recall | F1 | test rows |", "| --- | --- | --- | --- | --- |"]
    both, right, said = (wanted & given).sum(0), wanted.sum(0), given.sum(0)
    for name, hits, has, gets in zip(labels, both.tolist(), right.tolist(), said.tolist(), strict=True):
        precision, recall = 100 * hits / max(gets, 1), 100 * hits / max(has, 1)
        f1 = 200 * hits / max(has + gets, 1)
        lines.append(f"| {name} | {precision:.1f} | {recall:.1f} | {f1:.1f} | {has} |")
    return "\n".join(lines)


def confusion_table(labels: Sequence[str], wanted: Tensor, given: Tensor) -> str:
    """The labels that rows were given without having them, most frequent first, at most 20 lines of Markdown.

    `wanted` and `given`: [rows, labels] of 0 and 1.
    """
    counts, totals = wanted.T @ (given * (1 - wanted)), wanted.sum(0)
    found = [(int(counts[right, other]), right, other) for right, other in counts.nonzero().tolist()]
    lines = ["| rows with the label | were given | how many | of |", "| --- | --- | ---: | ---: |"]
    for count, right, other in sorted(found, key=lambda each: -each[0])[:_MOST_CONFUSIONS]:
        lines.append(f"| {labels[right]} | {labels[other]} | {count} | {int(totals[right])} |")
    return "\n".join(lines) if found else "None: no test row was given a label that it does not have."


def classifier_card(plan: Recipe, metrics: dict[str, Any], balance: str, scores: str, confusions: str) -> str:
    """The card in Markdown; `scores` and `confusions` are its tables, `balance` says how many rows each label has."""
    training = plan.stages[0].training
    totals = "\n".join(
        f"| {name} | {value:.2f} | {metrics['fp32'][name]:.2f} |" for name, value in metrics["score"].items()
    )
    return f"""# {plan.name}

{plan.description}

- Base: {plan.base}
- Trained for at most {training.epochs:g} epochs, stopped by {plan.held_out.rows if plan.held_out else 0} held-out rows;
  the last layer is calibrated on the same rows. Learning rate {training.learning_rate:g}, {training.batch_size} rows a
  step, {training.max_length} tokens a row, seed {training.seed}.
- Served on `/v1/classify`

## Scores

On {metrics["rows"]:,} test rows that it never saw, through the service's own code:

| score | int8, as served | fp32 |
| --- | --- | --- |
{totals}

{scores}

Most frequent confusions:

{confusions}

## Data

```text
{balance}
```
"""
