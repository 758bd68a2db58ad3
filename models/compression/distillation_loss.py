"""What a trained model teaches a smaller one: its answers, and what it makes of a text on the way to them.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": logits at a temperature. Jiao et al. 2020,
"TinyBERT": the states behind layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.compression.options import Lesson
from models.training.teacher_logits import NEVER, soft_loss

_TARGETS = ("labels", "start_positions", "end_positions")
_LOGITS = ("logits", "start_logits", "end_logits")


class Teacher:
    """A trained encoder with a head, whose loss for a smaller one says how far that is from it."""

    def __init__(self, model: Any, layers: tuple[int, ...], lesson: Lesson) -> None:
        """`layers`: for each layer of the student the teacher's, from 0, whose output it is to give."""
        self._model = model.eval().requires_grad_(False)
        self._layers = layers
        self._lesson = lesson

    def loss(self, student: Any, batch: dict[str, Tensor]) -> Tensor:
        """Of a batch with targets. The teacher reads it without dropout, the student as it trains."""
        inputs = {name: value for name, value in batch.items() if name not in _TARGETS}
        with torch.no_grad():
            taught = self._model.to(student.device)(**inputs, output_hidden_states=True)
        given = student(**batch, output_hidden_states=True)
        lesson, mask = self._lesson, batch["attention_mask"].bool()
        several = student.config.problem_type == "multi_label_classification"
        logits = [(taught[name], given[name]) for name in _LOGITS if name in given]
        if "start_logits" in given:  # [rows, tokens]: no span begins in the padding
            logits = [(wanted.masked_fill(~mask, NEVER), found.masked_fill(~mask, NEVER)) for wanted, found in logits]
        heat = lesson.temperature
        soft = [soft_loss(wanted, found, temperature=heat, several=several) for wanted, found in logits]
        pairs = zip(self._layers, given.hidden_states[1:], strict=True)
        states = [_missed(taught.hidden_states[1 + layer][mask], found[mask]) for layer, found in pairs]
        return lesson.logits * _mean(soft) + lesson.states * _mean(states) + lesson.labels * given.loss


def _missed(taught: Tensor, given: Tensor) -> Tensor:
    """Mean square error of states [tokens, width], as a share of the teacher's variance."""
    return (given - taught).square().mean() / taught.var()


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()
