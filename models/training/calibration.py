"""Scores that mean what they say: of the answers with score 0.8, eight of ten are right.

Guo et al. 2017, "On Calibration of Modern Neural Networks": one temperature, fitted on rows that no stage trained on,
divides the logits. Here it goes into the weights of the last layer, so that the service knows nothing of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_FEWEST_ROWS = 10


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The divisor of `logits` under which `targets` are likeliest.

    Single-label: logits [rows, labels], targets [rows]. Multi-label: targets [rows, labels] of 0 and 1.
    """
    loss: Any = nn.CrossEntropyLoss() if targets.ndim == 1 else nn.BCEWithLogitsLoss()
    logits = logits.float()
    log_temperature = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(logits / log_temperature.exp(), targets)
        value.backward()
        return value

    optimizer.step(closure)
    return float(log_temperature.detach().exp())


def fit_thresholds(logits: Tensor, targets: Tensor) -> Tensor:
    """For each label of a multi-label model the logit from which on it is best given: at the highest F1.

    logits and targets [rows, labels] -> [labels]; 0 for a label with fewer than 10 rows, too few to tell.
    """
    thresholds = torch.zeros(logits.shape[1])
    for label in range(logits.shape[1]):
        scores, order = logits[:, label].float().sort(descending=True)
        hits = targets[order, label].cumsum(0)
        if hits[-1] < _FEWEST_ROWS:
            continue
        f1 = 2 * hits / (torch.arange(1, len(scores) + 1) + hits[-1])
        best = int(f1[:-1].argmax())
        thresholds[label] = (scores[best] + scores[best + 1]) / 2
    return thresholds


def _is_head(part: nn.Module, labels: int) -> bool:
    return isinstance(part, nn.Linear) and part.out_features == labels and part.bias is not None


def _last_layer(model: nn.Module, labels: int) -> Any:
    found = [part for part in model.modules() if _is_head(part, labels)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer with {labels} outputs")
    return found[-1]


def fold(model: Any, temperature: float, thresholds: Tensor | None = None) -> None:
    """Make the model's logits (logits - thresholds) / temperature, through its last layer's weights and bias.

    A label's score then passes 0.5 at its threshold.
    """
    last = _last_layer(model, model.config.num_labels)
    with torch.no_grad():
        if thresholds is not None:
            last.bias -= thresholds
        last.weight /= temperature
        last.bias /= temperature
