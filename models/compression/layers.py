"""An encoder's layers, and an encoder with fewer of them."""

from __future__ import annotations

from typing import Any

from torch import nn

from models.errors import BadOption


def layers_of(model: Any) -> Any:
    """The list of the model's layers, in order; raises ValueError for a model that has no such list."""
    count = model.config.num_hidden_layers
    found = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    if len(found) != 1:
        raise ValueError(f"{type(model).__name__}: {len(found)} lists of {count} layers, and there should be one")
    return found[0]


def kept_layers(total: int, wanted: int) -> tuple[int, ...]:
    """Which layers stay, counted from 0: evenly spread, the last among them, since the head reads what it writes.

    Of the 20 ways to keep three of `sentiment`'s six, 1, 3 and 5 scored best before any training: 82.0 on SST-2's dev
    set; 0, 2 and 4, as DistilBERT begins, 58.6.

    Raises BadOption unless 0 < wanted < total.
    """
    if not 0 < wanted < total:
        raise BadOption(f"{wanted} layers of {total}: fewer must stay than there are, and one at least")
    return tuple((index + 1) * total // wanted - 1 for index in range(wanted))


def keep_layers(model: Any, kept: tuple[int, ...]) -> None:
    """Take the other layers out of `model`; its configuration then says how many there are."""
    layers = layers_of(model)
    for index in reversed(range(len(layers))):
        if index not in kept:
            del layers[index]
    model.config.num_hidden_layers = len(layers)
