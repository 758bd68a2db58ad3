"""The loss of a smaller model against a larger one: of logits, of hidden states, and of the rows' own labels.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": logits at a temperature. Jiao et al. 2020,
"TinyBERT": hidden states of layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.compression.student import LossWeights
from models.training.teacher_logits import NEVER, soft_loss

_TARGETS = ("labels", "start_positions", "end_positions")
_LOGITS = ("logits", "start_logits", "end_logits")


class DistillationLoss:
    """How far a student is from a trained encoder with a head, as a loss for training."""

    def __init__(self, teacher: Any, layers: tuple[int, ...], weights: LossWeights) -> None:
        """`layers` names for each layer of the student the teacher's layer whose output it imitates, from 0."""
        self._teacher = teacher.eval().requires_grad_(False)
        self._layers = layers
        self._weights = weights

    def __call__(self, student: Any, batch: dict[str, Tensor]) -> Tensor:
        """The loss on a batch with targets. The teacher runs without dropout, the student in its current mode."""
        inputs = {name: value for name, value in batch.items() if name not in _TARGETS}
        with torch.no_grad():
            target = self._teacher.to(student.device)(**inputs, output_hidden_states=True)
        output = student(**batch, output_hidden_states=True)
        mask = batch["attention_mask"].bool()
        multi_label = student.config.problem_type == "multi_label_classification"
        logits = [(target[name], output[name]) for name in _LOGITS if name in output]
        if "start_logits" in output:  # [rows, tokens]: no span begins in the padding
            logits = [(goal.masked_fill(~mask, NEVER), own.masked_fill(~mask, NEVER)) for goal, own in logits]
        temperature = self._weights.temperature
        soft = [soft_loss(goal, own, temperature=temperature, multi_label=multi_label) for goal, own in logits]
        pairs = zip(self._layers, output.hidden_states[1:], strict=True)
        states = [_relative_error(target.hidden_states[1 + layer][mask], own[mask]) for layer, own in pairs]
        weights = self._weights
        return weights.logits * _mean(soft) + weights.states * _mean(states) + weights.labels * output.loss


def _relative_error(target: Tensor, output: Tensor) -> Tensor:
    """Mean square error of states [tokens, width], divided by the variance of the teacher's."""
    return (output - target).square().mean() / target.var()


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()
