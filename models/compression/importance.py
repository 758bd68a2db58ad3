"""Importance of each attention head and feed-forward column: the first-order estimate of the loss without it.

Michel et al. 2019, "Are Sixteen Heads Really Better than One?"; Molchanov et al. 2019, "Importance Estimation for
Neural Network Pruning". A part's output times the loss's gradient there is what the loss would change by if the output
were zero; its size, of a row at a time, is added up over rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.compression.parts import parts_of


@dataclass(frozen=True)
class Importance:
    """Importance of the parts of one layer; only their ratios mean something."""

    heads: Tensor
    """[heads]"""
    columns: Tensor
    """[columns]"""


class _Inputs:
    """Records the inputs of linear layers in a forward pass, with their gradients."""

    def __init__(self, linears: list[Any]) -> None:
        self.seen: list[Tensor] = []
        self._hooks = [linear.register_forward_pre_hook(self._keep) for linear in linears]

    def _keep(self, _: Any, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].retain_grad()
        self.seen.append(inputs[0])

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


def _contribution(inputs: Tensor, width: int) -> Tensor:
    """Sum over rows of |input x gradient|, in groups of `width`: inputs [rows, tokens, inputs] -> [inputs / width]."""
    assert inputs.grad is not None
    by_row = (inputs * inputs.grad).sum(1)
    return by_row.view(len(by_row), -1, width).sum(-1).abs().sum(0).detach()


def importances(model: Any, batches: Iterable[dict[str, Tensor]]) -> list[Importance]:
    """Estimate every layer's importances from the model's loss on batches with targets.

    Raises UnknownArchitecture.
    """
    model.eval()
    width = model.config.hidden_size // model.config.num_attention_heads
    readers = [reader for each in parts_of(model) for reader in ((each.mixed, width), (each.down, 1))]
    linears = [linear for linear, _ in readers]
    totals = [torch.zeros(linear.in_features // size) for linear, size in readers]
    for batch in batches:
        inputs = _Inputs(linears)
        try:
            # The loss is a mean over rows: times their number, so that every row counts alike.
            (model(**batch).loss * len(batch["input_ids"])).backward()
        finally:
            inputs.close()
        for total, seen, (_, size) in zip(totals, inputs.seen, readers, strict=True):
            total += _contribution(seen, size)
    model.zero_grad()
    return [Importance(heads, columns) for heads, columns in zip(totals[::2], totals[1::2], strict=True)]


def least_important(worth: Tensor, count: int) -> list[int]:
    """The `count` least important parts, in their order."""
    return sorted(worth.argsort()[:count].tolist())
