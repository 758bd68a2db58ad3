"""The card of somebody's own classifier: score table, confusion matrix, how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.data.recipe import Recipe
from models.data.rows import Row

PICTURE = "confusion.svg"


def wanted_labels(rows: list[Row], labels: Sequence[str]) -> Tensor:
    """[rows, labels] of 0 and 1: what each row has."""
    return torch.tensor([[int(name in row.get("labels", [row.get("label")])) for name in labels] for row in rows])


def given_labels(scores: Tensor, *, several: bool) -> Tensor:
    """[rows, labels] of 0 and 1: the best label of each row, or with `several` those scored 0.5 and more."""
    if several:
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


def own_card(plan: Recipe, metrics: dict[str, Any], balance: str, scores: str, *, several: bool) -> str:
    """The card, in Markdown; the picture is PICTURE beside it."""
    training = plan.stages[0].training
    totals = "\n".join(
        f"| {name} | {value:.2f} | {metrics['fp32'][name]:.2f} |" for name, value in metrics["score"].items()
    )
    cells = "of the texts that have the row's label, how many were given the column's"
    both = " (a text may have several)" if several else ""
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

![Confusion matrix]({PICTURE})

Cells: {cells}{both}.

## Data

```text
{balance}
```
"""
